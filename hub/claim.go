package hub

import (
	"context"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Claim is a connection's claim on a conversation: the session cannot expire (Manager.Hold),
// and the store names the connection (Manager.Connect). A watcher's only holds the session.
type Claim struct {
	ref    session.Ref
	id     uuid.UUID // of the connection
	watch  bool
	slot   bool   // it counts in Hub.slots
	client string // for which it counts there
}

// claim claims a conversation for a new connection, from the one that has it.
func (h *Hub) claim(ctx context.Context, sock Socket, j Join) (*Claim, error) {
	c := session.Claim{Client: j.Client, Arrived: j.Arrived, Responds: sock.Responds}
	if j.Again && j.Client != uuid.Nil {
		c.Mode = session.FromItself
	}
	return h.hold(ctx, j.Ref, c, j.Watch)
}

// hold holds the session and, unless watch, connects. Errors as for Manager.Connect.
func (h *Hub) hold(ctx context.Context, ref session.Ref, c session.Claim, watch bool) (claim *Claim, err error) {
	if err := h.sessions.Hold(ctx, ref); err != nil {
		return nil, err
	}
	defer func() {
		if claim == nil { // also after a panic
			h.sessions.Release(ref)
		}
	}()
	c.Connection = uuid.New()
	if watch {
		err = h.sessions.Subscribe(ctx, ref)
	} else {
		err = h.sessions.Connect(ctx, ref, c)
	}
	if err != nil {
		return nil, err
	}
	return &Claim{ref: ref, id: c.Connection, watch: watch}, nil
}

// Reserve claims a conversation that no connection has, before the WebSocket's upgrade.
// The Claim goes to Serve, or to Leave if the upgrade fails.
// Errors: ErrDraining, errCrowded; session.ErrTaken, ErrNotFound, ErrUnavailable.
func (h *Hub) Reserve(ctx context.Context, from Caller, ref session.Ref) (c *Claim, err error) {
	if h.draining.Load() {
		return nil, ErrDraining
	}
	if err := h.occupy(from); err != nil {
		return nil, err
	}
	defer func() {
		if c == nil { // also after a panic
			h.slots.free(from.Client)
		}
	}()
	if c, err = h.hold(ctx, ref, session.Claim{Arrived: time.Now(), Mode: session.FromNobody}, false); c != nil {
		c.slot, c.client = true, from.Client
	}
	return c, err
}

// Leave gives a Claim up. It does not panic.
func (h *Hub) Leave(c *Claim) {
	_ = h.rescue("leaving a place", c.ref, func() error {
		defer h.sessions.Release(c.ref)
		if c.slot {
			h.slots.free(c.client)
		}
		if !c.watch {
			h.sessions.Disconnect(c.ref, c.id)
		}
		return nil
	})
}
