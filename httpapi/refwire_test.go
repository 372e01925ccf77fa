package httpapi_test

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"
)

// errRefDropped is what a refConn says at the byte at which it was to break.
var errRefDropped = errors.New("dropped on purpose")

// refPatience is how long a client waits for the next bytes. Nothing is measured
// by it: it only ends a test that hangs, also on a machine that is busy.
const refPatience = time.Minute

// refConn is a client's TCP connection that breaks at an exact byte of what is
// received, and takes no more at a time than it is told to.
type refConn struct {
	*net.TCPConn
	left int64 // bytes until it breaks; negative: it does not
	bite int   // at most so many bytes a read; 0: any number
}

// refDial says how a refConn is to behave.
type refDial struct {
	dropAt  int64 // break behind so many bytes; 0: never
	bite    int   // bytes a read; 0: any number
	receive int   // the kernel's receive buffer in bytes; 0: its default
}

func dialRef(addr string, d refDial) (*refConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := &refConn{TCPConn: c.(*net.TCPConn), left: -1, bite: d.bite}
	if d.dropAt > 0 {
		conn.left = d.dropAt
	}
	if d.receive > 0 {
		err = conn.SetReadBuffer(d.receive)
	}
	return conn, err
}

// Read implements net.Conn.
func (c *refConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		_ = c.Close()
		return 0, errRefDropped
	}
	if c.bite > 0 {
		p = p[:min(len(p), c.bite)]
	}
	if c.left > 0 {
		p = p[:min(int64(len(p)), c.left)]
	}
	if err := c.SetReadDeadline(time.Now().Add(refPatience)); err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(p)
	if c.left > 0 {
		c.left -= int64(n)
	}
	return n, err
}

// refClosed is a close frame from the hub.
type refClosed struct {
	code   int
	reason string
}

func (e *refClosed) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

// refSocket is a client's end of a WebSocket, straight from RFC 6455 and on
// purpose not the library that the server uses. One goroutine reads; any may
// write.
type refSocket struct {
	conn *refConn
	in   *bufio.Reader
	mu   sync.Mutex // guards writing
}

// dialRefSocket opens a WebSocket at a path of the hub, in the hub's own
// dialect.
func dialRefSocket(addr, path string, d refDial) (*refSocket, error) {
	conn, err := dialRef(addr, d)
	if err != nil {
		return nil, err
	}
	s := &refSocket{conn: conn, in: bufio.NewReader(conn)}
	if err := s.shakeHands(addr, path); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *refSocket) shakeHands(addr, path string) error {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	key := base64.StdEncoding.EncodeToString(nonce)
	_, err := fmt.Fprintf(s.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: chathub.v1\r\n\r\n", path, addr, key)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != accept ||
		resp.Header.Get("Sec-WebSocket-Protocol") != "chathub.v1" {
		return fmt.Errorf("upgrade answered by %s %v", resp.Status, resp.Header)
	}
	return nil
}

// The opcodes of RFC 6455, section 5.2.
const (
	refText  = 0x1
	refClose = 0x8
	refPing  = 0x9
	refPong  = 0xa
)

// read returns the next text message. A close frame is a *refClosed; any other
// end of the connection is what a browser calls 1006.
func (s *refSocket) read() ([]byte, error) {
	for {
		op, payload, err := s.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case refText:
			if !utf8.Valid(payload) {
				return nil, fmt.Errorf("a text frame that is not UTF-8: %q", payload)
			}
			return payload, nil
		case refPing:
			if err := s.writeFrame(refPong, payload); err != nil {
				return nil, err
			}
		case refPong:
		case refClose:
			_ = s.writeFrame(refClose, payload) // the hub may be gone already
			if len(payload) < 2 {
				return nil, &refClosed{code: 1005}
			}
			return nil, &refClosed{int(binary.BigEndian.Uint16(payload)), string(payload[2:])}
		default:
			return nil, fmt.Errorf("a frame of type %d", op)
		}
	}
}

// readFrame reads one frame. The hub sends a message as one frame, so nothing
// else is right.
func (s *refSocket) readFrame() (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("a frame in parts, masked or with extensions: % x", head[:2])
	}
	op = head[0] & 0xf
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(s.in, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(s.in, head[:8])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > 1<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(s.in, payload)
	return op, payload, err
}

// write sends one text message.
func (s *refSocket) write(text string) error { return s.writeFrame(refText, []byte(text)) }

func (s *refSocket) writeFrame(op byte, payload []byte) error {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.conn.SetWriteDeadline(time.Now().Add(refPatience))
	if err == nil {
		_, err = s.conn.Write(b)
	}
	return err
}

// say sends a message frame.
func (s *refSocket) say(id, content string) error {
	frame, err := json.Marshal(map[string]string{"type": "message", "id": id, "content": content})
	if err != nil {
		return err
	}
	return s.writeFrame(refText, frame)
}

// close breaks the connection off, without a word.
func (s *refSocket) close() { _ = s.conn.Close() }
