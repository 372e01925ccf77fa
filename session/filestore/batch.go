package filestore

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// batch is what is written by one write. While it is journal.next, journal.mu guards it.
type batch struct {
	buf   []byte // begins with room for a mark
	undo  []undo
	taken bool          // a goroutine has begun to write it
	done  chan struct{} // closed when err is final
	err   error
}

// undo is an entry before a frame of a batch.
type undo struct {
	id  uuid.UUID
	e   *entry // nil: there was none
	was entry
}

const (
	// markEvery is after how many synced bytes a batch carries a mark of them.
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

// leave unlocks the journal, and returns when the batch is written, and synced in the mode
// Always. It takes no context: what the log has of a conversation must be known before
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

// cancel unlocks the journal if its caller has put nothing into the batch.
func (j *journal) cancel(b *batch) {
	if len(b.buf) == markSize && !b.taken {
		j.next, j.spare, j.spareUndo = nil, b.buf, b.undo
	}
	j.mu.Unlock()
}

// note keeps a copy of an entry before it is changed.
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
	case <-b.done: // the batch before it failed, and writer may be held until that is mended
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
		copy(buf, markFrame(j.seg.synced, j.run))
		j.seg.marked = j.seg.synced
	}
	j.mu.Unlock()

	_, err := j.seg.f.Write(buf)

	j.mu.Lock()
	if err == nil && j.failed == nil {
		j.seg.good += int64(len(buf))
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

// commit puts a change into a batch. The journal is locked, and e is what it has
// of the conversation; nil: nothing.
func (j *journal) commit(b *batch, id uuid.UUID, e *entry, ch *session.Change) error {
	was, stored := "", 0
	if e != nil {
		was, stored = e.version, e.stored(ch)
	}
	buf, err := appendCommit(b.buf, j.seconds(), id, was, ch, stored)
	if err != nil {
		return err
	}
	b.buf = buf
	j.note(b, id, e)
	if e == nil {
		e = &entry{round: j.round}
		j.entries[id] = e
		j.live += perSession
	}
	text := e.text
	reply, fence := running(&ch.Head)
	if err := e.commit(was, ch.Version, reply, fence, ch.Had, ch.Has); err != nil {
		panic("filestore: a change was not what the log has") // Commit has checked it
	}
	e.used = time.Now().Unix()
	j.resized(e, weight(ch.Add)+int64(e.text-text))
	return nil
}

// delete puts the end of a conversation into a batch. The journal is locked.
func (j *journal) delete(b *batch, id uuid.UUID, e *entry) {
	b.buf = appendDelete(b.buf, j.seconds(), id, e.version)
	j.note(b, id, e)
	j.erased = j.erased || e.size > 0
	j.live -= perSession + e.size
	delete(j.entries, id)
	j.deleted[id] = j.round
}

// append appends to buf the bytes of a text that the log lacks, and returns the text's length
// with them; -1: nothing was appended, and Saved or Moved was called if needed.
func (j *journal) append(b *batch, buf []byte, t *session.Text) ([]byte, int) {
	e := j.entries[t.Ref.ID]
	if e == nil || e.reply != t.Reply || e.fence != t.Fence {
		t.Moved()
		return buf, -1
	}
	at, p := t.Unsaved(j.scratch[:0], appendLimit)
	if at != e.text && e.text <= t.Appended() {
		t.Saved(e.text, false)
		at, p = t.Unsaved(p[:0], appendLimit)
	}
	j.scratch = p
	if at != e.text {
		return buf, -1 // the text is shorter than what is stored of it: a bug
	}
	if len(p) == 0 {
		t.Saved(at, false)
		return buf, -1
	}
	j.note(b, t.Ref.ID, e)
	if e.stream == 0 {
		j.streams++
		e.stream = j.streams
		buf = binary.AppendUvarint(buf, e.stream<<1|1)
		buf = binary.LittleEndian.AppendUint64(append(buf, t.Ref.ID[:]...), fenceSum(e.fence))
		buf = binary.AppendUvarint(buf, uint64(at))
	} else {
		buf = binary.AppendUvarint(buf, e.stream<<1)
	}
	buf = appendBlock(buf, p)
	_ = e.grow(at, p) // at was checked
	j.resized(e, int64(len(p)))
	return buf, e.text
}
