package static_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/static"
)

// frame is one message on the wire, in either direction.
type frame map[string]any

// fakeHub serves the static files and a /ws whose every word a test says.
type fakeHub struct {
	*httptest.Server
	t     *testing.T
	conns chan *fakeConn
	mu    sync.Mutex
	extra map[string]http.Handler // more pages, by path; guarded by mu
	// Unless they are 0, every request or every handshake is answered with these.
	status, handshake atomic.Int32
}

// fakeConn is one WebSocket from the browser, as the hub sees it.
type fakeConn struct {
	t            *testing.T
	ws           *websocket.Conn
	conversation string
	query        url.Values
	protocols    []string
	frames       chan frame
	code         chan websocket.StatusCode
	deaf         atomic.Bool // leaves pings without an answer
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{t: t, conns: make(chan *fakeConn, 16), extra: map[string]http.Handler{}}
	assets := static.Handler()
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", h.serveWS)
	mux.HandleFunc("/ws/{id}", h.serveWS)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		page, ok := h.extra[r.URL.Path]
		h.mu.Unlock()
		if status := h.status.Load(); status != 0 {
			w.WriteHeader(int(status))
			return
		}
		if ok {
			page.ServeHTTP(w, r)
			return
		}
		assets.ServeHTTP(w, r)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

// serve has the hub answer a path with a page of the test's.
func (h *fakeHub) serve(path string, page http.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.extra[path] = page
}

func (h *fakeHub) serveWS(w http.ResponseWriter, r *http.Request) {
	if status := max(h.status.Load(), h.handshake.Load()); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"chathub.v1"}, InsecureSkipVerify: true,
	})
	if err != nil {
		h.t.Errorf("accept: %v", err)
		return
	}
	ws.SetReadLimit(1 << 20)
	c := &fakeConn{
		t: h.t, ws: ws, conversation: r.PathValue("id"), query: r.URL.Query(),
		protocols: r.Header.Values("Sec-WebSocket-Protocol"),
		frames:    make(chan frame, 64), code: make(chan websocket.StatusCode, 1),
	}
	if c.conversation == "" {
		c.conversation = uuid.NewString()
	}
	h.conns <- c
	for {
		_, data, err := ws.Read(context.Background())
		if err != nil {
			c.code <- websocket.CloseStatus(err)
			close(c.frames)
			return
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			h.t.Errorf("the browser sent %q: %v", data, err)
		}
		if f["type"] == "ping" {
			if !c.deaf.Load() {
				c.send(frame{"type": "pong"})
			}
			continue
		}
		c.frames <- f
	}
}

// next is the browser's next connection; nothing has been said on it yet.
func (h *fakeHub) next() *fakeConn {
	h.t.Helper()
	select {
	case c := <-h.conns:
		return c
	case <-time.After(patience):
		h.t.Fatal("the browser does not connect")
		return nil
	}
}

// none fails when the browser connects within a moment in which it must not.
func (h *fakeHub) none(d time.Duration) {
	h.t.Helper()
	select {
	case c := <-h.conns:
		h.t.Fatalf("unexpected connection with %v", c.query)
	case <-time.After(d):
	}
}

// send writes frames; one to a browser that went away is lost, as on a network.
func (c *fakeConn) send(frames ...frame) {
	for _, f := range frames {
		data, err := json.Marshal(f)
		if err != nil {
			c.t.Errorf("frame: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_ = c.ws.Write(ctx, websocket.MessageText, data)
		cancel()
	}
}

// ready greets with the messages that the conversation holds, in full.
func (c *fakeConn) ready(messages ...frame) {
	if messages == nil {
		messages = []frame{}
	}
	c.send(frame{
		"type": "ready", "conversation_id": c.conversation, "created_at": "2026-01-01T00:00:00Z",
		"model": "eliza (simulated)", "messages": messages,
	})
}

// expect is the browser's next frame, which must be of this type.
func (c *fakeConn) expect(kind string) frame {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok || f["type"] != kind {
			c.t.Fatalf("got frame %v (open %v), want %q", f, ok, kind)
		}
		return f
	case <-time.After(patience):
		c.t.Fatalf("no %q frame", kind)
		return nil
	}
}

// close ends the connection with a close frame.
func (c *fakeConn) close(code int) {
	_ = c.ws.Close(websocket.StatusCode(code), "")
}

// cut ends it as a broken network does.
func (c *fakeConn) cut() {
	_ = c.ws.CloseNow()
}

func user(id, text string) frame {
	return frame{"id": id, "role": "user", "content": text, "timestamp": "2026-01-01T00:00:00Z"}
}

func assistant(id, text, finish string) frame {
	return frame{"id": id, "role": "assistant", "content": text, "timestamp": "2026-01-01T00:00:00Z", "finish_reason": finish}
}

// ack acknowledges a message that stands behind another ("" for the first).
func ack(message frame, after string) frame {
	f := user(message["id"].(string), message["content"].(string))
	f["type"] = "message"
	if after != "" {
		f["after"] = after
	}
	return f
}

// reply writes one reply and keeps the offsets.
type reply struct {
	c      *fakeConn
	id     string
	offset int
}

func (c *fakeConn) reply(after string) *reply {
	r := &reply{c: c, id: uuid.NewString()}
	r.start(c, after, 0)
	return r
}

// start opens the stream of the reply on a connection, from an offset on.
func (r *reply) start(c *fakeConn, after string, offset int) {
	r.c, r.offset = c, offset
	c.send(
		frame{"type": "start", "messageId": r.id, "after": after, "offset": offset, "messageMetadata": frame{"conversation_id": c.conversation, "model": "eliza (simulated)"}},
		frame{"type": "text-start", "id": r.id, "offset": offset},
	)
}

func (r *reply) delta(texts ...string) *reply {
	for _, text := range texts {
		r.offset += len(text)
		r.c.send(frame{"type": "text-delta", "id": r.id, "delta": text, "offset": r.offset})
	}
	return r
}

func (r *reply) finish(reason string) {
	r.c.send(frame{"type": "text-end", "id": r.id}, frame{"type": "finish", "messageMetadata": frame{"finish_reason": reason, "timestamp": "2026-01-01T00:00:00Z"}})
}

func (r *reply) abort() {
	r.c.send(frame{"type": "text-end", "id": r.id}, frame{"type": "abort"})
}

func (r *reply) fail(code, text string) {
	r.c.send(frame{"type": "text-end", "id": r.id}, frame{"type": "error", "id": r.id, "code": code, "errorText": text})
}
