package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cable is a TCP proxy: a network that the test can cut.
type cable struct {
	addr  string
	dial  func() (net.Conn, error) // to the other end
	mu    sync.Mutex
	off   bool                // guarded by mu; nothing gets through
	conns map[net.Conn]func() // guarded by mu; what ends each
}

func startCable(t testing.TB, to string) *cable {
	t.Helper()
	return startCableBy(t, func() (net.Conn, error) { return net.Dial("tcp", to) })
}

func startCableBy(t testing.TB, dial func() (net.Conn, error)) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &cable{addr: l.Addr().String(), dial: dial, conns: map[net.Conn]func(){}}
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
	})
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(from)
		}
	}()
	return w
}

// carry passes bytes both ways until either end closes, or cut.
func (w *cable) carry(from net.Conn) {
	defer from.Close()
	to, err := w.dial()
	if err != nil {
		return
	}
	defer to.Close()
	end := func() { _, _ = from.Close(), to.Close() }
	w.mu.Lock()
	if w.off {
		w.mu.Unlock()
		return
	}
	w.conns[from] = end
	w.mu.Unlock()
	go func() {
		_, _ = io.Copy(to, from)
		end()
	}()
	_, _ = io.Copy(from, to)
	end()
	w.mu.Lock()
	delete(w.conns, from)
	w.mu.Unlock()
}

// cut breaks every connection.
func (w *cable) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.conns {
		end()
	}
}

// down cuts, and lets nothing through until it is called with false.
func (w *cable) down(off bool) {
	w.mu.Lock()
	w.off = off
	w.mu.Unlock()
	if off {
		w.cut()
	}
}
