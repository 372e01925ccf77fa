package httpapi

import (
	"bufio"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/session"
)

const (
	// writeChunk is how much is written under one deadline.
	writeChunk = 32 << 10
	// maxBehind bounds what is held for a peer that takes nothing while it
	// makes the library answer (pings, say).
	maxBehind = 1 << 20
	// wsBuffer is the size of the buffers that a WebSocket keeps while idle:
	// net/http's own have 4 KiB each.
	wsBuffer = 256
)

var (
	errBehind = errors.New("httpapi: the peer takes nothing")
	errHalf   = errors.New("httpapi: a write panicked")
)

// conn is the net.Conn below a WebSocket. Its Write has the write timeout, and
// can be corked, so that the header and the payload of a frame, or several
// frames, leave in one system call. The buffer for that is there only while
// something is held back.
type conn struct {
	net.Conn
	timeout time.Duration
	metrics *hub.Metrics // may be nil
	log     *slog.Logger
	most    int           // of a message, in bytes
	in      *bufio.Reader // the library's, over this one; the reader's
	pre     []byte        // what was read before the library asked for it; the reader's
	first   [6]byte       // room for that; the reader's
	armed   time.Time     // when the write deadline was set; whoever writes has it
	reads   pace          // the reader's
	waited  time.Duration // for a peer that sends too fast, since its last floodBreak; the reader's
	filled  bool          // the last read filled the library's buffer; the reader's
	late    time.Duration // how late the hub was, as of the last read; the reader's
	free    int           // reads that are free; the reader's
	hub     *hub.Hub      // knows of pauses of the process; nil: none are known
	active  atomic.Int64  // Unix nanoseconds at which bytes last passed

	mu      sync.Mutex // guards what follows
	buf     *[]byte    // not yet written; nil: nothing
	corked  bool
	instant *instant      // nil: not used yet
	shut    bool          // a close frame has been written: no frame may follow
	writing bool          // a goroutine is in writeOut or ping
	written chan struct{} // closed when it is done; made by whoever waits for that
	err     error         // of the first write that failed
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// Write implements net.Conn, for the library, which writes whole control frames
// and nothing else. Behind a close frame it would answer the peer's, in vain.
func (c *conn) Write(p []byte) (int, error) {
	return len(p), c.writeControl(p)
}

// writeClose writes a close frame (RFC 6455, section 5.5.1). A reason has at
// most 123 bytes.
func (c *conn) writeClose(code uint16, reason string) error {
	p := binary.BigEndian.AppendUint16([]byte{closeFrame, byte(2 + len(reason))}, code)
	return c.writeControl(append(p, reason...))
}

const closeFrame = 0x88

// Close implements net.Conn, for the library, which closes as soon as it has
// answered the peer's close frame.
func (c *conn) Close() error {
	c.lastFrame()
	return c.Conn.Close()
}

// lastFrame tells whether a close frame was written. That may still be held
// behind what somebody else is writing: then it leaves first, if the peer takes
// it.
func (c *conn) lastFrame() bool {
	c.mu.Lock()
	shut := c.shut
	c.mu.Unlock()
	if shut {
		limit := time.AfterFunc(closeWait, func() { _ = c.Conn.Close() })
		defer limit.Stop()
		_ = c.Flush() // c.err tells the next writer
	}
	return shut
}

// writeControl writes a control frame, unless it would follow a close frame.
func (c *conn) writeControl(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil || c.shut {
		return err
	}
	c.shut = len(p) > 0 && p[0] == closeFrame
	c.take(p)
	return c.send()
}

// writeText writes one text frame (RFC 6455, section 5.2): unfragmented, not
// masked, unless it would follow a close frame. It is the token path's: the
// library takes three locks and two writes for the same.
func (c *conn) writeText(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil || c.shut {
		return err
	}
	var head [10]byte
	c.take(appendTextHeader(head[:0], len(p)))
	c.take(p)
	return c.send()
}

// appendTextHeader appends the header of a text frame with n bytes.
func appendTextHeader(b []byte, n int) []byte {
	const finText = 0x81
	switch {
	case n < 126:
		return append(b, finText, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, finText, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, finText, 127), uint64(n))
}

// take adds p to what is held. c.mu is held.
func (c *conn) take(p []byte) {
	if c.buf == nil {
		c.buf = buffers.Get().(*[]byte)
	}
	*c.buf = append(*c.buf, p...)
}

// usable fails when nothing more can be written. c.mu is held.
func (c *conn) usable() error {
	if c.err == nil && c.writing && c.buf != nil && len(*c.buf) > maxBehind {
		c.err = errBehind
	}
	return c.err
}

// send writes what is held. While the connection is corked, or another
// goroutine is writing, it goes out behind what came before. c.mu is held.
func (c *conn) send() error {
	if c.corked || c.writing {
		return nil
	}
	return c.writeOut()
}

// Cork holds back what is written until Flush. One goroutine at a time does
// both; lastFrame flushes beside it, when no frame can follow.
func (c *conn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

// pingFrame is an unmasked, empty ping (RFC 6455, section 5.5.2).
var pingFrame = []byte{0x89, 0}

// pingTimeout bounds a write that finds room at once, if all is well.
const pingTimeout = 50 * time.Millisecond

// ping writes a ping between two frames. When something is being written there
// is no need for one. What others write meanwhile goes out behind it, and no
// caller of ping waits for that.
func (c *conn) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked || c.writing || c.shut || c.err != nil {
		return
	}
	c.armed = time.Time{}
	if c.Conn.SetWriteDeadline(time.Now().Add(pingTimeout)) != nil {
		return
	}
	c.writing = true
	handedOn := false
	defer func() {
		if !handedOn {
			c.wrote()
		}
	}()
	n := 0
	_ = c.unlocked(func() (err error) { n, err = c.Conn.Write(pingFrame); return err })
	if n == 1 { // half a ping would garble what follows
		c.err = errBehind
	}
	if c.buf != nil && !c.corked {
		handedOn = true
		go func() {
			_ = session.Rescue(c.log, "a connection's writer", uuid.Nil, func() error {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.writeOut() // c.err tells the next writer
			})
		}()
	}
}

// Flush ends what Cork began, and returns when all that was written so far has
// left, or failed to.
func (c *conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	for c.writing {
		if c.written == nil {
			c.written = make(chan struct{})
		}
		written := c.written
		c.mu.Unlock()
		<-written
		c.mu.Lock()
	}
	return c.writeOut()
}

// FlushNow ends what Cork began, if the peer has room for all that is held;
// otherwise what is left stays corked.
func (c *conn) FlushNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.err != nil {
		return false
	}
	if c.buf != nil {
		now := time.Now()
		if c.arm(now) != nil {
			return false
		}
		n := c.writeNow(*c.buf)
		if n > 0 {
			c.active.Store(now.UnixNano())
		}
		if n < len(*c.buf) {
			*c.buf = append((*c.buf)[:0], (*c.buf)[n:]...)
			return false
		}
		release(c.buf)
		c.buf = nil
	}
	c.corked = false
	return true
}

