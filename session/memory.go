package session

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// emptyTTL is how long a session lives in which nothing was said.
const emptyTTL = 5 * time.Minute

// DefaultTTL is how long a session lives after it was last touched.
const DefaultTTL = 30 * time.Minute

// Memory is a Store in this process. Nothing of it outlives the process.
type Memory struct {
	// Logger is set before the first use; nil: slog.Default().
	Logger *slog.Logger

	ttl   time.Duration
	max   int64
	count atomic.Int64 // of all, and of those that are being made
	all   sync.Map     // uuid.UUID → *entry
	keys  sync.Map     // ownedKey → *entry, for as long as that is in all
	idle  idleList
}

// ownedKey is Creation.Key, which means nothing to another owner.
type ownedKey struct {
	owner string
	key   uuid.UUID
}

// NewMemory returns a store whose sessions live for ttl after they were last
// touched (0: DefaultTTL), and which holds at most max of them (0: any number).
func NewMemory(ttl time.Duration, max int) *Memory {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	return &Memory{ttl: ttl, max: int64(max)}
}

// Len returns how many sessions there are.
func (m *Memory) Len() int { return int(m.count.Load()) }

// Find implements Store.
func (m *Memory) Find(_ context.Context, id uuid.UUID) (Session, error) {
	e, err := m.lockAny(id)
	if err != nil {
		return Session{}, err
	}
	defer e.mu.Unlock()
	m.touch(e)
	return e.view(End), nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, ref Ref, after Position) (Session, error) {
	e, err := m.lock(ref)
	if err != nil {
		return Session{}, err
	}
	defer e.mu.Unlock()
	m.touch(e)
	return e.view(after), nil
}

// Say implements Store.
func (m *Memory) Say(_ context.Context, ref Ref, t Turn) (Said, error) {
	e, err := m.lock(ref)
	if err != nil {
		return Said{}, err
	}
	defer e.mu.Unlock()
	said, err := e.say(t)
	if said.Started {
		m.idle.remove(e)
	}
	m.touch(e)
	return said, err
}

// Finish implements Store.
func (m *Memory) Finish(_ context.Context, ref Ref, reply Message) error {
	e, err := m.lock(ref)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	m.touch(e)
	return e.finish(reply)
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, ref Ref) error {
	e, err := m.lock(ref)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	m.forget(e)
	return nil
}

// Hold implements Store.
func (m *Memory) Hold(_ context.Context, ref Ref) error {
	e, err := m.lock(ref)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	e.held++
	m.idle.remove(e)
	return nil
}

// Release implements Store.
func (m *Memory) Release(ref Ref) {
	v, ok := m.all.Load(ref.ID)
	if !ok {
		return
	}
	e := v.(*entry)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone || e.born != ref.Born || e.held == 0 {
		return
	}
	m.touch(e) // first: the moment it is let go its time begins
	if e.held--; e.held == 0 && e.empty() {
		m.idle.add(e)
	}
}

// Ready implements Store.
func (*Memory) Ready(context.Context) error { return nil }

// Run implements Store: it sweeps out what expired.
func (m *Memory) Run(ctx context.Context, gone func(Ref)) error {
	log := cmp.Or(m.Logger, slog.Default())
	tick := time.NewTicker(max(min(m.ttl/10, time.Minute), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m.all.Range(func(_, v any) bool {
			e := v.(*entry)
			_ = Rescue(log, "the end of a session", e.id, func() error { // the others expire all the same
				if m.sweep(e) {
					gone(e.ref())
				}
				return nil
			})
			return ctx.Err() == nil
		})
	}
}

// sweep forgets e if it has expired, and tells whether it did.
func (m *Memory) sweep(e *entry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone || !m.expired(e) {
		return false
	}
	m.forget(e)
	return true
}

// lock returns the entry of a session, locked. One that has expired but was not
// yet swept is as good as gone.
func (m *Memory) lock(ref Ref) (*entry, error) {
	e, err := m.lockAny(ref.ID)
	if err == nil && e.born != ref.Born {
		e.mu.Unlock()
		return nil, ErrNotFound
	}
	return e, err
}

// lockAny is lock for the session that has the id now.
func (m *Memory) lockAny(id uuid.UUID) (*entry, error) {
	v, ok := m.all.Load(id)
	if !ok {
		return nil, ErrNotFound
	}
	e := v.(*entry)
	e.mu.Lock()
	if e.gone || m.expired(e) {
		e.mu.Unlock()
		return nil, ErrNotFound
	}
	return e, nil
}

// expired tells whether e outlived its time. e.mu is held.
func (m *Memory) expired(e *entry) bool {
	return e.running == nil && time.Now().After(e.expires) && e.held == 0
}

// touch slides e's time to live. e.mu is held.
func (m *Memory) touch(e *entry) {
	ttl := m.ttl
	if e.empty() {
		ttl = min(ttl, emptyTTL)
	}
	e.expires = time.Now().Add(ttl)
}

// forget takes e out of the store. e.mu is held.
func (m *Memory) forget(e *entry) {
	m.unlink(e)
	m.idle.remove(e)
	m.count.Add(-1)
}

// unlink makes e unreachable. e.mu is held.
func (m *Memory) unlink(e *entry) {
	e.gone = true
	m.all.CompareAndDelete(e.id, e)
	if e.key != uuid.Nil {
		m.keys.CompareAndDelete(ownedKey{e.owner, e.key}, e)
	}
}
