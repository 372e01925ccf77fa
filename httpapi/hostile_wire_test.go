package httpapi_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// addr is the host and port of the rig.
func (r *rig) addr() string { return strings.TrimPrefix(r.url, "http://") }

// raw opens a WebSocket that the test writes to byte by byte, and reads ready.
func (r *rig) raw(path string) *refSocket {
	r.t.Helper()
	s, err := dialRefSocket(r.addr(), path, refDial{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.close)
	if _, err := s.read(); err != nil {
		r.t.Fatalf("instead of ready: %v", err)
	}
	return s
}

// masked is a client's frame; first is its first byte, so FIN, RSV and opcode.
func masked(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{7, 77, 177, 1}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

// claiming is the head of a masked text frame that says how long it is.
func claiming(length uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, length)) + "mask"
}

// ended reads until the connection ends and returns the code of the close
// frame, 0 without one, and the text messages before.
func (s *refSocket) ended() (int, []string) {
	var before []string
	for {
		text, err := s.read()
		var closed *refClosed
		switch {
		case errors.As(err, &closed):
			return closed.code, before
		case err != nil:
			return 0, before
		}
		before = append(before, string(text))
	}
}

// TestFramesThatEndTheConnection: what RFC 6455 forbids a client, with the code
// that it asks for (sections 5, 7.4.1); 0: without one.
func TestFramesThatEndTheConnection(t *testing.T) {
	r := newRig(t)
	const text, more, pingFrame = 0x81, 0x80, 0x89
	for name, tt := range map[string]struct {
		bytes string
		want  int
	}{
		"not masked":                     {"\x81\x04ping", 0},                 // section 5.1 asks for an end, not for a code
		"a reserved bit":                 {masked(0xc1, "compressed?"), 1002}, // compression was not agreed on
		"another reserved bit":           {masked(0xa1, "x"), 1002},
		"a reserved kind of data":        {masked(0x83, "x"), 1002},
		"a reserved kind of control":     {masked(0x8b, "x"), 1002},
		"more of nothing":                {masked(more, "x"), 1002},
		"a message in a message":         {masked(0x01, "half ") + masked(text, "whole"), 1002},
		"a control frame too long":       {masked(pingFrame, strings.Repeat("x", 126)), 1002},
		"a control frame in parts":       {masked(0x09, "half"), 1002},
		"a length with its highest bit":  {claiming(1 << 63), 0},
		"a length of a gigabyte":         {claiming(1<<30) + strings.Repeat("x", 500<<10), 1009},
		"too long in parts":              {masked(0x01, strings.Repeat("x", 300<<10)) + masked(more, strings.Repeat("x", 300<<10)), 1009},
		"not UTF-8 across parts":         {masked(0x01, "\xe2\x82") + masked(more, "x"), 1007},
		"a close of one byte":            {masked(0x88, "x"), 1002},
		"a close with 0":                 {masked(0x88, "\x00\x00"), 1002},
		"a close with 999":               {masked(0x88, "\x03\xe7"), 1002},
		"a close with 1004":              {masked(0x88, "\x03\xec"), 1002},
		"a close with 1005":              {masked(0x88, "\x03\xed"), 1002},
		"a close with 1006":              {masked(0x88, "\x03\xee"), 1002},
		"a close with 1015":              {masked(0x88, "\x03\xf7"), 1002},
		"a close with 65535":             {masked(0x88, "\xff\xff"), 1002},
		"a close, as it should be":       {masked(0x88, "\x03\xe8bye"), 1000},
		"a close with a code of its own": {masked(0x88, "\x0f\xa0bye"), 4000},
		"an empty close":                 {masked(0x88, ""), 1005},
		"HTTP":                           {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002},
		"zeros":                          {strings.Repeat("\x00", 64), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.raw("/ws")
			if _, err := io.WriteString(s.conn, tt.bytes); err != nil {
				t.Fatal(err)
			}
			if got, before := s.ended(); got != tt.want || len(before) != 0 {
				t.Errorf("ended with %d behind %q, want %d", got, before, tt.want)
			}
		})
	}
	if log := r.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "panic") {
		t.Error(log)
	}
}

