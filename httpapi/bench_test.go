package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// overTCP upgrades a connection over the loopback device and returns the hub's
// end of it. The peer reads whatever comes and looks at nothing.
func overTCP(tb testing.TB) socket {
	tb.Helper()
	s := &server{Config: Config{WriteTimeout: time.Minute}}
	upgraded := make(chan socket, 1)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sock, err := s.upgrade(w, r)
		if err != nil {
			tb.Error(err)
		}
		upgraded <- sock
	}))
	tb.Cleanup(hub.Close)
	peer, err := net.Dial("tcp", hub.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(peer, "GET / HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		tb.Fatal(err)
	}
	sock := <-upgraded
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, peer)
	}()
	tb.Cleanup(func() {
		sock.Kill()
		<-ended
		peer.Close()
	})
	return sock
}

// BenchmarkSocketWrite writes frames to a real socket: one at a time, each
// with a system call of its own, and several under one cork.
func BenchmarkSocketWrite(b *testing.B) {
	for _, size := range []int{120, 4 << 10, 16 << 10} {
		frame := bytes.Repeat([]byte{'x'}, size)
		for _, together := range []int{1, 8} {
			b.Run(fmt.Sprintf("bytes=%d/together=%d", size, together), func(b *testing.B) {
				sock := overTCP(b)
				b.ReportAllocs()
				b.SetBytes(int64(size * together))
				for b.Loop() {
					if err := writeTogether(sock, frame, together); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// writeTogether writes a frame so many times, as a follower does.
func writeTogether(sock socket, frame []byte, times int) error {
	sock.Cork()
	for range times {
		if err := sock.Write(frame); err != nil {
			return err
		}
	}
	return sock.Flush()
}

// TestSocketWriteAllocates nothing, over a real connection.
func TestSocketWriteAllocates(t *testing.T) {
	sock := overTCP(t)
	frame := []byte(strings.Repeat("x", 120))
	if n := testing.AllocsPerRun(2000, func() {
		if err := writeTogether(sock, frame, 1); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
