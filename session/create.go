package session

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// Create implements Store.
func (m *Memory) Create(_ context.Context, c Creation) (Session, error) {
	for {
		e := m.find(c)
		if e == nil {
			s, err := m.make(c)
			if err == errTaken {
				continue
			}
			return s, err
		}
		e.mu.Lock()
		if !e.gone && !m.expired(e) {
			defer e.mu.Unlock()
			m.touch(e)
			return e.view(Position{}), nil
		}
		if !e.gone {
			m.forget(e) // expired, and in the way before it was swept
		}
		e.mu.Unlock()
	}
}

// errTaken: the id or the key, free a moment ago, no longer is.
var errTaken = errors.New("session: taken meanwhile")

// find returns the entry that c's key made, or that has c's id, or nil.
func (m *Memory) find(c Creation) *entry {
	if c.Key != uuid.Nil {
		if v, ok := m.keys.Load(ownedKey{c.Owner, c.Key}); ok {
			return v.(*entry)
		}
	}
	if v, ok := m.all.Load(c.ID); ok {
		return v.(*entry)
	}
	return nil
}

// make makes c's session. The entry can be found before there is room for it,
// but is locked until that is known.
func (m *Memory) make(c Creation) (Session, error) {
	e := newEntry(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.Key != uuid.Nil {
		if _, taken := m.keys.LoadOrStore(ownedKey{c.Owner, c.Key}, e); taken {
			return Session{}, errTaken
		}
	}
	if _, taken := m.all.LoadOrStore(c.ID, e); taken {
		m.unlink(e)
		return Session{}, errTaken
	}
	if err := m.makeRoom(); err != nil {
		m.unlink(e)
		return Session{}, err
	}
	m.touch(e)
	m.idle.add(e)
	return e.view(Position{}), nil
}

// makeRoom counts one session more, for which an empty one goes if it must.
func (m *Memory) makeRoom() error {
	if m.count.Add(1) <= m.max || m.max == 0 {
		return nil
	}
	for {
		e := m.idle.oldest()
		if e == nil {
			m.count.Add(-1)
			return ErrFull
		}
		e.mu.Lock()
		free := !e.gone && e.empty() && e.held == 0
		if free {
			m.forget(e)
		}
		e.mu.Unlock()
		if free {
			return nil
		}
	}
}
