package filestore

import "lumos/backend/session"

// sync syncs what is written.
func (j *journal) sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	broken := j.broken
	j.mu.Unlock()
	select {
	case j.writer <- struct{}{}:
	case <-broken: // recover may hold writer, and wait for a conversation that the caller has locked
		return session.ErrUnavailable
	}
	j.mu.Lock()
	idle := j.failed != nil || j.seg.synced == j.seg.good
	err := j.failed
	j.mu.Unlock()
	if idle {
		j.writer.unlock()
		return err
	}
	j.syncer.Lock()
	defer j.syncer.Unlock()
	upTo := j.beginSync()
	j.writer.unlock()
	return j.endSync(upTo, j.seg.f.Sync())
}

// syncSegment is sync for a caller that holds writer.
func (j *journal) syncSegment() error {
	j.syncer.Lock()
	defer j.syncer.Unlock()
	upTo := j.beginSync()
	return j.endSync(upTo, j.seg.f.Sync())
}

// beginSync begins a round: changes from now on are not part of the sync. writer and syncer
// are held.
func (j *journal) beginSync() (upTo int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.round++
	if j.next != nil {
		for _, u := range j.next.undo {
			if u.e != nil {
				u.e.round = j.round
			}
			if e := j.entries[u.id]; e != nil {
				e.round = j.round
			} else {
				j.deleted[u.id] = j.round
			}
		}
	}
	return j.seg.good
}

func (j *journal) endSync(upTo int64, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.lost = true
		j.failLocked("sync", err)
		return j.failed
	}
	j.seg.synced, j.clean = upTo, j.round
	for id, round := range j.deleted {
		if round < j.clean {
			delete(j.deleted, id)
		}
	}
	return nil
}

// mark writes a mark of how much is synced, if nothing else waits to be written.
func (j *journal) mark() {
	j.writer.lock()
	defer j.writer.unlock()
	j.mu.Lock()
	idle := j.failed == nil && j.next == nil && j.seg.synced == j.seg.good && j.seg.good-j.seg.marked > markSize
	synced := j.seg.synced
	j.mu.Unlock()
	if !idle {
		return
	}
	_, err := j.seg.f.Write(markFrame(synced, j.run))
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.failLocked("write", err)
		return
	}
	j.seg.good, j.seg.marked = j.seg.good+markSize, synced
}
