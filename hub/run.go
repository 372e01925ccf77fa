package hub

import (
	"context"
	"time"

	"lumos/backend/session"
)

// op is a function that is to run on Run's goroutine.
type op struct {
	run  func()
	done chan error // one slot; ErrPanicked or nil
}

// Run owns the registry until ctx ends. Then it stops the replies and closes
// the connections that are left, and returns when all that the hub ever
// started has returned. It is called once.
//
// An op that panics fails alone, and Run serves the next. The registry is maps whose
// entries know nothing of each other, and each op touches those of one conversation
// or client: broken off half way, it leaves at worst that one's entry behind, which
// the next op for it replaces. That is less harm than to end every connection and,
// without a store that outlives the process, every conversation. A map that is broken
// itself is no panic: the runtime ends the process.
func (h *Hub) Run(ctx context.Context) error {
	beat := time.NewTicker(pingInterval / 4)
	defer beat.Stop()
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	h.late.last = time.Now()
	for {
		select {
		case o := <-h.ops:
			o.done <- h.rescue("the registry", session.Ref{}, func() error { o.run(); return nil })
		case <-beat.C:
			_ = h.rescue("the registry", session.Ref{}, func() error { h.pingSilent(); h.endUnauthorized(); return nil })
		case <-pulse.C:
			h.late.beat(time.Now())
		case <-ctx.Done():
			close(h.closing)
			for _, c := range h.conns {
				c.Close(CloseGoingAway, "the server stops")
			}
			for _, r := range h.replies {
				r.seal()
				r.finish(End{Err: errStopped})
			}
			h.running.Wait()
			return nil
		}
	}
}

// do runs f on Run's goroutine and returns when it is done. If f panics,
// do panics with ErrPanicked, on the caller's goroutine.
func (h *Hub) do(f func()) error {
	o := op{f, make(chan error, 1)}
	select {
	case h.ops <- o:
		if err := <-o.done; err != nil {
			panic(err)
		}
		return nil
	case <-h.closing:
		return errStopped
	}
}
