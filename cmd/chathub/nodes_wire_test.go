package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// errDropped is what a connection says at the byte at which it was to break.
var errDropped = errors.New("dropped on purpose")

// wire is one WebSocket of a page.
type wire struct {
	ws *websocket.Conn
}

// dropConn breaks behind a number of bytes of what is received.
type dropConn struct {
	net.Conn
	left int // negative: it does not break
}

// Read implements net.Conn.
func (c *dropConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		_ = c.Close()
		return 0, errDropped
	}
	if c.left > 0 {
		p = p[:min(len(p), c.left)]
	}
	n, err := c.Conn.Read(p)
	if c.left > 0 {
		c.left -= n
	}
	return n, err
}

// dial connects the page to a node, without waiting for ready. The connection
// breaks behind drop bytes; 0: it does not.
func (p *page) dial(at *node, drop int) error {
	return p.dialQuery(at, p.query().Encode(), drop)
}

// dialQuery is dial with a query of its own.
func (p *page) dialQuery(at *node, query string, drop int) error {
	path := "/ws"
	if p.session != "" {
		path += "/" + p.session
	}
	if drop == 0 {
		drop = -1
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		return &dropConn{conn, drop}, err
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(p.within, patience))
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+at.addr+path+"?"+query, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"chathub.v1"},
	})
	if err != nil {
		return err
	}
	ws.SetReadLimit(1 << 20)
	p.hang()
	p.wire = &wire{ws: ws}
	p.connected()
	return nil
}

// hang drops the page's connection, if there is one.
func (p *page) hang() {
	if p.wire != nil {
		_ = p.wire.ws.CloseNow()
		p.wire = nil
	}
}

// write sends a frame.
func (p *page) write(f frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.wire.ws.Write(ctx, websocket.MessageText, b)
}

// broken is an error of a connection, not of what came over it.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

// read takes the next frame. A connection that ends is a broken.
func (p *page) read(within time.Duration) (frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, raw, err := p.wire.ws.Read(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("nothing comes any more")
		}
		return frame{}, broken{err}
	}
	return p.take(raw)
}

// closeCode is the code of the close frame that ended a connection; 0: none came.
func closeCode(err error) int {
	if code := websocket.CloseStatus(err); code > 0 {
		return int(code)
	}
	return 0
}

// newPage returns a page whose connection is closed with the test.
func newPage(t testing.TB) *page {
	p := &page{client: newID()}
	t.Cleanup(p.hang)
	return p
}

// What follows is for tests that know what must come.

// open makes the page's session on a node.
func (p *page) open(t testing.TB, at *node) {
	t.Helper()
	var made struct{ ID string }
	at.call(t, "POST", "/sessions", nil, nil).must(t, http.StatusCreated).json(t, &made)
	p.session = made.ID
}

// connect connects to a node and takes its ready.
func (p *page) connect(t testing.TB, at *node) frame {
	t.Helper()
	if err := p.dial(at, 0); err != nil {
		t.Fatal(err)
	}
	return p.expect(t, "ready")
}

func (p *page) send(t testing.TB, f frame) {
	t.Helper()
	if err := p.write(f); err != nil {
		t.Fatal(err)
	}
}

// expect reads up to a frame of a type.
func (p *page) expect(t testing.TB, kind string) frame {
	t.Helper()
	for {
		f, err := p.read(patience)
		if err != nil {
			t.Fatalf("waiting for %s: %v", kind, err)
		}
		if f.Type == kind {
			return f
		}
	}
}

// readTo reads until the last message's content is text, or more of a reply
// that flows.
func (p *page) readTo(t testing.TB, text string) {
	t.Helper()
	for {
		if m := p.last(); m != nil && m.Role == "assistant" {
			if strings.HasPrefix(m.Content, text) {
				return
			}
			if !strings.HasPrefix(text, m.Content) {
				t.Fatal(textDiff(m.Content, text))
			}
		}
		if f, err := p.read(patience); err != nil {
			t.Fatalf("behind %q: %v", f.Type, err)
		}
	}
}

// closes reads until the connection ends, and returns the close code.
func (p *page) closes(t testing.TB) int {
	t.Helper()
	for {
		_, err := p.read(patience)
		var b broken
		if errors.As(err, &b) {
			return closeCode(b.error)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
