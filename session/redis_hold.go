package session

import (
	"context"
	"math/rand/v2"
	"time"

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
func (r *Redis) Hold(ctx context.Context, ref Ref) error {
	status, rest, err := r.step(ctx, touchScript, ref, "", millis(connTTL))
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
	h := r.holdOfLocked(ref)
	h.n++
	h.seen = seen
	return nil
}

// holdOfLocked returns a conversation's hold, made if there is none.
func (r *Redis) holdOfLocked(ref Ref) *hold {
	h := r.holds[ref]
	if h == nil {
		h = &hold{next: time.Now().Add(r.touchAfter())}
		r.holds[ref] = h
	}
	return h
}

// dropHoldLocked forgets a hold that nobody needs.
func (r *Redis) dropHoldLocked(ref Ref, h *hold) {
	if h.n <= 0 && h.claim == nil {
		delete(r.holds, ref)
	}
}

// Release implements Store.
func (r *Redis) Release(ref Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.holds[ref]; h != nil {
		h.n = max(0, h.n-1)
		r.dropHoldLocked(ref, h)
	}
}

// touchHeld keeps alive what is held, and finds what a hint has missed.
func (r *Redis) touchHeld(ctx context.Context) {
	r.every(ctx, min(pollEvery, max(r.cfg.TTL/10, time.Millisecond)), func() {
		now := time.Now()
		var refs []Ref
		var claims []*claimed
		r.mu.Lock()
		for ref, h := range r.holds {
			if now.After(h.next) {
				h.next = now.Add(r.touchAfter())
				refs, claims = append(refs, ref), append(claims, h.claim)
			}
		}
		r.mu.Unlock()
		for len(refs) > 0 {
			n := min(len(refs), maxBatch)
			r.touch(ctx, refs[:n], claims[:n])
			refs, claims = refs[n:], claims[n:]
		}
	})
}

func (r *Redis) touch(ctx context.Context, refs []Ref, claims []*claimed) {
	answers := r.multi(ctx, len(refs), func(c rueidis.Client, i int) rueidis.Completed {
		mine := ""
		if claims[i] != nil {
			mine = claims[i].value
		}
		return r.command(c, touchScript, refs[i], []string{mine, millis(connTTL)})
	})
	for i, got := range answers {
		switch got.status {
		case "ok":
			a := &answer{rest: got.rest}
			holder := a.string()
			r.touched(ctx, refs[i], claims[i], holder, a.string()+" "+a.string())
		case "not found":
			r.endAll(refs[i])
			r.isGone(refs[i])
		}
	}
}

// touched compares what a touch found with what was there before.
func (r *Redis) touched(ctx context.Context, ref Ref, c *claimed, holder, seen string) {
	r.mu.Lock()
	h := r.holds[ref]
	changed := h != nil && h.seen != seen
	if h != nil {
		h.seen = seen
	}
	current := h != nil && c != nil && h.claim == c
	r.mu.Unlock()
	if changed {
		r.changed(ref)
	}
	switch {
	case !current || holder == c.value:
	case holder == "": // it ran out while Redis was away, or this node was paused
		_, _, _ = r.step(ctx, connectScript, ref, c.value, millis(connTTL), string(FromNobody), "")
	default:
		if e := r.watcher(); e != nil {
			e.Taken(ref, c.connection)
		}
	}
}
