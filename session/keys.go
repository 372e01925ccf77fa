package session

import (
	"sync"

	"github.com/google/uuid"
)

// Keys are the idempotency keys of a store that one process uses alone. The zero value is
// empty.
type Keys struct {
	m sync.Map // name of the claim → uuid.UUID of the session
}

// Claim is Backend.Claim.
func (k *Keys) Claim(key string, id, stale uuid.UUID) uuid.UUID {
	if id == uuid.Nil {
		k.m.CompareAndDelete(key, stale)
		return id
	}
	for {
		v, known := k.m.LoadOrStore(key, id)
		if !known || v != stale {
			return v.(uuid.UUID)
		}
		if k.m.CompareAndSwap(key, stale, id) {
			return id
		}
	}
}

// Restore notes the key that made a session, if one did.
func (k *Keys) Restore(id uuid.UUID, h Head) {
	if h.Key != uuid.Nil {
		k.m.Store(ClaimName(h.Owner, h.Key), id)
	}
}

// Forget ends the claim of a session that is gone.
func (k *Keys) Forget(id uuid.UUID, h Head) {
	if h.Key != uuid.Nil {
		k.m.CompareAndDelete(ClaimName(h.Owner, h.Key), id)
	}
}
