package session

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// Alone is the common part of the Backends of stores that one process uses alone: the
// Manager has everything in memory, so nothing is loaded.
type Alone struct {
	claims sync.Map // uuid.UUID of the session, by the name of the claim
}

// Load implements Backend.
func (*Alone) Load(_ context.Context, _ uuid.UUID, have *Conversation) (*Conversation, error) {
	if have == nil {
		return nil, ErrNotFound
	}
	return have, nil
}

// Claim implements Backend.
func (a *Alone) Claim(_ context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	if id == uuid.Nil {
		a.claims.CompareAndDelete(key, stale)
		return id, nil
	}
	for {
		v, known := a.claims.LoadOrStore(key, id)
		if !known || v != stale {
			return v.(uuid.UUID), nil
		}
		if a.claims.CompareAndSwap(key, stale, id) {
			return id, nil
		}
	}
}

// RestoreClaim notes the idempotency key that made a session, if one did. Claims are in
// memory alone: a start restores them from the heads.
func (a *Alone) RestoreClaim(id uuid.UUID, h Head) {
	if h.Key != uuid.Nil {
		a.claims.Store(ClaimName(h.Owner, h.Key), id)
	}
}

// EndClaim ends the claim of a session that is gone.
func (a *Alone) EndClaim(id uuid.UUID, h Head) {
	if h.Key != uuid.Nil {
		a.claims.CompareAndDelete(ClaimName(h.Owner, h.Key), id)
	}
}

// Read implements Backend.
func (*Alone) Read(context.Context, []*Text) {}

// Alive implements Backend: there is no other node, and nobody asks about the own one.
func (*Alone) Alive(string) bool { return false }

// memory is the Backend of a store that ends with the process.
type memory struct{ Alone }

// Memory returns the Backend of a store in this process. Nothing of it outlives the
// process.
func Memory() (Backend, Kind) {
	return new(memory), Kind{Node: randomName(), Alone: true, Fleeting: true}
}

// NewMemory returns a Manager of Memory.
func NewMemory(cfg Config) *Manager {
	b, kind := Memory()
	return NewManager(b, kind, cfg)
}

// Commit implements Backend. It needs no checks: was is what the locked cell has.
func (b *memory) Commit(_ context.Context, id uuid.UUID, was *Conversation, ch *Change) error {
	if ch.Born == "" {
		b.EndClaim(id, was.Head)
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
