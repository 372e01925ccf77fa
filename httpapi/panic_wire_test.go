package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// fusedNet is the loopback interface, of which the server's connections can panic.
type fusedNet struct {
	tcp
	mu   sync.Mutex // guards what follows
	last *fusedConn
}

func (n *fusedNet) serve(h http.Handler) (string, func()) {
	s := httptest.NewUnstartedServer(h)
	s.Listener = fusedListener{s.Listener, n}
	s.Start()
	return s.URL, func() {
		s.CloseClientConnections()
		s.Close()
	}
}

type fusedListener struct {
	net.Listener
	n *fusedNet
}

func (l fusedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.n.last = &fusedConn{Conn: c}
	return l.n.last, nil
}

// fusedConn is a connection of which one write panics.
type fusedConn struct {
	net.Conn
	mu   sync.Mutex // guards left
	left int        // writes until it panics; 0: it does not
}

func (c *fusedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	blows := c.left == 1
	if c.left > 0 {
		c.left--
	}
	c.mu.Unlock()
	if blows {
		_, _ = c.Conn.Write(p[:len(p)/2]) // within a frame
		panic("cannot bear " + secret)
	}
	return c.Conn.Write(p)
}

// mend has no write panic any more, and tells whether one has.
func (c *fusedConn) mend() (blown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	blown, c.left = c.left == 0, 0
	return blown
}

// TestWritePanics has each write to a WebSocket panic, within a frame. That connection
// ends at once, without another byte; its client comes back and has all of it.
func TestWritePanics(t *testing.T) {
	n := 1
	for writePanics(t, n) {
		if n++; n == 100 {
			t.Fatal("there is no end of the writes")
		}
	}
	if n == 1 {
		t.Error("nothing was written")
	}
}

func writePanics(t *testing.T, n int) (blown bool) {
	t.Helper()
	wires := &fusedNet{}
	r := &rig{t: t, patience: rigPatience}
	r.start(wires, nil)
	a, g := held(1, "one ", "two")
	r.answer("go", a)
	other := r.join("/ws")
	other.say("", "go")
	reply := other.begin()
	other.delta(&reply, "one ")

	b, gb := held(2, secret, " and ", "more")
	r.answer(secret, b)
	session := r.newSession()
	r.client.CloseIdleConnections()
	p := r.join("/ws/" + session)
	wires.mu.Lock()
	wire := wires.last
	wires.mu.Unlock()
	wire.mu.Lock()
	wire.left = n
	wire.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	defer cancel()
	var ended error
	until := func(kind string) {
		for ended == nil {
			var raw []byte
			if _, raw, ended = p.ws.Read(ctx); ended == nil && !json.Valid(raw) {
				// The library takes the connection's end within a frame for the frame's.
				_, _, ended = p.ws.Read(ctx)
				if ended == nil {
					t.Errorf("write %d: another frame behind %q", n, raw)
				}
			}
			if ended == nil {
				checkFrame(t, fromHub, raw)
				if strings.HasPrefix(string(raw), `{"type":"`+kind+`"`) {
					return
				}
			}
		}
	}
	send := func(frame string) { _ = p.ws.Write(ctx, websocket.MessageText, []byte(frame)) }
	send(`{"type":"ping"}`)
	until("pong")
	send(`{"type":"message","content":"` + secret + `"}`)
	until("text-delta")
	send(`{"type":"ping"}`)
	until("pong")
	gb.open()
	until("finish")
	blown = wire.mend()
	if blown && (ended == nil || ctx.Err() != nil) {
		t.Errorf("write %d: the connection goes on, %v", n, ended)
	}
	_ = p.ws.CloseNow()

	eventually(t, fmt.Sprintf("write %d: the conversation is whole", n), func() bool {
		m := r.session(session).Messages
		return len(m) == 0 && n == 1 || len(m) == 2 && m[1].Content == secret+" and more" && m[1].FinishReason == "stop"
	})
	back := r.join("/ws/" + session)
	_ = back.ws.CloseNow()
	g.open()
	other.delta(&reply, "one two")
	other.finish(&reply)
	_ = other.ws.CloseNow()
	r.drains()
	wantStacks(t, r, map[bool]int{true: 1}[blown])
	return blown
}
