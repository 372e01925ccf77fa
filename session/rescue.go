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

// Rescue calls f and returns its error. If f panics it logs that and returns ErrPanicked, so
// that the panic ends the step and not the process. f must release locks and counts by
// defer. id is the session's; nil: none.
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
	caught, ok := p.(*Caught)
	if !ok {
		caught = &Caught{p, debug.Stack()}
	}
	text := fmt.Sprintf("a value of type %T", caught.value)
	if e, ok := caught.value.(runtime.Error); ok {
		text = e.Error()
	}
	attrs := []slog.Attr{slog.String("step", step), slog.String("panic", text), slog.String("stack", string(caught.stack))}
	if id != uuid.Nil {
		attrs = append(attrs, slog.String("session", id.String()[:8]))
	}
	log.LogAttrs(context.Background(), slog.LevelError, "a step panicked; the server goes on", attrs...)
	return ErrPanicked
}

// Caught carries a panic to the goroutine that answers for it, with the stack where it
// began.
type Caught struct {
	value any
	stack []byte
}

// Catch calls f and returns its panic; nil: it had none.
func Catch(f func()) (c *Caught) {
	defer func() {
		p := recover()
		if passed, ok := p.(*Caught); ok {
			c = passed
		} else if p != nil {
			c = &Caught{p, debug.Stack()}
		}
	}()
	f()
	return nil
}
