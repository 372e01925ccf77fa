package hub

import (
	"context"
	"math/rand/v2"
	"time"

	"lumos/backend/session"
)

const (
	// pingInterval is how long a connection may be silent before it is asked
	// whether its peer is still there.
	pingInterval = 30 * time.Second
	// pongTimeout is how long the peer may take to answer.
	pongTimeout = 10 * time.Second
	// drainSpread is the time over which idle connections are sent away, so
	// that they do not all come back at once.
	drainSpread = 2 * time.Second
	// drainGrace is how long after the drain's deadline connections may take
	// what is left for them.
	drainGrace = 2 * time.Second
)

// pingSilent asks the connections on which nothing has passed for a while, and
// drops those that did not answer. It runs on the loop; one goroutine writes
// for all, since a ping is a few bytes that nobody waits for.
func (h *Hub) pingSilent() {
	now := time.Now()
	var ask, drop []*Conn
	for _, c := range h.conns {
		var active time.Time
		if h.rescue("a connection's silence", c.conversation, func() error { active = c.sock.Active(); return nil }) != nil {
			drop = append(drop, c)
			continue
		}
		if !active.Before(c.asked) {
			c.asked = time.Time{}
		}
		switch {
		case c.asked.IsZero():
			if now.Sub(active) >= pingInterval-rand.N(pingInterval/4) {
				c.asked = now
				ask = append(ask, c)
			}
		case now.Sub(c.asked) >= pongTimeout:
			drop = append(drop, c)
		}
	}
	if len(ask)+len(drop) == 0 {
		return
	}
	h.spawn("pings", session.Ref{}, func() {
		for _, c := range ask {
			if h.rescue("a ping", c.conversation, func() error { c.sock.Ping(); return nil }) != nil {
				c.drop()
			}
		}
		for _, c := range drop {
			c.drop()
		}
	})
}

// endUnauthorized closes the connections whose right to be here has ended. It
// runs on the loop.
func (h *Hub) endUnauthorized() {
	now := time.Now().Unix()
	for _, c := range h.conns {
		if c.expires != 0 && now >= c.expires {
			c.Close(CloseUnauthorized, "the token has expired")
		}
	}
}

// Drain has the hub take nothing new and sends the connections away with
// CloseGoingAway: those without a running reply over the next two seconds, the
// others behind their reply's end. When ctx ends, running replies are stopped
// and stored. It returns when no reply and no connection is left, or Run ends.
func (h *Hub) Drain(ctx context.Context) {
	var drained <-chan struct{} // nil: nothing is left since an earlier call
	_ = h.do(func() {
		if !h.draining {
			h.draining, h.drained = true, make(chan struct{})
			for _, c := range h.conns {
				time.AfterFunc(rand.N(drainSpread), func() {
					h.tell(c.conversation, func() { c.leave(CloseGoingAway, "the server is going away") })
				})
			}
		}
		drained = h.drained
		h.checkDrained()
	})
	if drained == nil {
		return
	}
	select {
	case <-drained:
		return
	case <-h.closing:
		return
	case <-ctx.Done():
	}
	var replies []*Reply
	_ = h.do(func() {
		for _, r := range h.replies {
			replies = append(replies, r)
		}
	})
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainGrace)
	defer cancel()
	for _, r := range replies {
		_ = h.rescue("draining", r.Conversation, func() error { h.drainReply(over, r); return nil })
	}
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-drained:
	case <-h.closing:
	case <-grace.C:
	}
}

// drainReply ends a reply that still runs at the drain's deadline, or leaves it to
// another node.
func (h *Hub) drainReply(ctx context.Context, r *Reply) {
	switch {
	case r.isCopy():
		r.finish(End{Err: ErrDraining})
		h.tell(r.Conversation, func() { h.forget(r) })
		h.shared.Unfollow(r.ID)
	case h.shared != nil:
		h.yield(ctx, r)
	default:
		h.giveUp(r)
	}
}

// checkDrained tells Drain when nothing is left. It runs on the loop.
func (h *Hub) checkDrained() {
	if h.drained != nil && len(h.conns) == 0 && len(h.replies) == 0 {
		close(h.drained)
		h.drained = nil
	}
}

// Draining tells whether the hub takes nothing new any more.
func (h *Hub) Draining() bool {
	draining := true
	_ = h.do(func() { draining = h.draining })
	return draining
}

func (h *Hub) stopped() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}
