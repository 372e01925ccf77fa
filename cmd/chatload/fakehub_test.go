package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

const testPatience = 20 * time.Second

// fakeHub speaks chathub.v1 as far as chatload goes. It knows by itself what
// the model says, and may be made to get it wrong.
type fakeHub struct {
	speech    *speech
	tokens    int
	shy       *atomic.Int64                               // so many connections end before their upgrade; nil: none
	impatient bool                                        // ends a connection on which nothing was said yet
	mangle    func(text string, offset int) (string, int) // of a delta; nil: as it is

	mu       sync.Mutex
	sessions map[string][]fakeMessage
	resumed  int
	deaf     int // so many messages are lost, and their connections with them
}

type fakeMessage struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	Content string `json:"content"`
}

// serveFake starts a fake hub, spoilt if at all before it serves, and returns
// it with a run of the load on it.
func serveFake(t *testing.T, l load, spoil ...func(*fakeHub)) (*fakeHub, *run) {
	t.Helper()
	r, err := newRun(l)
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{speech: r.speech, tokens: l.Tokens, sessions: make(map[string][]fakeMessage)}
	for _, f := range spoil {
		f(h)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", h.serve)
	mux.HandleFunc("GET /ws/{id}", h.serve)
	mux.HandleFunc("GET /sessions/{id}", func(w http.ResponseWriter, req *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]any{"messages": h.sessions[req.PathValue("id")]})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	if r.peer, err = newPeer("ws"+strings.TrimPrefix(server.URL, "http"), false, ""); err != nil {
		t.Fatal(err)
	}
	return h, r
}

func (h *fakeHub) serve(w http.ResponseWriter, req *http.Request) {
	if h.shy != nil && h.shy.Add(-1) >= 0 {
		panic(http.ErrAbortHandler)
	}
	conn, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{"chathub.v1"}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := context.Background()
	id, after := req.PathValue("id"), req.URL.Query().Get("after")
	if id == "" {
		id = uuid.NewString()
	}
	h.mu.Lock()
	messages := h.sessions[id]
	at := len(messages) // the first message that the client does not have
	for at > 0 && messages[at-1].ID != after {
		at--
	}
	missing, offset := messages[at:], 0
	if after != "" {
		h.resumed++
		if n, err := strconv.Atoi(req.URL.Query().Get("offset")); err == nil && at > 0 {
			offset, missing = n, messages[at-1:] // a reply amid: it is sent on
		}
	}
	h.mu.Unlock()
	ready := map[string]any{"type": "ready", "conversation_id": id, "messages": []fakeMessage{}}
	if at > 0 {
		ready["after"] = after
	}
	if len(missing) > 0 && missing[0].Role == "user" {
		ready["messages"] = missing[:1]
	}
	if write(ctx, conn, ready) != nil {
		return
	}
	for _, m := range missing {
		if m.Role == "assistant" && h.stream(ctx, conn, m, offset) != nil {
			return
		}
	}
	for {
		if h.impatient {
			return
		}
		_, b, err := conn.Read(ctx)
		var said struct{ ID, Content string }
		if err != nil || json.Unmarshal(b, &said) != nil {
			return
		}
		n, turn, err := readPrompt(said.Content)
		if err != nil {
			return
		}
		reply := fakeMessage{uuid.NewString(), "assistant", strings.Join(h.speech.reply(n, turn, h.tokens).tokens(), "")}
		h.mu.Lock()
		if h.deaf > 0 {
			h.deaf--
			h.mu.Unlock()
			return
		}
		h.sessions[id] = append(h.sessions[id], fakeMessage{said.ID, "user", said.Content}, reply)
		h.mu.Unlock()
		if write(ctx, conn, map[string]any{"type": "message", "id": said.ID, "content": said.Content}) != nil ||
			h.stream(ctx, conn, reply, 0) != nil {
			return
		}
	}
}

// stream sends a reply from an offset on, in deltas of any size.
func (h *fakeHub) stream(ctx context.Context, conn *websocket.Conn, m fakeMessage, offset int) error {
	frames := []map[string]any{{"type": "start", "messageId": m.ID, "offset": offset}, {"type": "text-start", "id": m.ID, "offset": offset}}
	for offset < len(m.Content) {
		end := min(len(m.Content), offset+26*(1+rand.IntN(4)))
		end -= end % 26
		text, told := m.Content[offset:end], end
		if h.mangle != nil {
			text, told = h.mangle(text, told)
		}
		frames = append(frames, map[string]any{"type": "text-delta", "id": m.ID, "delta": text, "offset": told})
		offset = end
	}
	frames = append(frames, map[string]any{"type": "text-end", "id": m.ID},
		map[string]any{"type": "finish", "messageMetadata": map[string]any{"finish_reason": "stop"}})
	for _, f := range frames {
		if err := write(ctx, conn, f); err != nil {
			return err
		}
	}
	return nil
}

func write(ctx context.Context, conn *websocket.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("fake hub: %w", err)
	}
	return conn.Write(ctx, websocket.MessageText, b)
}
