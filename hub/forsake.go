package hub

import (
	"context"
	"errors"
	"time"

	"lumos/backend/session"
)

// followSlack is how much longer than its patience a reply goes on for other
// nodes: what they say of their followers comes by polls, every second if all
// is well.
const followSlack = 5 * time.Second

// forsake stops a reply that nobody here has followed for its patience, and
// nobody at another node. It is called by a timer. Who begins to follow at
// another node within the one round trip that asks sees it stopped.
func (h *Hub) forsake(r *Reply) {
	h.tell(r.Conversation, func() {
		h.spawn("a reply that nobody follows", r.Conversation, func() {
			if wait := h.awaited(r); wait > 0 {
				r.rest(wait)
			} else if r.sealForsaken() {
				h.end(r, session.Message{FinishReason: session.FinishStopped}, nil)
			}
		})
	})
}

// awaited returns for how much longer a reply is to go on for the sake of
// other nodes' followers.
func (h *Hub) awaited(r *Reply) time.Duration {
	if h.shared == nil {
		return 0
	}
	var since time.Duration
	err := h.rescue("a reply's followers", r.Conversation, func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		since, err = h.shared.Unfollowed(ctx, r.Conversation, r.ID)
		return err
	})
	switch {
	case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrLost):
		return 0
	case err != nil:
		return followSlack // who follows cannot be told, and the end not be stored
	}
	return h.cfg.AbandonAfter + followSlack - min(since, h.cfg.AbandonAfter+followSlack)
}

// lookForFollowers lets go of a copy that was found and then not followed: it
// would count as a follower at the node that writes.
func (h *Hub) lookForFollowers(r *Reply) {
	time.AfterFunc(followSlack, func() {
		_ = h.rescue("a copy's end", r.Conversation, func() error { h.unfollow(r); return nil })
	})
}