// writeOut writes what is held, and what comes to be held meanwhile. c.mu is
// held, but not during the writes.
func (c *conn) writeOut() error {
	c.writing = true
	defer c.wrote()
	for c.err == nil && c.buf != nil {
		out := c.buf
		c.buf = nil
		err := c.unlocked(func() error { return c.writeAll(*out) })
		release(out)
		if err != nil && c.err == nil {
			c.err = err
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.metrics.WriteTimedOut()
			}
		}
	}
	return c.err
}

// unlocked calls f, which writes, without c.mu, which is held before and behind it.
// After a panic nothing more is written: there may be half a frame.
func (c *conn) unlocked(f func() error) error {
	returned := false
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		if !returned && c.err == nil {
			c.err = errHalf
		}
	}()
	err := f()
	returned = true
	return err
}

// wrote lets the next writer write. c.mu is held.
func (c *conn) wrote() {
	c.writing = false
	if c.written != nil {
		close(c.written)
		c.written = nil
	}
}

// release gives a buffer back. A large one is not worth keeping.
func release(b *[]byte) {
	if cap(*b) <= 2*writeChunk {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// arm gives the peer the write timeout to take something. Setting the deadline
// costs as much as a small frame: an eighth early is no matter.
func (c *conn) arm(now time.Time) error {
	if now.Sub(c.armed) <= c.timeout/8 {
		return nil
	}
	c.armed = now
	return c.Conn.SetWriteDeadline(now.Add(c.timeout))
}

// writeAll writes p, and fails when the peer takes nothing for the timeout. To
// take little is not to take nothing.
func (c *conn) writeAll(p []byte) error {
	for len(p) > 0 {
		now := time.Now()
		if err := c.arm(now); err != nil {
			return err
		}
		n, err := c.Conn.Write(p[:min(len(p), writeChunk)])
		if err != nil {
			if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			now, c.armed = time.Now(), time.Time{}
		}
		c.active.Store(now.UnixNano())
		p = p[n:]
	}
	return nil
}
