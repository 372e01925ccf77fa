package httpapi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// network is where a rig's servers listen.
type network interface {
	serve(http.Handler) (url string, stop func())
	dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// tcp is the loopback interface.
type tcp struct{}

func (tcp) serve(h http.Handler) (string, func()) {
	s := httptest.NewServer(h)
	return s.URL, func() {
		s.CloseClientConnections()
		s.Close()
	}
}

func (tcp) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// pipes is a network in memory, for a bubble: nothing is ever on its way, so
// time passes only when all is quiet. A write waits for the peer to read.
type pipes struct {
	mu    sync.Mutex
	hosts map[string]*pipeListener
}

func (n *pipes) serve(h http.Handler) (string, func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host := fmt.Sprintf("node%d.test", len(n.hosts))
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.hosts[host+":80"] = l
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // returns when s is closed
	}()
	return "http://" + host, func() {
		_ = s.Close()
		<-done
	}
}

func (n *pipes) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.hosts[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens at %s", addr)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeListener is one address of pipes.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// bubble runs f with a whole server in memory and a clock that jumps. A
// deadline in it is one of the fake clock's.
func bubble(t *testing.T, f func(t *testing.T, r *rig), options ...rigOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, patience: 24 * time.Hour}
		r.start(&pipes{hosts: make(map[string]*pipeListener)}, options)
		f(t, r)
	})
}

// pass lets d go by in a bubble, and whatever that sets off come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
