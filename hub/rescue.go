package hub

import (
	"errors"

	"lumos/backend/session"
)

func panicked(err error) bool { return errors.Is(err, session.ErrPanicked) }

// rescue calls f and returns its error. A panic of f has been logged by then and is
// session.ErrPanicked: it ends what f did, and nobody else's reply or connection.
func (h *Hub) rescue(step string, ref session.Ref, f func() error) error {
	return session.Rescue(h.log, step, ref.ID, f)
}

// tell has op run on Run's goroutine later. It neither blocks nor panics, so any goroutine
// may call it. Two calls may run in either order.
func (h *Hub) tell(ref session.Ref, op func()) {
	go func() { _ = h.rescue("the registry", ref, func() error { return h.do(op) }) }()
}
