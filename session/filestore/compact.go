package filestore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// chunk is how many bytes a compaction writes in one batch.
const chunk = 1 << 20

// compact copies all conversations into new segments, and removes the old segments and with
// them what was deleted. Other work goes on: a conversation is locked while it is copied, and
// after each chunk compact pauses for as long as it took.
//
// In this order: a new segment begins; all conversations are copied into it and those that
// follow; a segment begins (which syncs the copies first) whose header says that those before
// the first new one do not count any more; these are removed, the oldest first, and the
// directory is synced after each. Before that header is written, a crash leaves all segments
// valid; after it, a start removes what is left.
func (b *backend) compact(ctx context.Context) (err error) {
	b.compacting.Lock()
	defer b.compacting.Unlock()
	j := b.j
	if err := j.checkRoom(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			j.mu.Lock()
			j.erased = true // deleted text may still be there
			j.mu.Unlock()
		}
	}()
	first, failures, err := j.startCompaction()
	if err != nil {
		return err
	}
	err = b.m.Each(ctx, func(id uuid.UUID, c *session.Conversation, text *session.Text) error {
		batch, err := j.enter()
		if err != nil {
			return err
		}
		if err := j.copy(batch, id, c, text); err != nil {
			j.cancel(batch)
			return err
		}
		if len(batch.buf) < chunk {
			j.mu.Unlock() // it is written with what comes next
			return nil
		}
		began := time.Now()
		if err = j.leave(batch); err == nil {
			err = j.sync() // a little at a time, while others write
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Since(began)):
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("failed to copy a conversation: %w", err)
	}
	if err := j.endCompaction(first, failures); err != nil {
		return err
	}
	return j.removeOld()
}

// wantsCompaction reports whether a compaction is due, for erasure or for room.
func (j *journal) wantsCompaction(mayErase, mayShrink bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	total := j.seg.good
	for _, size := range j.sizes {
		total += size
	}
	garbage := total - j.live
	return mayErase && j.erased || mayShrink && garbage > minGarbage && garbage > total/2
}

// checkRoom returns an error unless the disk has room for a copy of all conversations and a
// quarter more, for what is written meanwhile.
func (j *journal) checkRoom() error {
	j.mu.Lock()
	need := j.live + j.live/4
	j.mu.Unlock()
	if free := j.files.Free(); free < need {
		return fmt.Errorf("%d bytes are needed for a copy of what lives, and %d are free", need, free)
	}
	return nil
}

// copy puts all of a conversation, which is locked, into a batch. The journal is
// locked.
func (j *journal) copy(b *batch, id uuid.UUID, c *session.Conversation, text *session.Text) error {
	e := j.entries[id]
	if e == nil {
		return fmt.Errorf("session %s… is not in the log", id.String()[:8])
	}
	buf, err := appendCopy(b.buf, id, e, c, text)
	if err != nil {
		return err
	}
	b.buf = buf
	j.note(b, id, e)
	e.stream = 0 // the frame that began it goes with the old segments
	return nil
}

// appendCopy appends a conversation, with its running reply's text as far as that is
// stored.
func appendCopy(buf []byte, id uuid.UUID, e *entry, c *session.Conversation, text *session.Text) ([]byte, error) {
	said := ""
	if e.text > 0 {
		if text == nil || text.Appended() < e.text {
			return nil, fmt.Errorf("the text of a reply of session %s… is not in memory", id.String()[:8])
		}
		said = text.String(e.text)
	}
	return appendState(buf, uint64(e.used), id, e.version, c.Head, c.Messages(), said)
}

// startCompaction begins the first segment of the copies. failures is for endCompaction.
func (j *journal) startCompaction() (first uint64, failures int, err error) {
	j.writer.lock()
	defer j.writer.unlock()
	j.mu.Lock()
	err, failures = j.failed, j.failures
	j.erased = false // text that is deleted from now on, the next compaction erases
	j.mu.Unlock()
	if err == nil {
		err = j.rotate(0)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("failed to begin a segment: %w", err)
	}
	return j.seg.seq, failures, nil
}

// endCompaction begins a segment in which those before first count no more, if
// nothing has failed since startCompaction: a copy can be among what failed.
func (j *journal) endCompaction(first uint64, failures int) error {
	batch, err := j.enter()
	if err != nil {
		return err
	}
	if len(batch.buf) == markSize {
		j.cancel(batch)
	} else if err := j.leave(batch); err != nil {
		return err
	}
	if err := j.sync(); err != nil { // so that rotate, for which others wait, has little to sync
		return err
	}
	j.writer.lock()
	defer j.writer.unlock()
	j.mu.Lock()
	failed := j.failures != failures
	j.mu.Unlock()
	if failed {
		return fmt.Errorf("%w: the log has failed meanwhile", session.ErrUnavailable)
	}
	if err := j.rotate(first); err != nil {
		return fmt.Errorf("failed to begin a segment: %w", err)
	}
	return nil
}

// removeOld removes the segments before base.
func (j *journal) removeOld() error {
	seqs, err := segments(j.files)
	if err != nil {
		return err
	}
	j.mu.Lock()
	base := j.base
	j.mu.Unlock()
	for _, seq := range seqs {
		if seq >= base {
			break
		}
		if err := j.remove(segmentName(seq)); err != nil {
			return err
		}
		j.mu.Lock()
		delete(j.sizes, seq)
		j.mu.Unlock()
	}
	return nil
}

// remove removes a file, and then syncs the directory.
func (j *journal) remove(name string) error {
	if err := j.files.Unlink(name); err != nil {
		return fmt.Errorf("failed to remove %s: %w", name, err)
	}
	if err := j.files.SyncDir(); err != nil {
		return fmt.Errorf("failed to sync the directory: %w", err)
	}
	return nil
}
