package hub

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Claim is a conversation's place for a connection: its session is held, and the
// store knows that it is taken. A watcher's holds the session alone.
type Claim struct {
	ref      session.Ref
	id       uuid.UUID // of the connection
	watch    bool
	reserved bool   // it is in the hub's list, and has a slot
	client   string // whose, if it is reserved
}

// claim takes a conversation's place from the connection that has it.
func (h *Hub) claim(ctx context.Context, sock Socket, j Join) (*Claim, error) {
	c := session.Claim{Client: j.Client, Arrived: j.Arrived, Responds: sock.Responds}
	if j.Again && j.Client != uuid.Nil {
		c.Mode = session.FromItself
	}
	return h.hold(ctx, j.Ref, c, j.Watch)
}

func (h *Hub) hold(ctx context.Context, ref session.Ref, c session.Claim, watch bool) (*Claim, error) {
	if err := h.sessions.Hold(ctx, ref); err != nil {
		return nil, err
	}
	claim := &Claim{ref: ref, id: uuid.New(), watch: watch}
	if watch {
		if err := h.sessions.Subscribe(ctx, ref); err != nil {
			h.sessions.Release(ref)
			return nil, err
		}
		return claim, nil
	}
	c.Connection = claim.id
	connected := false
	defer func() {
		if !connected {
			h.sessions.Release(ref)
		}
	}()
	if err := h.sessions.Connect(ctx, ref, c); err != nil {
		return nil, err
	}
	connected = true
	return claim, nil
}

// Reserve takes a place that is free, for a connection that is still to be made:
// it goes to Serve, or to Leave when nothing comes of it.
// Errors: ErrDraining, ErrCrowded; session.ErrTaken, ErrNotFound, ErrUnavailable.
func (h *Hub) Reserve(ctx context.Context, from Caller, ref session.Ref) (*Claim, error) {
	var refused error
	err := h.do(func() {
		switch {
		case h.draining.Load():
			refused = ErrDraining
		case h.owner(ref) != nil, h.reserved[ref]:
			refused = session.ErrTaken
		default:
			if refused = h.occupy(from); refused == nil {
				h.reserved[ref] = true
			}
		}
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	held := false
	defer func() {
		if !held {
			h.unreserve(ref, from.Client)
		}
	}()
	c, err := h.hold(ctx, ref, session.Claim{Arrived: time.Now(), Mode: session.FromNobody}, false)
	if err != nil {
		return nil, err
	}
	held, c.reserved, c.client = true, true, from.Client
	return c, nil
}

// Leave gives a place up. It does not panic.
func (h *Hub) Leave(c *Claim) {
	_ = h.rescue("leaving a place", c.ref, func() error {
		defer h.sessions.Release(c.ref)
		if c.reserved {
			h.unreserve(c.ref, c.client)
		}
		if !c.watch {
			h.sessions.Disconnect(c.ref, c.id)
		}
		return nil
	})
}

func (h *Hub) unreserve(ref session.Ref, client string) {
	_ = h.do(func() { delete(h.reserved, ref) })
	h.slots.free(client)
}
