package hub

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// takersAtOnce is how many orphaned replies are taken over at a time, where
// MAX_UPSTREAM does not say less.
const takersAtOnce = 50

// orphans are replies that nobody writes, on their way to be taken over.
type orphans struct {
	most int // at a time

	mu     sync.Mutex // guards what follows
	queue  []orphan
	known  map[uuid.UUID]bool // by reply: those in queue, and those being taken
	signal chan struct{}      // one slot
}

type orphan struct {
	ref   session.Ref
	reply uuid.UUID
}

func (o *orphans) init(upstream int) {
	o.most = takersAtOnce
	if upstream > 0 {
		o.most = min(upstream, takersAtOnce)
	}
	o.known, o.signal = make(map[uuid.UUID]bool), make(chan struct{}, 1)
}

// add has a reply taken over, unless that is under way. It does not block.
func (o *orphans) add(ref session.Ref, reply uuid.UUID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[reply] {
		return
	}
	o.known[reply] = true
	o.queue = append(o.queue, orphan{ref, reply})
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

func (o *orphans) take() (orphan, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return orphan{}, false
	}
	next := o.queue[0]
	o.queue = o.queue[1:]
	return next, true
}

func (o *orphans) done(reply uuid.UUID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, reply)
}

// takeOrphans takes over what is orphaned until ctx ends.
func (h *Hub) takeOrphans(ctx context.Context) {
	slots := make(chan struct{}, h.orphans.most)
	var takers sync.WaitGroup
	defer takers.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.orphans.signal:
		}
		for {
			next, ok := h.orphans.take()
			if !ok {
				break
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			takers.Go(func() {
				defer func() { <-slots }()
				defer h.orphans.done(next.reply)
				if h.rescue("taking a reply over", next.ref, func() error { h.adopt(ctx, next); return nil }) != nil {
					h.sendAway(ctx, next.ref)
				}
			})
		}
	}
}

// sendAway has those who follow a reply come again: nobody writes it.
func (h *Hub) sendAway(ctx context.Context, ref session.Ref) {
	_ = h.rescue("a reply's followers", ref, func() error {
		r, err := h.Running(ctx, ref)
		if err != nil || r == nil {
			return err
		}
		r.Away()
		return nil
	})
}

// adopt takes over one reply. The slot that it has is free when the model has
// begun to answer, or a moment later: so the model is not asked for all at once.
func (h *Hub) adopt(ctx context.Context, o orphan) {
	const spread = 50 * time.Millisecond
	h.work.Add(1)
	defer h.workDone()
	if h.draining.Load() {
		return
	}
	step, cancel := context.WithTimeout(ctx, storeTimeout)
	said, ended, err := h.sessions.Take(step, o.ref, o.reply)
	cancel()
	switch {
	case errors.Is(err, session.ErrBusy), errors.Is(err, session.ErrLost), errors.Is(err, session.ErrNotFound):
		return // somebody else has it, or it has ended
	case err != nil:
		h.log.Warn("a reply could not be taken over", "session", ShortID(o.ref.ID), "error", err)
		return // it is found again as long as somebody cares
	}
	r := reply.Of(said.Text)
	h.enterAgain(ctx, said.Running.Client, o.reply)
	h.metrics.adoptions.Inc()
	h.log.Info("reply taken over", slog.String("session", ShortID(o.ref.ID)), slog.Int("at", r.Appended()))
	if ended != "" {
		m := session.Message{FinishReason: ended}
		if ended == session.FinishError {
			m.Failure = CodeInternal
		}
		if err := h.finish(r, m); err != nil {
			h.log.Warn("a reply that was taken over could not be ended", "session", ShortID(o.ref.ID), "error", err)
		}
		h.leave(said.Running.Client, o.reply)
		h.Changed(o.ref) // who is here may not have heard of it at all
		return
	}
	if h.start(r, said, Caller{Client: said.Running.Client}) != nil {
		return
	}
	pause := time.NewTimer(rand.N(spread))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}
