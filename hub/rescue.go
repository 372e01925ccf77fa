package hub

import (
	"errors"

	"lumos/backend/session"
)

// broke is what the peer of a connection is told that ends by a panic.
const broke = "something went wrong on the server"

// rescue calls f and returns its error. A panic of f has been logged by then and is
// ErrPanicked: it ends what f did, and neither the process nor anybody else's reply
// or connection.
func (h *Hub) rescue(step string, conversation session.Ref, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = session.Panicked(h.log, step, conversation.ID, p)
		}
	}()
	return f()
}

// spawn runs f on a goroutine of its own, which Run waits for. It is called on the
// loop, or by what Run waits for already.
func (h *Hub) spawn(step string, conversation session.Ref, f func()) {
	h.running.Add(1)
	go func() {
		defer h.running.Done()
		_ = h.rescue(step, conversation, func() error { f(); return nil })
	}()
}

// tell is do for who needs no answer and must not panic: the store's goroutines, and
// those that clean up.
func (h *Hub) tell(conversation session.Ref, op func()) {
	_ = h.rescue("the registry", conversation, func() error { return h.do(op) })
}

func panicked(err error) bool { return errors.Is(err, session.ErrPanicked) }
