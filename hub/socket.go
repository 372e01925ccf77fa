package hub

import (
	"context"
	"errors"
	"time"
)

// CloseCode is a WebSocket close code (RFC 6455, section 7.4; the contract's
// table says what a client does on each).
type CloseCode int

// The close codes that the hub sends. 1009 is the socket's to send.
const (
	CloseNormal       CloseCode = 1000
	CloseGoingAway    CloseCode = 1001
	CloseUnsupported  CloseCode = 1003
	CloseInvalidUTF8  CloseCode = 1007
	ClosePolicy       CloseCode = 1008
	CloseTryLater     CloseCode = 1013
	CloseTakenOver    CloseCode = 4001
	CloseUnauthorized CloseCode = 4401
	CloseNotFound     CloseCode = 4404
)

// ErrBinary is what a Socket's Read returns for a binary message.
var ErrBinary = errors.New("hub: binary message")

// Socket is a WebSocket as the hub needs one. Await, Read and Alive are called
// by one goroutine at a time; all else may be called concurrently with them and
// with each other.
type Socket interface {
	// Await returns when there is something to read, or the socket has ended. It
	// needs little stack.
	Await()
	// Read returns the next text message, which may not be UTF-8.
	Read() ([]byte, error)
	// Write sends one text message, which it does not keep. Behind a close frame
	// it does nothing: Read tells how that ends.
	Write(frame []byte) error
	// Cork holds back what is written until Flush, so that frames leave
	// together. Whoever acts as the follower calls both. Flush blocks while the peer takes nothing,
	// and fails when that lasts for the write timeout.
	Cork()
	Flush() error
	// FlushNow is Flush if all that is held back can be sent without waiting;
	// otherwise it returns false, and Flush is to be called.
	FlushNow() bool
	// Ping asks the peer for a sign of life, if nothing is being written. It
	// does not wait for it: Active tells.
	Ping()
	// Alive returns nil when the peer has answered a ping that was sent since the
	// call, an error when it has not by ctx's deadline. It is called before Read.
	Alive(ctx context.Context) error
	// Close sends a close frame. Read goes on until the peer has answered it, or
	// fails a moment later. Kill ends the socket now, and frees whatever is
	// blocked.
	Close(code CloseCode, reason string)
	Kill()
	// Active returns when bytes last passed, either way, but for pings.
	Active() time.Time
}
