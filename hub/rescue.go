package hub

import (
	"errors"

	"lumos/backend/session"
)

// broke is the close reason of a connection that a panic ends.
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

// spawn runs f on a goroutine of its own, which Run waits for. Call it on the
// loop, or on a goroutine that Run waits for: Run could be done waiting otherwise.
func (h *Hub) spawn(step string, conversation session.Ref, f func()) {
	h.running.Add(1)
	go func() {
		defer h.running.Done()
		_ = h.rescue(step, conversation, func() error { f(); return nil })
	}()
}

// tell is do without an answer. It never panics, so the store's goroutines and
// deferred functions can call it.
func (h *Hub) tell(conversation session.Ref, op func()) {
	_ = h.rescue("the registry", conversation, func() error { return h.do(op) })
}

func panicked(err error) bool { return errors.Is(err, session.ErrPanicked) }
