package hub

import (
	"context"
	"errors"

	"lumos/backend/session"
)

// Sink takes a reply as a stream of chunks (httpapi/PROTOCOL.md, "A reply as a
// stream"). Its methods are called by one goroutine at a time; what they return
// ends the stream. A delta is valid during the call only as far as the sink is
// concerned, and ends at offset bytes of the reply's text.
type Sink interface {
	Start(r *Reply, offset int) error
	Delta(r *Reply, delta []byte, offset int) error
	End(r *Reply, e *End) error
	// Wait sends what was held back and returns when wake was poked.
	Wait(wake <-chan struct{}) error
}

// Stream sends the reply to s from a place on, and its end when that has come,
// wherever it is written. Of a place that another writer went on before, as much
// counts as is still part of the reply; one that the reply cannot have (it has
// less text, or a character spans it) is its beginning. Start comes again when
// another node goes on with the reply. Errors: what s returns; ErrCut when the
// store did not take the end, or has the reply no more.
func (h *Hub) Stream(ctx context.Context, r *Reply, s Sink, from Place) error {
	return h.stream(ctx, r, s, make(chan struct{}, 1), from)
}

func (h *Hub) stream(ctx context.Context, r *Reply, s Sink, wake chan struct{}, from Place) error {
	for {
		off, err := r.stream(s, wake, h.known(from))
		if !errors.Is(err, errMoved) {
			return err
		}
		found, kept, err := h.relocate(ctx, r, off)
		switch {
		case errors.Is(err, session.ErrNotFound):
			return s.End(r, &End{Err: err})
		case err != nil:
			return err
		}
		r, from = found, kept
	}
}

// Wait returns when the reply has ended, wherever it is written.
// Errors: ctx's; those of the store; ErrCut; *Error with CodeBusy for one that
// an edit or a regeneration took away.
func (h *Hub) Wait(ctx context.Context, r *Reply) (End, error) {
	for {
		r.reading(1)
		e, err := r.await(ctx, false)
		r.reading(-1)
		if err != nil || !errors.Is(e.Err, errMoved) {
			return e, err
		}
		found, _, err := h.relocate(ctx, r, 0)
		if errors.Is(err, errGone) {
			return End{}, errTakenAway
		}
		if err != nil {
			return End{Err: err}, nil
		}
		r = found
	}
}

// stream returns how far it came.
func (r *Reply) stream(s Sink, wake chan struct{}, from Place) (int, error) {
	f := &follower{wake: wake}
	f.pusher, _ = s.(pusher)
	r.follow(f, from)
	defer f.close()
	r.reading(1)
	defer r.reading(-1)
	if err := s.Start(r, f.off); err != nil {
		return f.off, err
	}
	for {
		delta, end, err := f.next()
		switch {
		case err == errRewritten:
			err = s.Start(r, f.off)
		case err != nil:
		case delta != nil:
			err = s.Delta(r, delta, f.off)
		case end != nil:
			return f.off, s.End(r, end)
		default:
			err = s.Wait(wake)
		}
		if err != nil {
			return f.off, err
		}
	}
}
