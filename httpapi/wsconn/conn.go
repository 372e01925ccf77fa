// Package wsconn is a WebSocket as the hub needs one: coder/websocket shakes hands
// and reads; what is written comes framed from the connection's outbox.
package wsconn

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"lumos/backend/hub"
)

const (
	// writeChunk is how much is written under one deadline.
	writeChunk = 32 << 10
	// readBuffer and writeBuffer are the sizes of the buffers that a WebSocket keeps while
	// idle: net/http's own have 4 KiB each. Messages are read past the first, and the
	// second takes the largest control frame.
	readBuffer  = 32
	writeBuffer = 2 + 125
	// closeWait is how long the peer may take to read a close frame and answer it.
	closeWait = 2 * time.Second
	// maxEarly bounds the bytes held of a peer that sends before it answers a ping.
	maxEarly = 1 << 20
)

// Config says how connections behave.
type Config struct {
	Subprotocols []string
	MaxMessage   int           // bytes
	WriteTimeout time.Duration // how long the peer may take nothing
	// Refused is told of messages ("body_bytes") and floods ("frames") that end a
	// connection; TimedOut, of a peer that took nothing for the WriteTimeout.
	Refused  func(reason string)
	TimedOut func()
	// Lateness returns for how long, in all, this process did not run when it should.
	Lateness func() time.Duration
}

// Conn is one WebSocket. It implements hub.Socket.
type Conn struct {
	cfg  *Config
	nc   net.Conn
	ws   *websocket.Conn
	in   *bufio.Reader // the library's, over nc
	post func(frame []byte, last bool)

	began  time.Time    // what clock counts from
	active atomic.Int64 // when bytes last passed, see clock
	shut   atomic.Bool  // a close frame was posted

	// Owned by the reader.
	early     []byte  // bytes that were read before the library asked for them
	heads     headers // frame headers in the bytes that the library was given
	first     [6]byte // Await's buffer
	reads     pace
	waited    time.Duration // how long reads were slowed since the last floodBreak
	lateness  time.Duration // Config.Lateness as of the last read
	freeReads int           // reads that are not slowed, since this process was late

	// Guarded by the right to send.
	armed   int64    // when the write deadline was set, see clock; 0: it is not
	instant *instant // nil: not used yet
}

