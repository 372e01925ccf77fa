package httpapi

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/hub"
)

// closeWait is how long the peer may take to answer a close frame, or to read
// it behind what it was sending.
const closeWait = 2 * time.Second

// socket is a hub.Socket over coder/websocket.
type socket struct {
	*conn // Cork, Flush, FlushNow and Alive
	ws    *websocket.Conn
}

// Await implements hub.Socket.
func (s socket) Await() { s.await() }

// Read implements hub.Socket.
func (s socket) Read() ([]byte, error) {
	typ, p, err := s.ws.Read(context.Background())
	switch {
	case err != nil:
		if errors.Is(err, websocket.ErrMessageTooBig) {
			s.metrics.Rejected("body_bytes")
		}
		s.linger()
	case typ == websocket.MessageBinary:
		return nil, hub.ErrBinary
	}
	return p, err
}

// linger has the close frame reach a peer that broke the protocol, and reads
// away what it is still sending: were the connection closed with bytes unread,
// the peer would get a reset in place of the frame.
func (s socket) linger() {
	const most = 64 << 20
	if s.lastFrame() && s.Conn.SetReadDeadline(time.Now().Add(closeWait)) == nil {
		_, _ = io.CopyN(io.Discard, s.Conn, most)
	}
}

// Write implements hub.Socket.
func (s socket) Write(frame []byte) error { return s.writeText(frame) }

// Ping implements hub.Socket. The library's would take a goroutine, a timer
// and a kilobyte to wait for the answer.
func (s socket) Ping() { s.ping() }

// Close implements hub.Socket. The library's would wait for a silent peer for
// five seconds, which nothing cuts short, and would read beside the reader.
func (s socket) Close(code hub.CloseCode, reason string) {
	time.AfterFunc(closeWait, s.Kill)
	if s.writeClose(uint16(code), reason) != nil {
		s.Kill() // the peer cannot be told any more
	}
}

// Kill implements hub.Socket.
func (s socket) Kill() { _ = s.Conn.Close() }

// Active implements hub.Socket.
func (s socket) Active() time.Time { return time.Unix(0, s.active.Load()) }
