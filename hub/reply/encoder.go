// Package reply delivers a reply that is being written to its followers: over
// WebSocket, server-sent events and POST /chat, on the node that writes it and on
// others. All text takes one way: Reply.Follow, and in it follower.step.
package reply

import (
	"errors"

	"lumos/backend/session"
)

// Encoder encodes a reply for one client, and may keep state. What it puts into out is
// sent by the next flush. Its caller holds the right to send; an error ends Follow.
type Encoder interface {
	// Start begins the stream at a place. It is called again, in the same stream, when
	// another writer continues the reply from there. ErrCut: the client has text after
	// that place, and this stream cannot take it back.
	Start(out *Outbox, r *Reply, at *session.Cursor) error
	// Text encodes p, which is of at's part and ends at at. It is the token path.
	Text(out *Outbox, r *Reply, at *session.Cursor, p []byte)
	// End encodes how the reply ended: e has a Message or an Err.
	End(out *Outbox, r *Reply, e *session.TextEnd) error
}

// ErrCut ends a stream whose client has to reconnect to get the rest.
var ErrCut = errors.New("reply: the stream is cut")

// Out is where a client's bytes leave.
type Out interface {
	// Write sends p. Without block it sends what the peer takes at once, and returns no
	// error: the next Write with block does.
	Write(p []byte, block bool) (int, error)
}

// Discard is the Encoder and the Out of a caller that only waits for the end.
type Discard struct{}

// Start implements Encoder.
func (Discard) Start(*Outbox, *Reply, *session.Cursor) error { return nil }

// Text implements Encoder.
func (Discard) Text(*Outbox, *Reply, *session.Cursor, []byte) {}

// End implements Encoder.
func (Discard) End(*Outbox, *Reply, *session.TextEnd) error { return nil }

// Write implements Out.
func (Discard) Write(p []byte, _ bool) (int, error) { return len(p), nil }
