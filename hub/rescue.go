package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// ErrPanicked: a step panicked. The log has the stack by then, so it is not told again
// but to the client.
var ErrPanicked = errors.New("hub: a step panicked")

func panicked(err error) bool { return errors.Is(err, ErrPanicked) }

func (h *Hub) rescue(step string, ref session.Ref, f func() error) error {
	return Rescue(h.log, step, ref.ID, f)
}

// Rescue calls f and returns its error. A panic of f fails with ErrPanicked: it ends
// what f did, a connection or a reply, and not the process. The id is the session's.
func Rescue(log *slog.Logger, step string, id uuid.UUID, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Panicked(log, step, id, p)
		}
	}()
	return f()
}

// Panicked logs a panic that was recovered, and returns ErrPanicked. It is called by
// the function that has recovered p: the stack is that of p. Only the runtime's own
// errors are quoted; any other value may hold what somebody has said.
func Panicked(log *slog.Logger, step string, id uuid.UUID, p any) error {
	if p == any(ErrPanicked) {
		return ErrPanicked // it was logged
	}
	text := fmt.Sprintf("a value of type %T", p)
	if e, ok := p.(runtime.Error); ok {
		text = e.Error()
	}
	log.LogAttrs(context.Background(), slog.LevelError, "a step panicked; the server goes on",
		slog.String("step", step), slog.String("session", ShortID(id)),
		slog.String("panic", text), slog.String("stack", string(debug.Stack())))
	return ErrPanicked
}
