package httpapi_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
)

// TestCloseNormal: who says goodbye is answered.
func TestCloseNormal(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	if err := p.ws.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("the hub did not answer the close frame: %v", err)
	}
	r.join("/ws/" + p.ready.Conversation) // the conversation is there
}

// TestCloseByKind: what is no text in UTF-8, or too much of it, ends the connection.
func TestCloseByKind(t *testing.T) {
	const limit = 6*64 + 4<<10 // for a content of 64 bytes
	r := newRig(t, withHub(func(c *hub.Config) { c.MaxMessageBytes = 64 }))
	for _, tt := range []struct {
		name string
		typ  websocket.MessageType
		data string
		want websocket.StatusCode
	}{
		{"binary", websocket.MessageBinary, `{"type":"ping"}`, 1003},
		{"empty and binary", websocket.MessageBinary, "", 1003},
		{"not UTF-8", websocket.MessageText, "\xff\xfe", 1007},
		{"half a character", websocket.MessageText, "\xf0\x9f\x91", 1007},
		{"a surrogate", websocket.MessageText, "\xed\xa0\x80", 1007},
		{"not UTF-8 in JSON", websocket.MessageText, `{"type":"message","content":"` + "\xc3" + `"}`, 1007},
		{"too large", websocket.MessageText, strings.Repeat("x", limit+1), 1009},
		{"much too large", websocket.MessageText, strings.Repeat("x", 8<<20), 1009},
		{"too large and binary", websocket.MessageBinary, strings.Repeat("x", limit+1), 1009},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := r.join("/ws")
			sent := make(chan struct{})
			go func() { // the hub may close before it has taken all
				defer close(sent)
				ctx, cancel := context.WithTimeout(context.Background(), rigPatience)
				defer cancel()
				_ = p.ws.Write(ctx, tt.typ, []byte(tt.data))
			}()
			if frames := p.wantClose(tt.want); len(frames) != 0 {
				t.Errorf("before that came %+v", frames)
			}
			await(t, sent, "the message is sent")
			r.join("/ws/" + p.ready.Conversation)
		})
	}
	// The largest frame that is allowed is read, and refused for its content only.
	p := r.join("/ws")
	p.send(strings.Repeat("x", limit))
	if f := p.want("error"); f.Code != "message_too_large" {
		t.Errorf("got %+v", f)
	}
	p.wantQuiet()
}

// TestCloseWhenTheServerGoes is the end of Run; TestDrain has the slow way.
func TestCloseWhenTheServerGoes(t *testing.T) {
	r := newRig(t)
	idle, busy := r.join("/ws"), r.join("/ws")
	a, g := held(1, "so", " far")
	r.answer("go", a)
	busy.say("", "go")
	g.wait(t)
	gone := make(chan struct{})
	go func() { r.stop(); close(gone) }()
	idle.wantClose(1001)
	busy.wantClose(1001)
	await(t, gone, "the server has ended")
}

// TestCloseWhenFull: there is no room for another session, and then there is.
func TestCloseWhenFull(t *testing.T) {
	r := newRig(t, withSessions(func(c *session.Config) { c.Sessions = 2 }))
	one, two := r.join("/ws"), r.join("/ws")
	r.dial("/ws").wantClose(1013)
	a := r.do("POST", "/sessions", "").wantError(http.StatusServiceUnavailable, "store_unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r.do("POST", "/chat", chatBody("", "hi")).wantError(http.StatusServiceUnavailable, "store_unavailable")
	// In two a reply stands; one is empty, and goes when nobody holds it.
	two.say("", "hi")
	two.reply()
	one.leave()
	eventually(t, "there is room again", func() bool {
		p := r.dial("/ws")
		_, err := p.read()
		return err == nil
	})
}

// TestCloseWithoutAWord: a client that takes nothing is cut off without a close
// frame, for none could reach it. The reply is stored all the same.
func TestCloseWithoutAWord(t *testing.T) {
	const size = 10 << 20 // more than the buffers of two sockets hold
	r := newRig(t, withAPI(func(c *httpapi.Config) { c.WriteTimeout = 100 * time.Millisecond }))
	token := strings.Repeat("0123456789abcdef", 1<<10)
	text := strings.Repeat(token, size/len(token))
	r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{token}, size/len(token))})
	p := r.join("/ws")
	path := "/ws/" + p.ready.Conversation + "?again=1&client=" + someID
	p.ask(message("", "go"))
	// As long as p holds the conversation, a page that only comes again is sent away.
	eventually(t, "the connection is given up", func() bool {
		_, err := r.dial(path).read()
		return err == nil
	})
	got := 0
	for _, f := range p.wantClose(-1) {
		got += len(f.Delta)
	}
	if got >= size {
		t.Error("the client got all of it")
	}
	found, err := r.sessions.Check(t.Context(), uuid.MustParse(p.ready.Conversation), "") // REST has the same short patience
	if err != nil {
		t.Fatal(err)
	}
	var m []session.Message
	eventually(t, "the reply is stored", func() bool {
		s, err := r.sessions.Get(t.Context(), found.Ref(), session.Position{})
		m = s.Messages
		return err == nil && len(m) == 2
	})
	if m[1].Content != text || m[1].FinishReason != "stop" {
		t.Errorf("stored are %d bytes, %s; want %d", len(m[1].Content), m[1].FinishReason, size)
	}
}
