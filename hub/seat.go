package hub

import (
	"context"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Seat is a conversation's place for a connection: its session is held, and
// other nodes know that it is taken.
type Seat struct {
	conversation session.Ref
	token        uuid.UUID // of the connection; nil without a Log
	reserved     bool      // it is in the hub's list
}

// sit takes a conversation's place from whoever has it at another node.
func (h *Hub) sit(ctx context.Context, sock Socket, j Join) (*Seat, error) {
	c := session.Claim{Client: j.Client, Alive: sock.Alive}
	if j.Again && j.Client != uuid.Nil {
		c.Mode = session.FromItself
	}
	return h.claim(ctx, j.Conversation, c)
}

func (h *Hub) claim(ctx context.Context, conversation session.Ref, c session.Claim) (*Seat, error) {
	if err := h.sessions.Hold(ctx, conversation); err != nil {
		return nil, err
	}
	s := &Seat{conversation: conversation}
	if h.shared == nil {
		return s, nil
	}
	claimed := false
	defer func() {
		if !claimed {
			h.sessions.Release(conversation)
		}
	}()
	s.token = uuid.New()
	c.Connection = s.token
	if err := h.shared.Connect(ctx, conversation, c); err != nil {
		return nil, err
	}
	claimed = true
	return s, nil
}

// Reserve takes a place that is free, for a connection that is still to be
// made: it goes to Serve, or to Leave when nothing comes of it.
// Errors: ErrDraining, ErrCrowded; session.ErrTaken, ErrNotFound, ErrUnavailable.
func (h *Hub) Reserve(ctx context.Context, from Caller, conversation session.Ref) (*Seat, error) {
	var refused error
	err := h.do(func() {
		switch {
		case h.draining:
			refused = ErrDraining
		case h.conns[conversation] != nil || h.reserved[conversation]:
			refused = session.ErrTaken
		default:
			if refused = h.crowded(from); refused == nil {
				h.reserved[conversation] = true
			}
		}
	})
	if err != nil || refused != nil {
		return nil, orDraining(err, refused)
	}
	var s *Seat
	defer func() {
		if s == nil {
			h.unreserve(&Seat{conversation: conversation, reserved: true})
		}
	}()
	if s, err = h.claim(ctx, conversation, session.Claim{Mode: session.FromNobody}); err != nil {
		return nil, err
	}
	s.reserved = true
	return s, nil
}

// orDraining: a hub that has stopped is one that drains, to a client.
func orDraining(stopped, refused error) error {
	if stopped != nil {
		return ErrDraining
	}
	return refused
}

// Leave gives a place up. A panic of the store is logged and goes no further.
func (h *Hub) Leave(s *Seat) {
	h.unreserve(s)
	_ = h.rescue("a connection's end", s.conversation, func() error {
		defer h.sessions.Release(s.conversation)
		if h.shared != nil {
			h.shared.Disconnect(s.conversation, s.token)
		}
		return nil
	})
}

func (h *Hub) unreserve(s *Seat) {
	if s.reserved {
		h.tell(s.conversation, func() { delete(h.reserved, s.conversation) })
	}
}
