package wsconn

import (
	"errors"
	"io"
	"time"
)

var errTooLarge = errors.New("wsconn: the message is too large")

// read is the library's Read: it returns what the peer has sent.
func (c *Conn) read(p []byte) (n int, err error) {
	switch {
	case c.heads.over:
		return 0, errTooLarge
	case len(c.early) > 0:
		n = copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
	default:
		n, err = c.receive(p)
	}
	if n = c.heads.look(p[:n], c.cfg.MaxMessage); n == 0 && c.heads.over {
		return 0, errTooLarge
	}
	return n, err
}

// Await implements hub.Socket. The library would wait with a kilobyte more of stack:
// a goroutine that waits here gets by with the 2 KiB that it begins with.
func (c *Conn) Await() {
	// Pongs are skipped: receive has noted that the peer is active.
	const pong = 0x8a
	for len(c.early) == 0 && c.in.Buffered() == 0 && !c.heads.over {
		n, err := c.receive(c.first[:])
		if err != nil {
			return
		}
		if n < len(c.first) || c.first[0] != pong || c.first[1] != masked {
			c.early = c.first[:n]
		}
	}
}

// receive reads from the peer, at a pace.
func (c *Conn) receive(p []byte) (int, error) {
	if c.waited > maxFloodWait {
		return 0, errFlood // again: the last read dropped its bytes
	}
	n, err := c.nc.Read(p)
	if n > 0 {
		now := c.clock(time.Now())
		c.active.Store(now)
		if err := c.slow(now, len(p)); err != nil {
			return 0, err
		}
	}
	if err == io.EOF {
		// Within a message the library takes io.EOF for the message's end (v1.8.15).
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
