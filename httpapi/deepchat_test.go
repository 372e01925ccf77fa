package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
)

// deepPeer is a deep-chat widget on the wire. Every frame is held against
// asyncapi.yaml.
type deepPeer struct {
	*peer
	end string // the end phrase
}

func (r *rig) deepChat(path string) *deepPeer {
	r.t.Helper()
	p := r.dial(path, offering("deep-chat"))
	if got := p.ws.Subprotocol(); got != "deep-chat" {
		r.t.Fatalf("the subprotocol is %q", got)
	}
	return &deepPeer{p, "[DONE]"}
}

// deepFrame is what the widget knows.
type deepFrame struct {
	Text      *string
	Overwrite bool
	Error     string
}

func (p *deepPeer) next() deepFrame {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	_, data, err := p.ws.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	checkFrame(p.t, deepChatFromHub, data)
	var f deepFrame
	if err := json.Unmarshal(data, &f); err != nil {
		p.t.Fatal(err)
	}
	return f
}

// say sends a message as the widget does.
func (p *deepPeer) say(text string) {
	p.t.Helper()
	data, err := json.Marshal(map[string]any{"messages": []map[string]string{{"role": "user", "text": text}}})
	if err != nil {
		p.t.Fatal(err)
	}
	checkFrame(p.t, deepChatToHub, data)
	p.send(string(data))
}

// shown reads a reply as the widget does, to the end phrase.
func (p *deepPeer) shown() (text string) {
	p.t.Helper()
	for {
		switch f := p.next(); {
		case f.Text == nil:
			p.t.Fatalf("the reply %q ends with the error %q", text, f.Error)
		case *f.Text == p.end:
			return text
		case f.Overwrite:
			text = *f.Text
		default:
			text += *f.Text
		}
	}
}

// wantShown reads a reply that must be want.
func (p *deepPeer) wantShown(want string) {
	p.t.Helper()
	if got := p.shown(); got != want {
		p.t.Errorf("the widget shows %q, want %q", got, want)
	}
}

// TestDeepChatFrames: a delta each, the phrase at the end, and nothing else,
// whatever happens in the conversation.
func TestDeepChatFrames(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	r.do("POST", "/chat", chatBody(id, "before")).want(200)
	p := r.deepChat("/ws/" + id) // is told nothing of what was before
	p.say("Grüße 👋")
	p.wantShown("You said: Grüße 👋")
	r.do("POST", "/chat", chatBody(id, "from elsewhere")).want(200)
	p.wantShown("You said: from elsewhere")
	a, g := held(1, "begun ", "never")
	r.answer("stop", a)
	p.say("stop")
	g.wait(t)
	if f := p.next(); f.Text == nil || *f.Text != "begun " {
		t.Errorf("got %+v", f)
	}
	r.do("POST", "/sessions/"+id+"/stop", "").want(200)
	p.wantShown("")
	p.say("last")
	p.wantShown("You said: last")
}

// TestDeepChatJoinsRunningReply: one that comes back in mid-reply is shown all of it.
func TestDeepChatJoinsRunningReply(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	a, g := held(1, "begun ", "ended")
	r.answer("go", a)
	s := r.follow("POST", "/chat", chatBody(id, "go"))
	defer s.close()
	g.wait(t)
	p := r.deepChat("/ws/" + id)
	if f := p.next(); f.Text == nil || *f.Text != "begun " {
		t.Errorf("got %+v", f)
	}
	g.open()
	p.wantShown("ended")
}

// TestDeepChatEndPhrase: a text that holds the phrase, cut anywhere, is shown whole.
func TestDeepChatEndPhrase(t *testing.T) {
	for _, tt := range []struct {
		query, end string
		tokens     []string
	}{
		{"", "[DONE]", []string{"in ", "[DONE]", " the midst"}},
		{"", "[DONE]", []string{"at the end ", "[DONE]"}},
		{"", "[DONE]", []string{"[DONE]"}},
		{"", "[DONE]", []string{"[DONE]", "[DONE]"}},
		{"", "[DONE]", []string{"[DO", "NE]"}},
		{"", "[DONE]", nil},
		{"?end=", "[DONE]", []string{"x"}},
		{"?end=FIN", "FIN", []string{"not ", "[DONE]", "FIN"}},
		{"?end=%C3%A9", "é", []string{"caf", "é"}},
	} {
		for at := range len(tt.tokens) + 1 {
			t.Run(fmt.Sprintf("%q%s held at %d", tt.tokens, tt.query, at), func(t *testing.T) {
				r := newRig(t)
				p := r.deepChat("/ws" + tt.query)
				p.end = tt.end
				a, g := held(at, tt.tokens...)
				r.answer("go", a)
				p.say("go")
				g.wait(t)
				g.open()
				p.wantShown(strings.Join(tt.tokens, ""))
			})
		}
	}
}

// TestDeepChatErrors: a failure, a refused message and a frame that means
// nothing are errors that a person can read; the connection goes on.
func TestDeepChatErrors(t *testing.T) {
	r := newRig(t)
	p := r.deepChat("/ws")
	wantError := func() {
		t.Helper()
		if f := p.next(); f.Text != nil || !strings.Contains(f.Error, " ") || strings.Contains(f.Error, rigKey) {
			t.Errorf("got %+v, want an error", f)
		}
	}
	for _, frame := range []string{"hello", `{"messages":1}`, `{"messages":[]}`, `{"messages":[{"role":"ai","text":"x"}]}`, `{"messages":[{"role":"user","text":""}]}`, `{"type":"stop"}`} {
		p.send(frame)
		wantError()
	}
	p.say(strings.Repeat("x", 64<<10+1))
	wantError()
	r.answer("fail", mistralsim.Unauthorized())
	p.say("fail")
	p.wantShown("")
	wantError()
	a, g := held(0, "slow")
	r.answer("slow", a)
	p.say("slow")
	g.wait(t)
	p.say("impatient")
	wantError()
	g.open()
	p.wantShown("slow")
}

// TestDeepChatRefusals: what is refused is refused before the upgrade.
func TestDeepChatRefusals(t *testing.T) {
	r := newRig(t)
	taken := r.newSession()
	first := r.deepChat("/ws/" + taken)
	upgrade := func(req *http.Request) {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "deep-chat",
		} {
			req.Header.Set(name, value)
		}
	}
	for _, tt := range []struct {
		path, origin, code string
		status             int
	}{
		{"/ws/" + uuid.NewString(), "", "session_not_found", 404},
		{"/ws/no-uuid", "", "session_not_found", 404},
		{"/ws/" + taken, "", "conversation_busy", 409},
		{"/ws", "https://evil.example", "forbidden_origin", 403},
	} {
		r.do("GET", tt.path, "", upgrade, func(req *http.Request) {
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
		}).wantError(tt.status, tt.code)
	}
	first.say("still here") // a newcomer takes nothing over
	first.wantShown("You said: still here")
	first.leave()
	eventually(t, "the place is free again", func() bool {
		ws, _, err := websocket.Dial(context.Background(), r.url+"/ws/"+taken, &websocket.DialOptions{Subprotocols: []string{"deep-chat"}})
		if err == nil {
			_ = ws.CloseNow()
		}
		return err == nil
	})
	r.hub.Drain(context.Background())
	r.do("GET", "/ws", "", upgrade).wantError(503, "draining")
}

// TestDeepChatIsOfferedAlone: beside chathub.v1 it is not meant.
func TestDeepChatIsOfferedAlone(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws", offering("deep-chat", "chathub.v1"))
	if got := p.ws.Subprotocol(); got != "chathub.v1" {
		t.Errorf("the subprotocol is %q", got)
	}
}
