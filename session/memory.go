package session

import (
	"context"

	"github.com/google/uuid"
)

// Alone is the common part of the Backends of stores that one process uses alone: the
// Manager has everything in memory, so nothing is loaded.
type Alone struct {
	Node string
	Keys Keys
}

// Load implements Backend.
func (*Alone) Load(_ context.Context, _ uuid.UUID, have *Conversation) (*Conversation, error) {
	if have == nil {
		return nil, ErrNotFound
	}
	return have, nil
}

// Claim implements Backend. Keys are kept in memory: after a restart they are restored from
// the sessions' heads.
func (a *Alone) Claim(_ context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	return a.Keys.Claim(key, id, stale), nil
}

// Read implements Backend.
func (*Alone) Read(context.Context, []*Text) {}

// Alive implements Backend: there is no other node.
func (a *Alone) Alive(node string) bool { return node == a.Node }

// memory is the Backend of a store that ends with the process.
type memory struct{ Alone }

// Memory returns the Backend of a store in this process. Nothing of it outlives the
// process.
func Memory() (Backend, Kind) {
	b := &memory{Alone{Node: randomName()}}
	return b, Kind{Node: b.Node, Alone: true, Fleeting: true}
}

// NewMemory returns a Manager of Memory.
func NewMemory(cfg Config) *Manager {
	b, kind := Memory()
	return NewManager(b, kind, cfg)
}

// Commit implements Backend. It needs no checks: was is what the locked cell has.
func (b *memory) Commit(_ context.Context, id uuid.UUID, was *Conversation, ch *Change) error {
	if ch.Born == "" {
		b.Keys.Forget(id, was.Head)
	}
	return nil
}

// Touch implements Backend: the Manager keeps the time.
func (*memory) Touch(context.Context, []Use) ([]uuid.UUID, error) { return nil, nil }

// Append implements Backend.
func (*memory) Append(_ context.Context, texts []*Text) {
	for _, t := range texts {
		t.Saved(t.Appended(), true)
	}
}

// Ready implements Backend.
func (*memory) Ready(context.Context) error { return nil }

// Run implements Backend.
func (*memory) Run(ctx context.Context, _ func(Hint)) error {
	<-ctx.Done()
	return nil
}
