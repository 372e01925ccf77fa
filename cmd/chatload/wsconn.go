package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	minBuffer  = 512     // an idle connection's: its handshake and `ready` fit
	maxBuffer  = 1 << 16 // beyond it, only a frame that is larger makes it grow
	maxMessage = 1 << 26
)

// errDropped is what reading says once the byte was read at which the
// connection was to be dropped.
var errDropped = errors.New("dropped on purpose")

// closeError is a close frame from the peer.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

// wsConn is a client's end of a WebSocket (RFC 6455) for one goroutine, no
// dearer than it must be, since it shares the machine with what it measures:
// one buffer, no copy, no context, no timer. Extensions are not offered.
type wsConn struct {
	net.Conn
	buf     []byte
	r, w    int    // buf[r:w] has been read and not been handed out
	joined  []byte // a message in several frames
	joining bool
	out     []byte
	budget  int       // bytes until the drop; negative: none
	at      time.Time // when the newest byte was received
}

// fill reads once. It makes room first: by moving what is left to the front,
// and by doubling the buffer when a read found it too small.
func (c *wsConn) fill() error {
	if c.budget == 0 {
		return errDropped
	}
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.grow(2 * len(c.buf))
	}
	n, err := c.Read(c.buf[c.w:])
	if n == 0 && err != nil {
		return err
	}
	c.at = time.Now()
	if c.budget > 0 {
		n = min(n, c.budget)
		c.budget -= n
	}
	c.w += n
	if c.w == len(c.buf) && len(c.buf) < maxBuffer {
		c.grow(2 * len(c.buf))
	}
	return nil
}

func (c *wsConn) grow(size int) {
	b := make([]byte, size)
	copy(b, c.buf[:c.w])
	c.buf = b
}

// next waits for the next text message. It is the caller's until the next
// call. Pings are answered on the way.
func (c *wsConn) next() ([]byte, error) {
	for {
		fin, op, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		switch {
		case op == opPing:
			err = c.write(opPong, payload)
		case op == opPong:
		case op == opClose && len(payload) >= 2:
			return nil, &closeError{int(binary.BigEndian.Uint16(payload)), string(payload[2:])}
		case op == opClose:
			return nil, &closeError{code: 1005}
		case op == opText && !c.joining && fin:
			return payload, nil
		case op == opText && !c.joining:
			c.joining, c.joined = true, append(c.joined[:0], payload...)
		case op == opContinuation && c.joining:
			c.joined = append(c.joined, payload...)
			if fin {
				c.joining = false
				return c.joined, nil
			}
		default:
			return nil, fmt.Errorf("frame with opcode %d out of place", op)
		}
		if err != nil {
			return nil, err
		}
		if len(c.joined) > maxMessage {
			return nil, fmt.Errorf("message of more than %d bytes", maxMessage)
		}
	}
}

// frame waits for the next whole frame (RFC 6455 section 5.2).
func (c *wsConn) frame() (fin bool, op byte, payload []byte, err error) {
	for {
		head, length, err := frameHead(c.buf[c.r:c.w])
		if err != nil {
			return false, 0, nil, err
		}
		if head > 0 && c.w-c.r >= head+length {
			b := c.buf[c.r:]
			c.r += head + length
			return b[0]&0x80 != 0, b[0] & 0x0f, b[head : head+length], nil
		}
		if head+length > len(c.buf) {
			c.grow(head + length)
		}
		if err := c.fill(); err != nil {
			return false, 0, nil, err
		}
	}
}

// frameHead reads a frame's head from the front of b: its own length and the
// payload's, or 0 and 0 when there is less than a head in b.
func frameHead(b []byte) (head, payload int, err error) {
	if len(b) < 2 {
		return 0, 0, nil
	}
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return 0, 0, fmt.Errorf("frame begins with % x: reserved bits, or masked by a server", b[:2])
	}
	var length uint64
	switch b[1] {
	case 126:
		if len(b) < 4 {
			return 0, 0, nil
		}
		head, length = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return 0, 0, nil
		}
		head, length = 10, binary.BigEndian.Uint64(b[2:])
	default:
		head, length = 2, uint64(b[1])
	}
	if length > maxMessage {
		return 0, 0, fmt.Errorf("frame of %d bytes", length)
	}
	if b[0]&0x08 != 0 && (length > 125 || b[0]&0x80 == 0) {
		return 0, 0, fmt.Errorf("control frame of %d bytes, or in parts", length)
	}
	return head, int(length), nil
}

// write sends one frame, masked as a client's must be.
func (c *wsConn) write(op byte, payload []byte) error {
	var mask [4]byte
	rand.Read(mask[:])
	b := append(c.out[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i, p := range payload {
		b = append(b, p^mask[i%4])
	}
	c.out = b
	_, err := c.Write(b)
	return err
}

// bye closes as a browser does that leaves: a close frame, then the socket,
// and no wait for the answer.
func (c *wsConn) bye() {
	c.write(opClose, []byte{0x03, 0xe8})
	c.Close()
}

// drop breaks the connection as a network does: without a close frame, and
// with a reset when hard is set.
func (c *wsConn) drop(hard bool) {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && hard {
		tcp.SetLinger(0)
	}
	c.Close()
}