// TestCompressionIsNotAgreedOn: compression that is offered is not taken, so a
// client that compresses all the same breaks the protocol.
func TestCompressionIsNotAgreedOn(t *testing.T) {
	r := newRig(t)
	conn, err := dialRef(r.addr(), refDial{})
	if err != nil {
		t.Fatal(err)
	}
	s := &refSocket{conn: conn, in: bufio.NewReader(conn)}
	defer s.close()
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: "+r.addr()+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || len(resp.Header.Values("Sec-WebSocket-Extensions")) != 0 {
		t.Fatalf("answered by %+v, %v", resp, err)
	}
	if _, err := s.read(); err != nil {
		t.Fatalf("instead of ready: %v", err)
	}
	if _, err := io.WriteString(conn, masked(0xc1, "\xcaH\xcd\xc9\xc9\x07\x00")); err != nil { // "Hello", RFC 7692, section 7.2.3.1
		t.Fatal(err)
	}
	if code, before := s.ended(); code != 1002 || len(before) != 0 {
		t.Errorf("ended with %d behind %q, want 1002", code, before)
	}
}

// TestFramesInPieces: a frame in single bytes, a message in many parts with
// pings between them, and many messages in one write are what they would be whole.
func TestFramesInPieces(t *testing.T) {
	r := newRig(t)
	wantPong := func(s *refSocket) {
		t.Helper()
		if text, err := s.read(); err != nil || string(text) != `{"type":"pong"}` {
			t.Fatalf("got %s, %v; want the pong", text, err)
		}
	}
	s := r.raw("/ws")
	for _, b := range []byte(masked(0x81, `{"type":"ping"}`)) {
		if _, err := s.conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	wantPong(s)

	parts := masked(0x01, "")
	for _, c := range `{"type":"ping","note":"€"}` {
		parts += masked(0x00, string(c)) + masked(0x89, "are you there?") + masked(0x8a, "unasked")
	}
	if _, err := io.WriteString(s.conn, parts+masked(0x80, "")); err != nil {
		t.Fatal(err)
	}
	wantPong(s)

	const many = 300
	if _, err := io.WriteString(s.conn, strings.Repeat(masked(0x81, `{"type":"ping"}`), many)); err != nil {
		t.Fatal(err)
	}
	for range many {
		wantPong(s)
	}
}

// TestCloseIsAnsweredOnce: what comes behind a close frame is not heard.
func TestCloseIsAnsweredOnce(t *testing.T) {
	r := newRig(t)
	s := r.raw("/ws")
	id := uuid.NewString()
	_, err := io.WriteString(s.conn, masked(0x88, "\x03\xe8")+masked(0x81, `{"type":"message","id":"`+id+`","content":"hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	if code, before := s.ended(); code != 1000 || len(before) != 0 {
		t.Errorf("ended with %d behind %q", code, before)
	}
	if r.asked() != 0 {
		t.Error("the model was asked")
	}
}

// TestPingsOfPeerThatNeverReads: a client that makes the hub answer and takes
// nothing is dropped at the write timeout, and holds no more than its share of
// memory until then.
func TestPingsOfPeerThatNeverReads(t *testing.T) {
	x := newExactServer(t, exactOptions{writeTimeout: 200 * time.Millisecond, sendBuffer: 4 << 10})
	s, err := dialRefSocket(x.addr, "/ws", refDial{receive: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	flood := []byte(strings.Repeat(masked(0x89, strings.Repeat("p", 125)), 100))
	for err == nil {
		_, err = s.conn.Write(flood)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("it is still connected")
	}
}

// TestCutMessage: of a message whose connection ends before all of it has come,
// nothing is taken for what was said, wherever in it that was.
func TestCutMessage(t *testing.T) {
	r := newRig(t)
	frame := masked(0x81, strings.Repeat("x", 2000))
	for name, sent := range map[string]string{
		"behind the first part": masked(0x01, "Delete nothing, "),
		"behind two parts":      masked(0x01, "Delete nothing, ") + masked(0x00, "please"),
		"behind a header":       frame[:8],
		"within a header":       masked(0x01, "Delete ") + "\x80",
		"behind 512 bytes":      frame[:8+512],
		"before the last byte":  frame[:len(frame)-1],
	} {
		t.Run(name, func(t *testing.T) {
			session := r.newSession()
			s := r.raw("/ws/" + session)
			if _, err := io.WriteString(s.conn, sent); err != nil {
				t.Fatal(err)
			}
			if err := s.conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if code, before := s.ended(); code != 0 || len(before) != 0 {
				t.Errorf("ended with %d behind %q", code, before)
			}
			if messages := r.session(session).Messages; len(messages) != 0 {
				t.Errorf("taken for said: %+v", messages)
			}
		})
	}
}
