package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// idlers are connections on which nothing is said: each has said hello, read
// its `ready`, and from then on answers pings.
type idlers struct {
	all     sync.WaitGroup
	closing atomic.Bool
	mu      sync.Mutex
	open    []*wsConn // guarded by mu
}

// idle opens the run's idle connections at its ramp and returns when all are
// ready or have failed. Their numbers follow the conversations'.
func (r *run) idle(ctx context.Context) *idlers {
	held := new(idlers)
	begin := time.Now()
	var ready sync.WaitGroup
	for i := range r.Idle {
		due := begin
		if r.Ramp > 0 {
			due = begin.Add(time.Duration(float64(i) / r.Ramp * float64(time.Second)))
		}
		if !pause(ctx, time.Until(due)) {
			break
		}
		ready.Add(1)
		held.all.Go(func() {
			c := newClient(r, r.Conversations+i)
			err := c.connect(ctx, due)
			if err != nil {
				c.shard.fail(fmt.Errorf("opening an idle connection: %w", err))
				ready.Done()
				return
			}
			held.mu.Lock()
			held.open = append(held.open, c.ws)
			held.mu.Unlock()
			ready.Done()
			c.ws.SetReadDeadline(time.Time{})
			if _, err := c.ws.next(); !held.closing.Load() {
				c.shard.fail(fmt.Errorf("idle connection ended: %w", err))
			}
		})
	}
	ready.Wait()
	return held
}

// count is how many are open.
func (h *idlers) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

// close ends them all.
func (h *idlers) close() {
	h.closing.Store(true)
	h.mu.Lock()
	for _, c := range h.open {
		c.Close()
	}
	h.mu.Unlock()
	h.all.Wait()
}
