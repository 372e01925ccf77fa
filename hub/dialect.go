package hub

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// Dialect is how a WebSocket's client is spoken to. It is one client's alone and
// may remember. What takes an Outbox is called by whoever has the right to send
// to it, the rest by the connection's reader. A new dialect is one file of
// httpapi/wire and one line where a connection chooses it.
type Dialect interface {
	reply.Encoder
	// Request reads a frame. An error is a *Error; the Request's ID is set as far as
	// it could be read.
	Request(frame []byte) (Request, error)
	// Ready is told first; one that returns false tells nothing of what was said
	// before.
	Ready(out *reply.Outbox, r Ready) bool
	// Message tells a user's message, and the one that it follows.
	Message(out *reply.Outbox, m session.Message, after uuid.UUID)
	// Answer returns what a frame is answered with; nothing: it is not told.
	Answer(a Answer) []byte
}

// Request is a frame from the client.
type Request struct {
	Type    string // message, stop, regenerate, ping
	ID, Of  uuid.UUID
	Content string
	Behind  *uuid.UUID // of a message: what it is to follow; nil: the last there is
	Edit    bool       // of a message: its id is known, its text is new
}

// Answer answers a frame.
type Answer struct {
	Type    string    // pong, stopped, error, message
	Outcome string    // of a stop
	Err     *Error    // of an error
	Ref     uuid.UUID // the message or reply that the frame named; nil: none

	Message session.Message // that was told before, with what it follows
	After   uuid.UUID
}

// The outcomes of a stop.
const (
	outcomeStopped        = "stopped"
	outcomeNothingRunning = "nothing_running"
)

// Ready is the first that a connection is told.
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

// CloseCode is a WebSocket close code (RFC 6455, section 7.4; the contract's table
// says what a client does on each).
type CloseCode int

// The close codes that the hub sends. 1002 is the socket's to send.
const (
	CloseGoingAway    CloseCode = 1001
	CloseUnsupported  CloseCode = 1003
	CloseInvalidUTF8  CloseCode = 1007
	ClosePolicy       CloseCode = 1008
	CloseTooLarge     CloseCode = 1009
	CloseTryLater     CloseCode = 1013
	CloseTakenOver    CloseCode = 4001
	CloseUnauthorized CloseCode = 4401
	CloseNotFound     CloseCode = 4404
)

// ErrBinary is what a Socket's Read returns for a binary message.
var ErrBinary = errors.New("hub: binary message")

// Socket is a WebSocket as the hub needs one. Await, Read and Responds are called
// by one goroutine at a time; Write by whoever has the right to send; the others
// by anybody.
type Socket interface {
	reply.Out
	// Start says where the socket's own control frames go (reply.Outbox.PostRaw). It
	// is called before all else.
	Start(post func(frame []byte, last bool))
	// Await returns when there is something to read, or the socket has ended. It
	// needs little stack.
	Await()
	// Read returns the next text message, which may not be UTF-8.
	Read() ([]byte, error)
	// Responds returns nil when the peer has answered a ping that was sent since the
	// call, an error when it has not by ctx's deadline. It is called before Read.
	Responds(ctx context.Context) error
	// Ping asks the peer for a sign of life. It does not wait for it: Active tells.
	Ping()
	// CloseFrame returns a close frame, and has the socket end a moment later.
	CloseFrame(code CloseCode, reason string) []byte
	// Kill ends the socket now, and frees whatever is blocked.
	Kill()
	// Active returns when bytes last passed, either way, but for pings.
	Active() time.Time
}

var errNoUUID = errors.New("must be a UUID in the 36-character form")

// ParseID reads a UUID in the 36-character form, which is the only one that the
// contract knows.
func ParseID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errNoUUID
	}
	return uuid.Parse(s)
}

// Seconds returns d in whole seconds, rounded up, as Retry-After has it.
func Seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
