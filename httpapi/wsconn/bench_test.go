package wsconn

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// overTCP upgrades a connection over the loopback device and returns the hub's end of
// it. The peer reads whatever comes and looks at nothing.
func overTCP(tb testing.TB) *Conn {
	tb.Helper()
	cfg := &Config{
		MaxMessage: 1 << 16, WriteTimeout: time.Minute,
		Refused: func(string) {}, TimedOut: func() {}, Lateness: func() time.Duration { return 0 },
	}
	upgraded := make(chan *Conn, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, cfg)
		if err != nil {
			tb.Error(err)
		}
		upgraded <- c
	}))
	tb.Cleanup(server.Close)
	peer, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(peer, "GET / HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		tb.Fatal(err)
	}
	c := <-upgraded
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, peer)
	}()
	tb.Cleanup(func() {
		c.Kill()
		<-ended
		peer.Close()
	})
	return c
}

// write writes p as the reply's writer does where it may not block, and then what is
// left of it as the follower does.
func write(c *Conn, p []byte) error {
	n, err := c.Write(p, false)
	if err == nil && n < len(p) {
		_, err = c.Write(p[n:], true)
	}
	return err
}

// BenchmarkWrite writes frames to a real socket: one at a time, each with a system call
// of its own, and several together.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{120, 4 << 10, 16 << 10} {
		for _, together := range []int{1, 8} {
			b.Run(fmt.Sprintf("bytes=%d/together=%d", size, together), func(b *testing.B) {
				c, frames := overTCP(b), bytes.Repeat([]byte{'x'}, size*together)
				b.ReportAllocs()
				b.SetBytes(int64(len(frames)))
				for b.Loop() {
					if err := write(c, frames); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestWriteAllocates nothing, over a real connection.
func TestWriteAllocates(t *testing.T) {
	c, frame := overTCP(t), bytes.Repeat([]byte{'x'}, 120)
	if n := testing.AllocsPerRun(2000, func() {
		if err := write(c, frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
