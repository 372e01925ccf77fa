package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener with one connection.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// served runs f with a client's end of a connection to the program's server,
// by a clock that jumps.
func served(t *testing.T, f func(t *testing.T, c net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello")
		}), slog.New(slog.DiscardHandler))
		near, far := net.Pipe()
		l := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
		l.conn <- far
		var running sync.WaitGroup
		running.Go(func() { _ = srv.Serve(l) })
		f(t, near)
		_ = near.Close()
		_ = srv.Close()
		running.Wait()
		time.Sleep(time.Second) // net/http lingers for half of that behind a refusal
	})
}

// TestSlowHeader: a client that sends its header byte by byte has ten seconds.
func TestSlowHeader(t *testing.T) {
	served(t, func(t *testing.T, c net.Conn) {
		began := time.Now()
		var ended sync.WaitGroup
		ended.Go(func() { _, _ = io.Copy(io.Discard, c) })
		header := "GET / HTTP/1.1\r\nHost: hub\r\nX: " + strings.Repeat("x", 1000)
		var err error
		for i := 0; err == nil && i < len(header); i++ {
			time.Sleep(100 * time.Millisecond)
			_, err = c.Write([]byte{header[i]})
		}
		ended.Wait()
		if took := time.Since(began); err == nil || took > 11*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestHugeHeader: a header has at most 32 KiB, and a little that net/http adds.
func TestHugeHeader(t *testing.T) {
	for size, want := range map[int]int{30 << 10: 200, 40 << 10: 431} {
		served(t, func(t *testing.T, c net.Conn) {
			go func() { // a pipe holds nothing, and the server may not take all
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: hub\r\nX: "+strings.Repeat("x", size)+"\r\n\r\n")
			}()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != want {
				t.Errorf("%d bytes: %s, want %d", size, resp.Status, want)
			}
		})
	}
}

// TestIdleConnection: one that asks for nothing more is closed after two minutes.
func TestIdleConnection(t *testing.T) {
	served(t, func(t *testing.T, c net.Conn) {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: hub\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, _ = io.Copy(io.Discard, c)
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("closed after %v", took)
		}
	})
}
