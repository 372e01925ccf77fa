package hub

import (
	"context"
	"errors"
	"time"

	"lumos/backend/hub/reply"
)

// ErrBinary is what a Socket's Read returns for a binary message.
var ErrBinary = errors.New("hub: binary message")

// Socket is a WebSocket as the hub needs one. One goroutine at a time, the reader,
// calls Await, Read and Responds; Write needs the right to send (reply.Outbox); the
// other methods may be called concurrently.
type Socket interface {
	reply.Out
	// Start sets where the socket's own control frames go (reply.Outbox.PostRaw). It
	// is called first.
	Start(post func(frame []byte, last bool))
	// Await returns when there is something to read, or the socket has ended. It
	// needs little stack.
	Await()
	// Read returns the next text message, which may not be UTF-8.
	Read() ([]byte, error)
	// Responds pings the peer. It returns nil when the peer has answered, and an error
	// if there is no answer by ctx's deadline. It is called before the first Read.
	Responds(ctx context.Context) error
	// Ping pings the peer and does not wait: Active shows whether the peer answered.
	Ping()
	// CloseFrame returns a close frame, and kills the socket a moment later.
	CloseFrame(code CloseCode, reason string) []byte
	// Kill closes the socket now and unblocks all its methods.
	Kill()
	// Active returns when bytes last passed in either direction, not counting pings.
	Active() time.Time
}
