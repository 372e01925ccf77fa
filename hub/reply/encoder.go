// Package reply brings a reply that is being written to those who follow it:
// over WebSocket, server-sent events and POST /chat, on the node that writes it
// and on others. There is one way of all text: Follow, and in it step.
package reply

import (
	"errors"

	"lumos/backend/session"
)

// Encoder puts a reply into one client's words. It is that client's alone and
// may remember. What it puts into out leaves with the next flush. Whoever calls
// it has the right to send; an error ends Follow.
type Encoder interface {
	// Start begins the stream at a place; again, in the same stream, when another
	// writer goes on with the reply from there. ErrCut: this stream cannot take
	// back what it has told.
	Start(out *Outbox, r *Reply, at *session.Cursor) error
	// Text tells p, which is of the part that at is in, and ends there. It is the
	// token path.
	Text(out *Outbox, r *Reply, at *session.Cursor, p []byte)
	// End tells how the reply ended.
	End(out *Outbox, r *Reply, e *End) error
}

// ErrCut ends a stream whose client has to come again to get the rest.
var ErrCut = errors.New("reply: the stream is cut")

// Out is where a client's bytes leave.
type Out interface {
	// Write sends p. If it must not block it sends what the peer takes at once, and
	// returns no error: the next Write that may block tells it.
	Write(p []byte, block bool) (int, error)
}

// Discard is an Encoder and an Out of somebody who waits for the end alone.
type Discard struct{}

// Start implements Encoder.
func (Discard) Start(*Outbox, *Reply, *session.Cursor) error { return nil }

// Text implements Encoder.
func (Discard) Text(*Outbox, *Reply, *session.Cursor, []byte) {}

// End implements Encoder.
func (Discard) End(*Outbox, *Reply, *End) error { return nil }

// Write implements Out.
func (Discard) Write(p []byte, _ bool) (int, error) { return len(p), nil }
