package filestore

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// backend implements session.Backend: it writes what the Manager does into the log. The
// Manager makes one change of a conversation at a time; appends may come between changes.
type backend struct {
	session.Alone
	eraseEvery time.Duration
	j          *journal
	m          *session.Manager

	compactions sync.WaitGroup
	compacting  sync.Mutex
	compacted   time.Time // when the last one began; owned by Run's goroutine
}

// Commit implements session.Backend.
func (b *backend) Commit(_ context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	if ch.Born == "" {
		return b.delete(id, was)
	}
	if was != nil && onlyConnection(was.Head, ch) {
		return nil // it ends with the process, so the log need not know
	}
	batch, err := b.j.enter()
	if err != nil {
		return err
	}
	e := b.j.entries[id]
	switch {
	case e != nil && e.version == ch.Version:
		b.j.cancel(batch)
		return nil
	case (was == nil) != (e == nil), e != nil && ch.Had >= 0 && ch.Had != e.text:
		b.j.cancel(batch)
		return session.ErrConflict
	}
	if err := b.j.commit(batch, id, e, ch); err != nil {
		b.j.cancel(batch)
		return err
	}
	return b.j.leave(batch)
}

// onlyConnection reports whether a change changes only Head.Conn.
func onlyConnection(was session.Head, ch *session.Change) bool {
	was.Version, was.Conn = ch.Version, ch.Conn
	return was == ch.Head && len(ch.Add) == 0 && ch.Had < 0
}

func (b *backend) delete(id uuid.UUID, was *session.Conversation) error {
	batch, err := b.j.enter()
	if err != nil {
		return err
	}
	e := b.j.entries[id]
	if e == nil {
		b.j.cancel(batch)
		return session.ErrConflict
	}
	b.j.delete(batch, id, e)
	if err := b.j.leave(batch); err != nil {
		return err
	}
	b.EndClaim(id, was.Head)
	return nil
}

// touchEvery is the least time, in seconds, between two uses that are journalled. It is 59
// and not 60, since a sweep can come a moment early.
const touchEvery = 59

// Touch implements session.Backend: it journals that conversations were used.
func (b *backend) Touch(_ context.Context, used []session.Use) ([]uuid.UUID, error) {
	batch, err := b.j.enter()
	if err != nil {
		return nil, err
	}
	n, now := 0, b.j.seconds()
	start, buf := beginFrame(batch.buf, kindTouch)
	buf = binary.AppendUvarint(buf, now)
	for _, u := range used {
		e := b.j.entries[u.ID]
		at := u.At.Unix()
		if e == nil || at-e.used < touchEvery {
			continue
		}
		b.j.note(batch, u.ID, e)
		buf = append(buf, u.ID[:]...)
		buf = binary.AppendUvarint(buf, uint64(max(0, int64(b.j.start+now)-at)))
		e.used = at
		n++
	}
	if n == 0 {
		b.j.cancel(batch)
		return nil, nil
	}
	endFrame(buf, start)
	batch.buf = buf
	return nil, b.j.leave(batch)
}

const (
	// appendLimit bounds one text's bytes in a batch, so that a long text does not hold up
	// the others.
	appendLimit = 16 << 10
	// pushBatch: with more texts than this in a batch, the writer does not serve
	// their followers itself, which would hold up the next batch.
	pushBatch = 128
)

// Append implements session.Backend. All texts go into one frame.
func (b *backend) Append(_ context.Context, texts []*session.Text) {
	batch, err := b.j.enter()
	if err != nil {
		return
	}
	ends := make([]int, len(texts))
	start, buf := beginFrame(batch.buf, kindAppend)
	buf = binary.AppendUvarint(buf, b.j.seconds())
	before := len(buf)
	for i, t := range texts {
		buf, ends[i] = b.j.append(batch, buf, t)
	}
	if len(buf) == before {
		b.j.cancel(batch)
		return
	}
	endFrame(buf, start)
	batch.buf = buf
	if b.j.leave(batch) != nil {
		return
	}
	for i, t := range texts {
		if ends[i] >= 0 {
			t.Saved(ends[i], len(texts) <= pushBatch)
		}
	}
}

// Ready implements session.Backend.
func (b *backend) Ready(context.Context) error { return b.j.health() }

const (
	// tickEvery is the period of tick.
	tickEvery = time.Second
	// minGarbage is how many bytes a compaction must free, unless it is for erasure.
	minGarbage = 32 << 20
)

// Run implements session.Backend.
func (b *backend) Run(ctx context.Context, _ func(session.Hint)) error {
	defer b.compactions.Wait()
	session.Every(ctx, tickEvery, b.tick)
	return nil
}

// tick is what is done once a second.
func (b *backend) tick(ctx context.Context) {
	if b.j.health() != nil {
		_ = b.recover(ctx) // the next tick tries again
		return
	}
	_ = b.j.checkAlone() // sets j.failed if another process writes here
	if b.j.mode == EverySecond && b.j.sync() == nil {
		b.j.mark()
	}
	if !b.j.wantsCompaction(time.Since(b.compacted) >= b.eraseEvery, time.Since(b.compacted) >= time.Minute) {
		return
	}
	b.compacted = time.Now()
	b.compactions.Go(func() {
		if err := b.compact(ctx); err != nil && ctx.Err() == nil {
			b.j.log.Warn("old conversations could not be removed from disk; trying again later", slog.Any("error", err))
		}
	})
}
