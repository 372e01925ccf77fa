package session

import (
	"context"

	"github.com/google/uuid"
)

// memory is the Backend of a store that is gone with the process: what the
// Manager has is all there is.
type memory struct {
	node string
	keys Keys
}

// Memory returns the Backend of a store in this process. Nothing of it outlives the
// process.
func Memory() (Backend, Kind) {
	b := &memory{node: randomName()}
	return b, Kind{Node: b.node, Alone: true, Fleeting: true, Instant: true}
}

// NewMemory returns a Manager of Memory.
func NewMemory(cfg Config) *Manager {
	b, kind := Memory()
	return NewManager(b, kind, cfg)
}

// Load implements Backend.
func (*memory) Load(_ context.Context, _ uuid.UUID, have *Conversation) (*Conversation, error) {
	if have == nil {
		return nil, ErrNotFound
	}
	return have, nil
}

// Commit implements Backend. The Manager lets nobody else change was.
func (b *memory) Commit(_ context.Context, id uuid.UUID, was *Conversation, ch *Change) error {
	if ch == nil {
		b.keys.Forget(id, was.Head)
	}
	return nil
}

// Claim implements Backend.
func (b *memory) Claim(_ context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	return b.keys.Claim(key, id, stale), nil
}

// Touch implements Backend: the Manager keeps the time.
func (*memory) Touch(context.Context, []Use) ([]uuid.UUID, error) { return nil, nil }

// Append implements Backend.
func (*memory) Append(_ context.Context, texts []*Text) {
	for _, t := range texts {
		t.Saved(t.Appended(), true)
	}
}

// Read implements Backend.
func (*memory) Read(context.Context, []*Text) {}

// Alive implements Backend: nobody else is there.
func (b *memory) Alive(node string) bool { return node == b.node }

// Ready implements Backend.
func (*memory) Ready(context.Context) error { return nil }

// Run implements Backend.
func (*memory) Run(ctx context.Context, _ func(Hint)) error {
	<-ctx.Done()
	return nil
}
