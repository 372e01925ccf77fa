package hub

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// adoptAgain is how long after a panic the hub tries again to take a reply over.
const adoptAgain = time.Second

// takersAtOnce is how many orphaned replies are taken over at a time, where
// MAX_UPSTREAM does not say less.
const takersAtOnce = 50

// orphans are replies that nobody writes and that wait to be taken over here.
type orphans struct {
	takers  *semaphore.Weighted // one for each reply that is being taken over
	running sync.WaitGroup      // goroutines in takeOver
	mu      sync.Mutex          // guards what follows
	known   map[uuid.UUID]bool  // by reply: those that wait, and those being taken over
}

// Orphaned implements session.Events: the reply is taken over, unless that is under
// way. It does not block.
func (h *Hub) Orphaned(ref session.Ref, reply uuid.UUID) {
	o := &h.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[reply] || h.turnsCtx.Err() != nil {
		return
	}
	o.known[reply] = true
	o.running.Go(func() { h.takeOver(ref, reply) })
}

// takeOver adopts a reply when its turn has come, unless the hub ends before.
func (h *Hub) takeOver(ref session.Ref, reply uuid.UUID) {
	o := &h.orphans
	if o.takers.Acquire(h.turnsCtx, 1) != nil {
		return
	}
	defer o.takers.Release(1)
	if h.rescue("taking a reply over", ref, func() error { h.adopt(ref, reply); return nil }) != nil {
		h.sendAway(ref)
		// Followers that come before the next attempt wait for it.
		time.AfterFunc(adoptAgain, func() { h.Orphaned(ref, reply) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, reply)
}

// sendAway ends the streams that follow a reply which nobody writes; their clients
// reconnect.
func (h *Hub) sendAway(ref session.Ref) {
	_ = h.rescue("a reply's followers", ref, func() error {
		r, err := h.Running(h.turnsCtx, ref)
		if err != nil || r == nil {
			return err
		}
		r.Away()
		return nil
	})
}

// adopt takes over one reply. It returns up to 50 ms after the turn has started, so that
// the model is not asked for all orphans at once.
func (h *Hub) adopt(ref session.Ref, id uuid.UUID) {
	const spread = 50 * time.Millisecond
	h.work.Add(1)
	defer h.workDone()
	if h.draining.Load() {
		return
	}
	step, cancel := context.WithTimeout(h.turnsCtx, StoreTimeout)
	said, ended, err := h.sessions.Take(step, ref, id)
	cancel()
	switch {
	case errors.Is(err, session.ErrBusy), errors.Is(err, session.ErrLost), errors.Is(err, session.ErrNotFound):
		return // somebody else has it, or it has ended
	case err != nil:
		h.log.Warn("a reply could not be taken over", "session", ShortID(ref.ID), "error", err)
		return // followers and polls report it again
	}
	r := reply.Of(said.Text)
	h.recountReply(h.turnsCtx, said.Running.Client, id)
	h.metrics.adoptions.Inc()
	h.log.Info("reply taken over", slog.String("session", ShortID(ref.ID)), slog.Int("at", r.Appended()))
	if ended != "" {
		m := session.Message{FinishReason: ended}
		if ended == session.FinishError {
			m.Failure = CodeInternal
		}
		if err := h.finish(r, m); err != nil {
			h.log.Warn("a reply that was taken over could not be ended", "session", ShortID(ref.ID), "error", err)
		}
		h.uncountReply(said.Running.Client, id)
		h.Changed(ref) // connections here may not know this reply
		return
	}
	if h.start(r, said, Caller{Client: said.Running.Client}) != nil {
		return
	}
	pause := time.NewTimer(rand.N(spread))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-h.turnsCtx.Done():
	}
}