// Accept upgrades a request. If it fails, it has answered the request.
func Accept(w http.ResponseWriter, r *http.Request, cfg *Config) (*Conn, error) {
	c := &Conn{cfg: cfg}
	ws, err := websocket.Accept(&hijacker{w, c}, r, &websocket.AcceptOptions{
		Subprotocols:       cfg.Subprotocols,
		InsecureSkipVerify: true, // the Origin was checked, by our own rule
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	// This package closes every connection. The library's finalizer is on an object in a
	// cycle, so it would leak each connection that breaks.
	runtime.SetFinalizer(ws, nil)
	ws.SetReadLimit(-1) // headers.look is the limit
	c.ws = ws
	return c, nil
}

// Start implements hub.Socket.
func (c *Conn) Start(post func(frame []byte, last bool)) { c.post = post }

// Write implements reply.Out. It fails if the peer takes no byte for the write timeout.
func (c *Conn) Write(p []byte, block bool) (n int, err error) {
	now := time.Now()
	if !block {
		if n = c.writeNow(p); n > 0 && !isPing(p) {
			c.active.Store(c.clock(now))
		}
		return n, nil
	}
	for n < len(p) {
		if err := c.arm(now); err != nil {
			return n, err
		}
		k, err := c.nc.Write(p[n:min(len(p), n+writeChunk)])
		n += k
		now = time.Now()
		if err != nil {
			late := errors.Is(err, os.ErrDeadlineExceeded)
			if k == 0 || !late {
				if late {
					c.cfg.TimedOut()
				}
				return n, err
			}
			c.armed = 0
		}
		if !isPing(p) {
			c.active.Store(c.clock(now))
		}
	}
	return n, nil
}

// arm sets the write deadline, unless that was done less than an eighth of the timeout ago:
// it costs as much as a small frame.
func (c *Conn) arm(now time.Time) error {
	at := c.clock(now)
	if c.armed != 0 && at-c.armed <= int64(c.cfg.WriteTimeout/8) {
		return nil
	}
	c.armed = at
	return c.nc.SetWriteDeadline(now.Add(c.cfg.WriteTimeout))
}

// Read implements hub.Socket.
func (c *Conn) Read() ([]byte, error) {
	typ, p, err := c.ws.Read(context.Background())
	switch {
	case err != nil:
		if c.heads.over {
			c.cfg.Refused("body_bytes")
			c.post(c.CloseFrame(hub.CloseTooLarge, "the message is too large"), true)
		}
		c.linger()
	case typ == websocket.MessageBinary:
		return nil, hub.ErrBinary
	}
	return p, err
}

// linger discards what a peer that broke the protocol is still sending. If the connection
// were closed with bytes unread, the peer would get a reset and not the close frame.
func (c *Conn) linger() {
	const most = 64 << 20
	if c.shut.Load() && c.nc.SetReadDeadline(time.Now().Add(closeWait)) == nil {
		_, _ = io.CopyN(io.Discard, c.nc, most)
	}
}

// CloseFrame implements hub.Socket (RFC 6455, section 5.5.1). A reason has at most
// 123 bytes.
func (c *Conn) CloseFrame(code hub.CloseCode, reason string) []byte {
	c.shut.Store(true)
	time.AfterFunc(closeWait, c.Kill)
	p := binary.BigEndian.AppendUint16([]byte{closeOp, byte(2 + len(reason))}, uint16(code))
	return append(p, reason...)
}

// The first bytes of control frames, unmasked and whole.
const (
	closeOp = 0x88
	pingOp  = 0x89
)

// isPing reports whether p is a ping, which does not count as activity.
func isPing(p []byte) bool { return len(p) == 2 && p[0] == pingOp }

// Ping implements hub.Socket.
func (c *Conn) Ping() { c.post([]byte{pingOp, 0}, false) }

// Kill implements hub.Socket.
func (c *Conn) Kill() { _ = c.nc.Close() }

// Active implements hub.Socket.
func (c *Conn) Active() time.Time { return c.began.Add(time.Duration(c.active.Load())) }

// clock is a time as a number of nanoseconds, by the clock that nobody sets: where the
// machine's is set back, a peer is neither too fast nor silent.
func (c *Conn) clock(t time.Time) int64 { return int64(t.Sub(c.began)) }

// underlay is the net.Conn that the library has. The library writes only control frames,
// each by one Write: they go to the outbox. Its Close does nothing, since Kill closes.
type underlay struct{ c *Conn }

func (u underlay) Read(p []byte) (int, error) { return u.c.read(p) }

func (u underlay) Write(p []byte) (int, error) {
	n, last := len(p), len(p) > 0 && p[0] == closeOp
	if last {
		u.c.shut.Store(true)
		if n > 4 && !utf8.Valid(p[4:]) { // the peer's own reason, sent back (section 5.5.1)
			p = u.c.CloseFrame(hub.CloseInvalidUTF8, "a close reason must be UTF-8")
		}
	}
	if u.c.post != nil {
		u.c.post(append([]byte(nil), p...), last)
	}
	return n, nil
}

func (u underlay) Close() error                       { return nil }
func (u underlay) LocalAddr() net.Addr                { return u.c.nc.LocalAddr() }
func (u underlay) RemoteAddr() net.Addr               { return u.c.nc.RemoteAddr() }
func (u underlay) SetDeadline(t time.Time) error      { return u.c.nc.SetDeadline(t) }
func (u underlay) SetReadDeadline(t time.Time) error  { return u.c.nc.SetReadDeadline(t) }
func (u underlay) SetWriteDeadline(t time.Time) error { return u.c.nc.SetWriteDeadline(t) }

// hijacker is a ResponseWriter whose Hijack gives out an underlay with small buffers.
type hijacker struct {
	http.ResponseWriter
	c *Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := h.c
	c.nc, c.lateness, c.began = nc, c.cfg.Lateness(), time.Now()
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n) // cannot fail: they are buffered
		c.early = append([]byte(nil), early...)
	}
	// The server may have set deadlines for the request. A client that is gone by now
	// is told of by the first read.
	_ = nc.SetDeadline(time.Time{})
	c.in = bufio.NewReaderSize(underlay{c}, readBuffer)
	return underlay{c}, bufio.NewReadWriter(c.in, bufio.NewWriterSize(underlay{c}, writeBuffer)), nil
}
