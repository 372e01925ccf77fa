package hub

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// Dialect encodes frames for one client of a WebSocket, and decodes its requests. It may
// keep state: methods with an Outbox are called with the right to send, Request by the
// reader. Answer is called by both and must not use that state. A new dialect is one file
// of httpapi/wire and a subprotocol in httpapi/websocket.go; over SSE, a reply.Encoder.
type Dialect interface {
	reply.Encoder
	// Request reads a frame. An error is a *Error; the Request's ID is set as far as
	// it could be read.
	Request(frame []byte) (Request, error)
	// Ready encodes the first frame. It returns false if the dialect has no frames for
	// messages; then earlier replies are not sent either.
	Ready(out *reply.Outbox, r Ready) bool
	// Message encodes a user's message; after is the id of the one that it follows.
	Message(out *reply.Outbox, m session.Message, after uuid.UUID)
	// Answer encodes the answer to a frame; empty: none is sent.
	Answer(a Answer) []byte
}

// Request is a frame from the client.
type Request struct {
	Type    string // message, stop, regenerate, ping
	ID, Of  uuid.UUID
	Content string
	Behind  *uuid.UUID // of a message: the message that it is to follow; nil: the last one
	Edit    bool       // of a message: its id is known, its text is new
}

// Answer answers a frame.
type Answer struct {
	Type    string    // pong, stopped, error, message
	Outcome string    // of a stop
	Err     *Error    // of an error
	Ref     uuid.UUID // the message or reply that the frame named; nil: none

	Message session.Message // of a message: it was sent before
	After   uuid.UUID       // the id of the message that it follows; nil: none
}

// The outcomes of a stop.
const (
	outcomeStopped        = "stopped"
	outcomeNothingRunning = "nothing_running"
)

// Ready is what the first frame of a connection says.
type Ready struct {
	Conversation uuid.UUID
	CreatedAt    time.Time
	Model        string
	After        uuid.UUID // what the client has and the hub knows; nil: nothing
	Running      uuid.UUID // the reply whose stream follows; nil: none
	Watching     bool
	More         bool // older messages are left out
	Messages     []session.Message
}

var errNoUUID = errors.New("must be a UUID in the 36-character form")

// ParseID parses a UUID in the 36-character form, the only one that the contract allows.
func ParseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if len(s) != 36 || err != nil { // whose words do not fit into the hub's sentence
		return uuid.Nil, errNoUUID
	}
	return id, nil
}

// Seconds returns d in whole seconds, rounded up, as Retry-After has it.
func Seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
