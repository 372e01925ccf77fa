package filestore

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// recover goes on in a new segment after a failure; the old one is not written again. Its
// header says how much of the old one counts: not what a failed write left, and after a
// failed sync only what was synced before. The rest is written again from memory.
//
// In this order: the old segment is synced, if no sync of it has failed; the new
// one is made; its header is written and synced; all that may not be synced in
// the old one is written and synced; and then the directory. A crash before the end
// of this leaves a segment that does not count, and the old one as it is.
func (b *backend) recover(ctx context.Context) error {
	j := b.j
	j.writer.lock()
	defer j.writer.unlock()
	j.syncer.Lock()
	defer j.syncer.Unlock()
	j.mu.Lock()
	err, ended, lost := j.failed, j.ended, j.lost
	j.mu.Unlock()
	if err == nil || ended {
		return err
	}
	if !lost && j.seg.synced != j.seg.good {
		if j.seg.f.Sync() == nil {
			j.seg.synced = j.seg.good
		} else {
			lost = true
		}
	}
	size := headerFrame
	h := header{pred: j.seg.seq, valid: uint64(j.seg.good), base: j.base}
	more := (func(file) error)(nil)
	if lost {
		h.valid, h.pending = uint64(j.seg.synced), 1
		more = func(f file) error {
			n, err := b.rewrite(ctx, f)
			size += n
			return err
		}
	}
	f, h, err := j.begin(h, more)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost = lost
	if err != nil {
		return err
	}
	_ = j.seg.f.Close() // what counts of it is synced
	j.useLocked(f, h, size)
	j.round++
	j.clean = j.round
	clear(j.deleted)
	j.failed, j.broken = nil, make(chan struct{})
	j.log.Info("conversations are stored again")
	return nil
}

// rewrite writes the present state of all conversations that have changed since the last
// sync. They do not change meanwhile, since the journal has failed.
func (b *backend) rewrite(ctx context.Context, f file) (size int64, err error) {
	j, buf := b.j, []byte(nil)
	flush := func() error {
		n, err := f.Write(buf)
		size, buf = size+int64(n), buf[:0]
		return err
	}
	err = b.m.Each(ctx, func(id uuid.UUID, c *session.Conversation, text *session.Text) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		e := j.entries[id]
		if e == nil || e.round < j.clean {
			return nil
		}
		if buf, err = appendCopy(buf, id, e, c, text); err != nil {
			return err
		}
		e.stream = 0
		if len(buf) < chunk {
			return nil
		}
		return flush()
	})
	if err != nil {
		return size, fmt.Errorf("failed to write a conversation anew: %w", err)
	}
	j.mu.Lock()
	for id := range j.deleted {
		if j.entries[id] == nil {
			buf = appendDelete(buf, j.seconds(), id, "")
		}
	}
	j.mu.Unlock()
	buf = append(buf, readyFrame()...)
	return size, flush()
}
