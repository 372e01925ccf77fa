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
	s.token = uuid.New()
	c.Connection = s.token
	if err := h.shared.Connect(ctx, conversation, c); err != nil {
		h.sessions.Release(conversation)
		return nil, err
	}
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
	s, err := h.claim(ctx, conversation, session.Claim{Mode: session.FromNobody})
	if err != nil {
		h.unreserve(&Seat{conversation: conversation, reserved: true})
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

// Leave gives a place up.
func (h *Hub) Leave(s *Seat) {
	h.unreserve(s)
	if h.shared != nil {
		h.shared.Disconnect(s.conversation, s.token)
	}
	h.sessions.Release(s.conversation)
}

func (h *Hub) unreserve(s *Seat) {
	if s.reserved {
		_ = h.do(func() { delete(h.reserved, s.conversation) })
	}
}
