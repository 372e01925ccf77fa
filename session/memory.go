package session

import (
	"context"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// end asks Get for no messages at all: nothing lies behind it.
var end = Position{ID: uuid.Max, Seq: 1<<63 - 1}

// emptyTTL is how long a session lives in which nothing was said.
const emptyTTL = 5 * time.Minute

// DefaultTTL is how long a session lives after it was last touched.
const DefaultTTL = 30 * time.Minute

// Memory is a Store in this process. Nothing of it outlives the process.
type Memory struct {
	ttl   time.Duration
	max   int64
	count atomic.Int64
	all   sync.Map // uuid.UUID → *entry
	idle  idleList

	keysMu sync.Mutex // held while a keyed session is made, so that it is made once
	keys   map[string]uuid.UUID
}

// NewMemory returns a store whose sessions live for ttl after they were last
// touched (0: DefaultTTL), and which holds at most max of them (0: any number).
func NewMemory(ttl time.Duration, max int) *Memory {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	return &Memory{ttl: ttl, max: int64(max), keys: make(map[string]uuid.UUID)}
}

// Create implements Store.
func (m *Memory) Create(_ context.Context, c Creation) (Session, error) {
	if c.Key == uuid.Nil {
		return m.create(c)
	}
	m.keysMu.Lock()
	defer m.keysMu.Unlock()
	key := c.Owner + " " + c.Key.String()
	if id, ok := m.keys[key]; ok {
		if e, err := m.lock(id); err == nil {
			defer e.mu.Unlock()
			return e.view(Position{}), nil
		}
	}
	s, err := m.create(c)
	if err == nil {
		m.keys[key] = c.ID
	}
	return s, err
}

func (m *Memory) create(c Creation) (Session, error) {
	if err := m.makeRoom(); err != nil {
		return Session{}, err
	}
	now := Now()
	e := &entry{id: c.ID, owner: c.Owner, created: now, updated: now}
	if c.Key != uuid.Nil {
		e.key = c.Owner + " " + c.Key.String()
	}
	e.mu.Lock()
	old, loaded := m.all.LoadOrStore(c.ID, e)
	if loaded {
		e.mu.Unlock()
		m.count.Add(-1)
		o := old.(*entry)
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.gone {
			return Session{}, ErrNotFound
		}
		return o.view(Position{}), nil
	}
	defer e.mu.Unlock()
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
		free := !e.gone && e.pins == 0 && e.empty()
		if free {
			m.forget(e)
		}
		e.mu.Unlock()
		if free {
			m.dropKey(e)
			return nil
		}
	}
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, id uuid.UUID, after Position) (Session, error) {
	e, err := m.lock(id)
	if err != nil {
		return Session{}, err
	}
	defer e.mu.Unlock()
	m.touch(e)
	return e.view(after), nil
}

// Say implements Store.
func (m *Memory) Say(_ context.Context, id uuid.UUID, t Turn) (Said, error) {
	e, err := m.lock(id)
	if err != nil {
		return Said{}, err
	}
	defer e.mu.Unlock()
	m.touch(e)
	said, err := e.say(t)
	if said.Started {
		m.idle.remove(e)
		m.touch(e)
	}
	return said, err
}

// Finish implements Store.
func (m *Memory) Finish(_ context.Context, id uuid.UUID, reply Message) error {
	e, err := m.lock(id)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	if e.running == nil || e.running.Reply != reply.ID {
		if _, stored := e.byID[reply.ID]; stored {
			return nil
		}
		return ErrLost
	}
	reply.Seq = e.running.Seq
	e.running = nil
	e.append(reply)
	m.touch(e)
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, id uuid.UUID) error {
	e, err := m.lock(id)
	if err != nil {
		return err
	}
	m.forget(e)
	e.mu.Unlock()
	m.dropKey(e)
	return nil
}

// Hold implements Store.
func (m *Memory) Hold(_ context.Context, id uuid.UUID) error {
	e, err := m.lock(id)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	e.pins++
	m.idle.remove(e)
	return nil
}

// Release implements Store.
func (m *Memory) Release(id uuid.UUID) {
	v, ok := m.all.Load(id)
	if !ok {
		return
	}
	e := v.(*entry)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return
	}
	e.pins--
	m.touch(e)
	if e.pins == 0 && e.empty() {
		m.idle.add(e)
	}
}

// Ready implements Store.
func (*Memory) Ready(context.Context) error { return nil }

// Run implements Store: it sweeps out what expired.
func (m *Memory) Run(ctx context.Context, gone func(uuid.UUID)) error {
	tick := time.NewTicker(max(min(m.ttl/10, time.Minute), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		m.all.Range(func(_, v any) bool {
			e := v.(*entry)
			e.mu.Lock()
			expired := !e.gone && e.expired(now)
			if expired {
				m.forget(e)
			}
			e.mu.Unlock()
			if expired {
				m.dropKey(e)
				gone(e.id)
			}
			return true
		})
	}
}

// lock returns the session's entry, locked. One that has expired but was not
// yet swept is as good as gone.
func (m *Memory) lock(id uuid.UUID) (*entry, error) {
	v, ok := m.all.Load(id)
	if !ok {
		return nil, ErrNotFound
	}
	e := v.(*entry)
	e.mu.Lock()
	if e.gone || e.expired(time.Now()) {
		e.mu.Unlock()
		return nil, ErrNotFound
	}
	return e, nil
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
	e.gone = true
	m.all.Delete(e.id)
	m.idle.remove(e)
	m.count.Add(-1)
}

// dropKey forgets the key that made e. No lock is held: keysMu comes before e.mu.
func (m *Memory) dropKey(e *entry) {
	if e.key == "" {
		return
	}
	m.keysMu.Lock()
	defer m.keysMu.Unlock()
	if m.keys[e.key] == e.id {
		delete(m.keys, e.key)
	}
}

// search returns the index of the first message with a Seq above seq.
func search(messages []Message, seq int64) int {
	return sort.Search(len(messages), func(i int) bool { return messages[i].Seq > seq })
}
