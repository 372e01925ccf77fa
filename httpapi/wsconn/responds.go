package wsconn

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"time"
)

var errNoPong = errors.New("wsconn: the peer has left, or sends too much before it answers a ping")

// Responds implements hub.Socket. The library would see the pong only while it reads a
// message, which is too soon here. So this reads frames itself, up to the pong, and keeps the
// other ones in early.
func (c *Conn) Responds(ctx context.Context) error {
	payload := make([]byte, 8)
	_, _ = rand.Read(payload) // never fails
	if _, err := c.Write(append([]byte{pingOp, byte(len(payload))}, payload...), true); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	defer func() { _ = c.nc.SetReadDeadline(time.Time{}) }() // the next read tells
	chunk := make([]byte, 4<<10)
	for from := 0; ; {
		var size int
		var left bool
		if from, size, left = findPong(c.early, from, payload, c.cfg.MaxMessage); size > 0 {
			c.early = append(c.early[:from], c.early[from+size:]...)
			return nil
		}
		if left || len(c.early) > c.cfg.MaxMessage+maxEarly {
			return errNoPong
		}
		n, err := c.nc.Read(chunk)
		c.early = append(c.early, chunk[:n]...)
		if err != nil && n == 0 {
			return err
		}
	}
}

// findPong looks for a pong with this payload in the frames (RFC 6455, section 5.2) of b from
// from on, and returns where it is and its size. If the size is 0 there is none yet, and at is
// where to go on. left: the peer closes, or a frame has more than most bytes.
func findPong(b []byte, from int, payload []byte, most int) (at, frame int, left bool) {
	const opClose, opPong = 8, 10
	for {
		f := b[from:]
		head, size, ok := frameHeader(f)
		switch {
		case !ok:
			return from, 0, false
		case size > uint64(most):
			return from, 0, true
		}
		op := f[0] & 0x0f
		if uint64(len(f)) < uint64(head)+size {
			return from, 0, op == opClose
		}
		frame := head + int(size)
		switch op {
		case opPong:
			said := bytes.Clone(f[head:frame])
			for i := range said {
				if f[1]&masked != 0 {
					said[i] ^= f[head-maskSize+i%maskSize]
				}
			}
			if bytes.Equal(said, payload) {
				return from, frame, false
			}
		case opClose:
			return from, 0, true
		}
		from += frame
	}
}
