package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/coder/websocket"
)

// fixed is a connection that reads from r and remembers what is written.
type fixed struct {
	net.Conn
	r   io.Reader
	out bytes.Buffer
}

func (f *fixed) Read(b []byte) (int, error)  { return f.r.Read(b) }
func (f *fixed) Write(b []byte) (int, error) { return f.out.Write(b) }

func reading(r io.Reader) *wsConn {
	return &wsConn{Conn: &fixed{r: r}, buf: make([]byte, 16), budget: -1}
}

// serverFrame is a frame as a server sends it.
func serverFrame(first byte, payload string) string {
	head := []byte{first, byte(len(payload))}
	switch {
	case len(payload) > 1<<16-1:
		head = binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(len(payload)))
	case len(payload) > 125:
		head = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(len(payload)))
	}
	return string(head) + payload
}

func TestReadFrames(t *testing.T) {
	long, longer := strings.Repeat("0123456789", 50), strings.Repeat("abcdefghij", 20_000)
	stream := serverFrame(0x81, "one") + serverFrame(0x89, "are you there") + serverFrame(0x81, long) +
		serverFrame(0x01, "in ") + serverFrame(0x8A, "") + serverFrame(0x00, "three ") + serverFrame(0x80, "parts") +
		serverFrame(0x81, longer) + serverFrame(0x81, "") + serverFrame(0x88, "\x03\xe9bye")
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(stream),
		"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
		"by halves":    iotest.HalfReader(strings.NewReader(stream)),
	} {
		c := reading(r)
		for _, want := range []string{"one", long, "in three parts", longer, ""} {
			if got, err := c.next(); err != nil || string(got) != want {
				t.Fatalf("%s: got %.40q, %v, want %.40q", name, got, err, want)
			}
		}
		_, err := c.next()
		if closed, ok := errors.AsType[*closeError](err); !ok || closed.code != 1001 || closed.reason != "bye" {
			t.Errorf("%s: close: %v", name, err)
		}
		pong := c.Conn.(*fixed).out.Bytes()
		if len(pong) != 6+13 || pong[0] != 0x8A || pong[1] != 0x80|13 {
			t.Fatalf("%s: ping answered by % x", name, pong)
		}
		for i := range 13 {
			pong[6+i] ^= pong[2+i%4]
		}
		if string(pong[6:]) != "are you there" {
			t.Errorf("%s: pong says %q", name, pong[6:])
		}
	}
}

func TestRefuseFrames(t *testing.T) {
	for name, stream := range map[string]string{
		"masked":               "\x81\x83mask123",
		"reserved bit":         "\xc1\x03abc",
		"binary":               "\x82\x03abc",
		"unknown opcode":       "\x83\x00",
		"continuation alone":   "\x80\x01x",
		"text amid a message":  "\x01\x01a\x81\x01b",
		"long ping":            "\x89\x7e\x00\x80" + strings.Repeat("x", 128),
		"ping in parts":        "\x09\x00",
		"beyond the limit":     "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
		"cut":                  "\x81\x05ab",
		"close without a code": "\x88\x00",
	} {
		if got, err := reading(strings.NewReader(stream)).next(); err == nil {
			t.Errorf("%s: passed as %q", name, got)
		}
	}
}

func TestDropAtAByte(t *testing.T) {
	stream := serverFrame(0x81, "first") + serverFrame(0x81, "second")
	for at := 1; at <= len(stream); at++ {
		c := reading(strings.NewReader(stream))
		c.budget = at
		var whole int
		var err error
		for err == nil {
			if _, err = c.next(); err == nil {
				whole++
			}
		}
		want := 0
		if at >= 7 {
			want++
		}
		if at == len(stream) {
			want++
		}
		if !errors.Is(err, errDropped) || whole != want {
			t.Errorf("at byte %d: %d frames, %v", at, whole, err)
		}
	}
}

// FuzzFrames reads the same bytes at once and byte by byte.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(serverFrame(0x81, "one") + serverFrame(0x89, "") + serverFrame(0x01, "a") + serverFrame(0x80, "b")))
	f.Add([]byte("\x88\x02\x03\xe8"))
	f.Fuzz(func(t *testing.T, b []byte) {
		one, other := reading(bytes.NewReader(b)), reading(iotest.OneByteReader(bytes.NewReader(b)))
		for {
			m1, err1 := one.next()
			m2, err2 := other.next()
			if !bytes.Equal(m1, m2) || (err1 == nil) != (err2 == nil) {
				t.Fatalf("at once %q, %v; byte by byte %q, %v", m1, err1, m2, err2)
			}
			if err1 != nil {
				return
			}
		}
	})
}

// TestAgainstCoderWebsocket talks to somebody else's idea of the protocol.
func TestAgainstCoderWebsocket(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chathub.v1"}})
		if err != nil {
			return
		}
		conn.SetReadLimit(1 << 20)
		for {
			kind, b, err := conn.Read(context.Background())
			if err != nil {
				conn.CloseNow()
				return
			}
			conn.Write(context.Background(), kind, b)
		}
	}))
	defer server.Close()
	u, _ := url.Parse("ws" + strings.TrimPrefix(server.URL, "http"))
	c, err := dialWS(t.Context(), new(net.Dialer), u, "chathub.v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 125, 126, 1 << 10, 1<<16 - 1, 1 << 16, 1 << 18} {
		want := strings.Repeat("x", n)
		if err := c.write(opText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.next(); err != nil || string(got) != want {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
	c.bye()

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	u, _ = url.Parse("ws" + strings.TrimPrefix(plain.URL, "http"))
	_, err = dialWS(t.Context(), new(net.Dialer), u, "")
	if refused, ok := errors.AsType[*handshakeError](err); !ok || refused.status != "404 Not Found" {
		t.Errorf("got %v", err)
	}
}
