package httpapi

import (
	"io"
	"time"
)

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.pre) > 0 {
		n := copy(p, c.pre)
		if c.pre = c.pre[n:]; len(c.pre) == 0 {
			c.pre = nil
		}
		return n, nil
	}
	return c.receive(p)
}

// await returns when the peer has sent something, or the connection has ended,
// which the next Read tells. The library would wait with a kilobyte more of
// stack: a goroutine that waits here gets by with the 2 KiB that it begins with.
func (c *conn) await() {
	// What answers our pings says nothing more.
	const pong, masked = 0x8a, 0x80
	for len(c.pre) == 0 && c.in.Buffered() == 0 {
		n, err := c.receive(c.first[:])
		if err != nil {
			return
		}
		if n < len(c.first) || c.first[0] != pong || c.first[1] != masked {
			c.pre = c.first[:n]
		}
	}
}

// receive reads from the peer, at a pace.
func (c *conn) receive(p []byte) (int, error) {
	if c.waited > floodPatience {
		return 0, errFlood // as the last read, whose bytes are gone
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		now := time.Now().UnixNano()
		c.active.Store(now)
		if err := c.slow(now, n, len(p)); err != nil {
			return 0, err
		}
	}
	if err == io.EOF {
		// Within a message the library takes io.EOF for the message's end (v1.8.15).
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
