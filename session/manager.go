package session

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Manager is the one door to the sessions: it gives ids and times, and passes
// each step to its Store. All methods may be called concurrently.
type Manager struct {
	Store
}

// NewManager returns a Manager of what s keeps.
func NewManager(s Store) *Manager { return &Manager{Store: s} }

// New makes a session that belongs to owner ("": to whoever knows its id). A
// key that made one before finds that one again. Errors as for Store.Create.
func (m *Manager) New(ctx context.Context, owner string, key uuid.UUID) (Session, error) {
	return m.Create(ctx, Creation{ID: uuid.New(), Owner: owner, Key: key})
}

// Open makes the session id, which the client chose, unless it exists.
func (m *Manager) Open(ctx context.Context, owner string, id uuid.UUID) (Session, error) {
	return m.Create(ctx, Creation{ID: id, Owner: owner})
}

// Check returns the session, without its messages, when owner may see it.
// A session of somebody else is ErrNotFound, like one that never was.
func (m *Manager) Check(ctx context.Context, id uuid.UUID, owner string) (Session, error) {
	s, err := m.Get(ctx, id, end)
	if err != nil {
		return Session{}, err
	}
	if s.Owner != owner {
		return Session{}, ErrNotFound
	}
	return s, nil
}

// Now is the time that messages are stamped with: UTC, whole milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
