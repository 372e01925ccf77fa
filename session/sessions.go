package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// New makes a session with a random id that belongs to owner ("": to all who know the id).
// If key made a session before that still exists, it returns that one. Errors: ErrFull,
// ErrUnavailable.
func (m *Manager) New(ctx context.Context, owner string, key uuid.UUID) (Session, error) {
	return m.Create(ctx, Creation{ID: uuid.New(), Owner: owner, Key: key})
}

// Open makes the session id, which the client chose, unless it exists. Errors as for New,
// and ErrNotFound if it has another owner.
func (m *Manager) Open(ctx context.Context, owner string, id uuid.UUID) (Session, error) {
	s, err := m.Create(ctx, Creation{ID: id, Owner: owner})
	if err == nil && s.Owner != owner {
		return Session{}, ErrNotFound
	}
	return s, err
}

// Creation says what session to make.
type Creation struct {
	ID    uuid.UUID
	Owner string
	Key   uuid.UUID // see New; nil: none
}

// Create makes the session c.ID, unless it exists, or c.Owner made one with c.Key before:
// then it returns that one. Check the owner of one that was found by its ID. Errors as for
// New.
func (m *Manager) Create(ctx context.Context, c Creation) (Session, error) {
	if c.Key == uuid.Nil {
		s, _, err := m.create(ctx, c)
		return s, err
	}
	for stale := uuid.Nil; ; {
		id, err := m.b.Claim(ctx, ClaimName(c.Owner, c.Key), c.ID, stale)
		if err != nil {
			return Session{}, fmt.Errorf("failed to claim an idempotency key: %w", err)
		}
		c.ID = id
		s, ok, err := m.create(ctx, c)
		if errors.Is(err, ErrFull) {
			_, _ = m.b.Claim(ctx, ClaimName(c.Owner, c.Key), uuid.Nil, id)
		}
		if err != nil || ok {
			return s, err
		}
		stale, c.ID = id, uuid.New() // the key's session is gone, and another has its id now
	}
}

// ClaimName is the name under which Backend.Claim keeps an idempotency key.
func ClaimName(owner string, key uuid.UUID) string { return key.String() + ":" + owner }

// create makes or finds the session c.ID; ok is false where that is not the one
// that the key made.
func (m *Manager) create(ctx context.Context, c Creation) (got Session, ok bool, err error) {
	e, err := m.acquire(ctx, c.ID)
	if err != nil {
		return Session{}, false, err
	}
	defer m.release(e)
	made := create(c.Owner, c.Key) // once, so that a repeated commit is recognised by its version
	err = m.stepIn(ctx, e, func() (*Change, error) {
		if !e.there() {
			return made, nil
		}
		ok = c.Key == uuid.Nil || e.c.Owner == c.Owner && e.c.Key == c.Key
		if got = e.c.view(c.ID, Position{}); ok && got.Owner == c.Owner {
			e.use()
		}
		return nil, nil
	})
	return got, ok, err
}

// Check returns the session, without its messages, if it is owner's. Another owner's is
// ErrNotFound, as if it did not exist, and this does not count as a use. Pass the Ref that
// it returns to all later steps.
func (m *Manager) Check(ctx context.Context, id uuid.UUID, owner string) (got Session, err error) {
	e, err := m.acquire(ctx, id)
	if err != nil {
		return Session{}, err
	}
	defer m.release(e)
	err = m.stepIn(ctx, e, func() (*Change, error) {
		if !e.there() || e.c.Owner != owner {
			return nil, ErrNotFound
		}
		got = e.c.view(id, End)
		e.use()
		return nil, nil
	})
	return got, err
}

// Get returns the session with the messages after a place: after the last message that the
// path and the way to the place have in common (Session.After). If an id without Seq stands
// for several texts, the place is before that message.
// Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Get(ctx context.Context, ref Ref, after Position) (got Session, err error) {
	err = m.step(ctx, ref, func(e *cell) (*Change, error) {
		got = e.c.view(e.id, after)
		return nil, nil
	})
	return got, err
}

// Reply returns a reply that has ended, on whatever branch; nil: there is none of this
// id. Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Reply(ctx context.Context, ref Ref, id uuid.UUID) (found *Message, err error) {
	err = m.step(ctx, ref, func(e *cell) (*Change, error) {
		found = e.c.reply(id)
		return nil, nil
	})
	return found, err
}

// Say stores a user message, the name of its reply, and that this reply is
// running, in one step. A turn whose Reply was started before is that same turn
// asked once more, and gets the same answer (Ended, once it did).
// Errors: ErrNotFound, ErrBusy, ErrReused, ErrNothing, ErrLong, ErrUnavailable.
func (m *Manager) Say(ctx context.Context, ref Ref, t Turn) (said Said, err error) {
	fence := m.newFence(t.Reply.String())
	err = m.step(ctx, ref, func(e *cell) (ch *Change, err error) {
		said, ch, err = e.c.say(t, fence)
		if ch != nil && ch.Running != nil {
			err = m.roomToSay(e)
		}
		if err != nil {
			return nil, err
		}
		if ch == nil && said.Started {
			said.Text = m.ownText(e, fence)
		}
		return ch, err
	})
	if err != nil {
		return Said{}, err
	}
	return said, nil
}

// Stop has the running reply's writer end it, if it is this one, and does not wait for that.
// Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Stop(ctx context.Context, ref Ref, reply uuid.UUID) error {
	return m.step(ctx, ref, func(e *cell) (*Change, error) { return e.c.stop(reply), nil })
}

// Delete deletes the session. Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Delete(ctx context.Context, ref Ref) error {
	e, err := m.acquire(ctx, ref.ID)
	if err != nil {
		return err
	}
	defer m.release(e)
	looks, tried := 0, false
	err = m.stepIn(ctx, e, func() (*Change, error) {
		looks++
		switch {
		case looks == 1 && !m.kind.Alone:
			return nil, nil // load first, so that a session that was deleted long ago is ErrNotFound
		case !e.is(ref):
			return nil, ErrNotFound
		}
		tried = true
		return e.c.deletion(), nil
	})
	if tried && errors.Is(err, ErrNotFound) {
		return nil // it is gone, perhaps by an attempt whose answer was lost
	}
	return err
}

// Hold keeps the session from expiring, and has Events told of its changes, until Release
// was called as often as Hold.
// Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Hold(ctx context.Context, ref Ref) error {
	held := false
	err := m.step(ctx, ref, func(e *cell) (*Change, error) {
		if !held {
			held = true
			e.holds++
		}
		return nil, nil
	})
	if err != nil && held { // who is told of an error releases nothing
		m.Release(ref)
	}
	return err
}

// Subscribe has Events told at once of what other nodes do in a held session. Without it
// they are told within a second, or at once if the session's connection is here.
// Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Subscribe(ctx context.Context, ref Ref) error {
	if m.kind.Alone {
		return nil
	}
	e, err := m.acquire(ctx, ref.ID)
	if err != nil {
		return err
	}
	defer m.release(e)
	if !e.is(ref) {
		return ErrNotFound
	}
	if _, err := m.b.Touch(ctx, []Use{{ID: e.id, Version: e.c.Version, Held: true}}); err != nil {
		return fmt.Errorf("failed to subscribe to a session: %w", err)
	}
	return nil
}

// Release ends a Hold.
func (m *Manager) Release(ref Ref) {
	e, err := m.acquire(context.Background(), ref.ID)
	if err != nil {
		return
	}
	defer m.release(e)
	if e.is(ref) && e.holds > 0 {
		e.holds--
		e.use() // the time to live begins now
	}
}
