package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/google/uuid"
)

// ErrPanicked says that a step panicked. Panicked has logged it with its stack: do
// not log it again.
var ErrPanicked = errors.New("session: a step panicked")

// Rescue calls f and returns its error. When f panics, the step fails with
// ErrPanicked and the process goes on; f must have given back its locks and counts
// by defer. The step and the id name what failed in the log; uuid.Nil: no session.
func Rescue(log *slog.Logger, step string, id uuid.UUID, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Panicked(log, step, id, p)
		}
	}()
	return f()
}

// Panicked logs a panic that was recovered, with the stack, which is that of the
// panic when a deferred function calls it. It returns ErrPanicked. A panic with
// ErrPanicked itself was logged before and is only passed on.
func Panicked(log *slog.Logger, step string, id uuid.UUID, p any) error {
	if p == any(ErrPanicked) {
		return ErrPanicked
	}
	attrs := []slog.Attr{slog.String("step", step), slog.String("panic", panicText(p)), slog.String("stack", string(debug.Stack()))}
	if id != uuid.Nil {
		attrs = append(attrs, slog.String("session", shortID(id)))
	}
	log.LogAttrs(context.Background(), slog.LevelError, "a step panicked; the server goes on", attrs...)
	return ErrPanicked
}

// panicText describes a panic for the log. Only the runtime's own errors are quoted:
// any other value may hold what somebody has said.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("a value of type %T", p)
}
