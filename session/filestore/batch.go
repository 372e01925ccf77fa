package filestore

import (
	"github.com/google/uuid"
)

// batch is what is written by one write.
type batch struct {
	buf   []byte // begins with room for a mark
	undo  []undo
	taken bool          // somebody writes it
	done  chan struct{} // closed when err is set
	err   error
}

// undo is an entry before a frame of a batch.
type undo struct {
	id  uuid.UUID
	e   *entry // nil: there was none
	was entry
}

const (
	// markEvery is how much is synced before a batch carries a mark of it.
	markEvery = 4 << 10
	// spareLimit bounds the memory that is kept for the next batch.
	spareLimit = 1 << 20
	spareUndo  = 1 << 10 // in entries
)

// enter locks the journal for work of a batch. Errors: session.ErrUnavailable.
func (j *journal) enter() (*batch, error) {
	j.mu.Lock()
	if j.failed != nil {
		err := j.failed
		j.mu.Unlock()
		return nil, err
	}
	if j.next == nil {
		if j.spare == nil {
			j.spare = make([]byte, markSize, 4<<10)
		}
		j.next = &batch{buf: j.spare, undo: j.spareUndo, done: make(chan struct{})}
		j.spare, j.spareUndo = nil, nil
	}
	return j.next, nil
}

// leave unlocks the journal. It returns when what was put into the batch is
// written, and synced where that is the mode. Whatever becomes of the caller's
// context, it waits: what the log has of a conversation must be known before
// anything else happens to it. Errors: session.ErrUnavailable.
func (j *journal) leave(b *batch) error {
	lead := !b.taken
	b.taken = true
	j.mu.Unlock()
	if lead {
		j.write(b)
	}
	<-b.done
	return b.err
}

// cancel unlocks the journal where nothing was put into the batch.
func (j *journal) cancel(b *batch) {
	if len(b.buf) == markSize && !b.taken {
		j.next, j.spare, j.spareUndo = nil, b.buf, b.undo
	}
	j.mu.Unlock()
}

// note keeps what an entry is before it is changed.
func (j *journal) note(b *batch, id uuid.UUID, e *entry) {
	u := undo{id: id, e: e}
	if e != nil {
		u.was = *e
		e.round = j.round
	}
	b.undo = append(b.undo, u)
}

// resized notes how an entry's size changed.
func (j *journal) resized(e *entry, by int64) {
	e.size += by
	j.live += by
}

// write writes a batch.
//
// In this order: write; in the mode Always, sync; what is written is acknowledged.
func (j *journal) write(b *batch) {
	select {
	case j.writer <- struct{}{}:
	case <-b.done: // what came before it failed, and writer may be held until that is mended
		return
	}
	defer j.writer.unlock()
	j.mu.Lock()
	if b.err != nil {
		j.mu.Unlock()
		return
	}
	full := j.seg.good >= j.segmentBytes
	j.mu.Unlock()
	if full && j.rotate(0) != nil {
		return // the batch has failed with it
	}
	j.mu.Lock()
	if b.err != nil {
		j.mu.Unlock()
		return
	}
	j.next = nil
	buf := b.buf[markSize:]
	if j.seg.synced-j.seg.marked >= markEvery {
		buf = b.buf
		copy(buf, markFrame(j.seg.synced))
		j.seg.marked = j.seg.synced
	}
	j.mu.Unlock()

	_, err := j.seg.f.Write(buf)

	j.mu.Lock()
	if err == nil && j.failed == nil {
		j.seg.good += int64(len(buf))
		j.wroteLocked(int64(len(buf)))
	}
	j.mu.Unlock()
	if err == nil && j.mode == Always {
		err = j.syncSegment()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer close(b.done)
	if err != nil {
		j.failLocked("write", err)
	}
	if j.failed != nil {
		b.err = j.failed
		j.undoLocked(b)
		return
	}
	if cap(b.buf) <= spareLimit {
		j.spare, b.buf = b.buf[:markSize], nil
	}
	if cap(b.undo) <= spareUndo {
		clear(b.undo)
		j.spareUndo, b.undo = b.undo[:0], nil
	}
}
