package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// drainSpread is the time over which idle connections are sent away, so that
	// they do not all come back at once.
	drainSpread = 2 * time.Second
	// drainGrace is how long after the drain's deadline connections may still receive
	// their last frames.
	drainGrace = 2 * time.Second
)

// Drain has the hub take nothing new and sends the connections away with
// CloseGoingAway: those without a running reply over the next two seconds, the
// others after their reply's end. When ctx ends, running replies are left to
// another node or the next process, where the store outlives this one, and stopped
// otherwise. It returns when no reply and no connection is left, or Run ends.
func (h *Hub) Drain(ctx context.Context) {
	_ = h.do(func() {
		if !h.draining.Swap(true) {
			h.eachConn(func(c *Conn) {
				time.AfterFunc(rand.N(drainSpread), func() { c.closeWhenIdle(CloseGoingAway, "the server is going away") })
			})
		}
		h.checkDrained()
	})
	if h.awaitDrained(ctx) {
		return
	}
	if h.sessions.Outlives() { // followers resume elsewhere, or when the next process is there
		h.endTurns(errYielding)
		_ = h.do(func() { h.eachConn(func(c *Conn) { c.Close(CloseGoingAway, "the server is going away") }) })
	} else {
		h.endTurns(errStopRequested)
	}
	grace, cancel := context.WithTimeout(context.Background(), drainGrace)
	defer cancel()
	h.awaitDrained(grace)
}

// awaitDrained waits until nothing is left, or Run ends; it returns false if ctx ends
// before.
func (h *Hub) awaitDrained(ctx context.Context) bool {
	select {
	case <-h.drained.Done():
	case <-h.closing:
	case <-ctx.Done():
		return false
	}
	return true
}

// Staying returns a context for following a reply. It ends like ctx, and with
// ErrDraining once running replies are left to another node or the next process.
func (h *Hub) Staying(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.turnsCtx, func() {
		if errors.Is(context.Cause(h.turnsCtx), errYielding) {
			end(ErrDraining)
		}
	})
	return ctx, func() { stop(); end(nil) }
}

// checkDrained tells Drain when nothing is left. It runs on the loop.
func (h *Hub) checkDrained() {
	if h.draining.Load() && len(h.rooms) == 0 && h.work.Load() == 0 {
		h.nothingLeft()
	}
}

// workDone ends what was added to work, and tells Drain if that was the last.
func (h *Hub) workDone() {
	h.work.Add(-1)
	if h.draining.Load() {
		_ = h.do(h.checkDrained)
	}
}

// Draining tells whether the hub takes nothing new any more.
func (h *Hub) Draining() bool { return h.draining.Load() }
