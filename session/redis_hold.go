package session

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// hold is a conversation that has connections here.
type hold struct {
	n     int       // Hold less Release
	claim *claimed  // nil: none
	next  time.Time // when it is touched again
	seen  string    // the last message and the running reply, when it was last touched
}

// touchAfter is how often a held conversation is touched.
func (r *Redis) touchAfter() time.Duration {
	d := min(r.cfg.TTL/3, 20*time.Second)
	return d - rand.N(d/8+1)
}

// Hold implements Store.
func (r *Redis) Hold(ctx context.Context, id uuid.UUID) error {
	status, rest, err := r.step(ctx, touchScript, id, "", millis(connTTL))
	if err != nil {
		return err
	}
	if status != "ok" {
		return ErrNotFound
	}
	a := &answer{rest: rest}
	_ = a.string()
	seen := a.string() + " " + a.string()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.holdOfLocked(id)
	h.n++
	h.seen = seen
	return nil
}

// holdOfLocked returns a conversation's hold, made if there is none.
func (r *Redis) holdOfLocked(id uuid.UUID) *hold {
	h := r.holds[id]
	if h == nil {
		h = &hold{next: time.Now().Add(r.touchAfter())}
		r.holds[id] = h
	}
	return h
}

// dropHoldLocked forgets a hold that nobody needs.
func (r *Redis) dropHoldLocked(id uuid.UUID, h *hold) {
	if h.n <= 0 && h.claim == nil {
		delete(r.holds, id)
	}
}

// Release implements Store.
func (r *Redis) Release(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.holds[id]; h != nil {
		h.n = max(0, h.n-1)
		r.dropHoldLocked(id, h)
	}
}

// touchHeld keeps alive what is held, and finds what a hint has missed.
func (r *Redis) touchHeld(ctx context.Context) {
	every(ctx, min(pollEvery, max(r.cfg.TTL/10, time.Millisecond)), func() {
		now := time.Now()
		var ids []uuid.UUID
		var claims []*claimed
		r.mu.Lock()
		for id, h := range r.holds {
			if now.After(h.next) {
				h.next = now.Add(r.touchAfter())
				ids, claims = append(ids, id), append(claims, h.claim)
			}
		}
		r.mu.Unlock()
		for len(ids) > 0 {
			n := min(len(ids), maxBatch)
			r.touch(ctx, ids[:n], claims[:n])
			ids, claims = ids[n:], claims[n:]
		}
	})
}

func (r *Redis) touch(ctx context.Context, ids []uuid.UUID, claims []*claimed) {
	answers := r.multi(ctx, len(ids), func(c rueidis.Client, i int) rueidis.Completed {
		mine := ""
		if claims[i] != nil {
			mine = claims[i].value
		}
		return r.command(c, touchScript, ids[i], []string{mine, millis(connTTL)})
	})
	for i, got := range answers {
		switch got.status {
		case "ok":
			a := &answer{rest: got.rest}
			holder := a.string()
			r.touched(ctx, ids[i], claims[i], holder, a.string()+" "+a.string())
		case "not found":
			r.endAll(ids[i])
			r.isGone(ids[i])
		}
	}
}

// touched compares what a touch found with what was there before.
func (r *Redis) touched(ctx context.Context, id uuid.UUID, c *claimed, holder, seen string) {
	r.mu.Lock()
	h := r.holds[id]
	changed := h != nil && h.seen != seen
	if h != nil {
		h.seen = seen
	}
	current := h != nil && c != nil && h.claim == c
	r.mu.Unlock()
	if changed {
		r.changed(id)
	}
	switch {
	case !current || holder == c.value:
	case holder == "": // it ran out while Redis was away, or this node was paused
		_, _, _ = r.step(ctx, connectScript, id, c.value, millis(connTTL), string(FromNobody), "")
	default:
		if e := r.watcher(); e != nil {
			e.Taken(id, c.connection)
		}
	}
}
