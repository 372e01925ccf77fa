package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"lumos/backend/hub"
)

func TestReady(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	if p.ready.After != "" || p.ready.Running != "" || p.ready.More || len(p.ready.Messages) != 0 || p.ready.Model != "test-model" {
		t.Errorf("a new conversation begins with %+v", p.ready)
	}
	if s := r.session(p.ready.Conversation); len(s.Messages) != 0 {
		t.Errorf("stored: %+v", s)
	}
	if got := p.ws.Subprotocol(); got != "chathub.v1" {
		t.Errorf("subprotocol %q", got)
	}
	// wscat offers none, and gets none.
	q := r.join("/ws", func(o *websocket.DialOptions) { o.Subprotocols = nil })
	if q.ready.Conversation == p.ready.Conversation || q.ws.Subprotocol() != "" {
		t.Errorf("got %+v, subprotocol %q", q.ready, q.ws.Subprotocol())
	}
	// Joining one that is there, in either case of letters.
	q = r.join("/ws/" + strings.ToUpper(q.ready.Conversation))
	if q.ready.Conversation == strings.ToUpper(q.ready.Conversation) {
		t.Errorf("the id is echoed as %s", q.ready.Conversation)
	}
}

func TestConversation(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := newID()
	p.ask(message(strings.ToUpper(id), "hello 👋"))
	ack := p.want("message")
	if ack.ID != id || ack.After != "" || ack.Content != "hello 👋" {
		t.Errorf("acknowledged %+v, want the id %s in lower case", ack, id)
	}
	first := p.reply()
	if first.text != "You said: hello 👋" || first.after != id || first.offset != 0 {
		t.Errorf("got %+v", first)
	}
	if end := first.end; end.Type != "finish" || end.Metadata.FinishReason != "stop" || end.Metadata.Usage == nil {
		t.Errorf("ended with %+v", end)
	}
	// Without an id the hub makes one; the new message follows the reply.
	ack = p.say("", "again")
	if ack.ID == "" || ack.After != first.id {
		t.Errorf("acknowledged %+v, want it behind %s", ack, first.id)
	}
	second := p.reply()
	if second.after != ack.ID || second.text != "You said: again" {
		t.Errorf("got %+v", second)
	}
	// What comes over REST is shown to the connection, too.
	over := decode[chatReply](t, r.do("POST", "/chat", chatBody(p.ready.Conversation, "by REST")).want(http.StatusOK))
	if m := p.want("message"); m.Content != "by REST" || m.After != second.id {
		t.Errorf("got %+v", m)
	}
	if third := p.reply(); third.id != over.MessageID || third.text != over.Response {
		t.Errorf("got %+v, over REST %+v", third, over)
	}
	p.wantQuiet()
}

// TestPlainText is what a person at wscat types.
func TestPlainText(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws", func(o *websocket.DialOptions) { o.Subprotocols = nil })
	for _, text := range []string{"hello", "\"quoted\"", "[1,2]", " {\"type\":\"ping\"}", "line\nbreak", "👋"} {
		p.send(text)
		if m := p.want("message"); m.Content != text {
			t.Errorf("typed %q, said %q", text, m.Content)
		}
		if reply := p.reply(); reply.text != "You said: "+text {
			t.Errorf("replied %q", reply.text)
		}
	}
	for _, text := range []string{"", " ", "\n", "\t\r\n"} {
		p.send(text)
		if f := p.want("error"); f.Code != "invalid_request" || f.Ref != "" {
			t.Errorf("typed %q, got %+v", text, f)
		}
	}
	p.wantQuiet()
}

// TestFramesThatAreWrong: each is refused by name, and the connection goes on.
func TestFramesThatAreWrong(t *testing.T) {
	r := newRig(t, withAPI(nil), withHub(func(c *hub.Config) { c.MaxMessageBytes = 64 }))
	p := r.join("/ws")
	long := strings.Repeat("é", 33)
	for _, tt := range []struct{ frame, code, ref string }{
		{`{`, "invalid_request", ""},
		{`{}`, "invalid_request", ""},
		{`{"type":"message"}`, "invalid_request", ""},
		{`{"type":"message","id":"` + someID + `"}`, "invalid_request", someID},
		{`{"type":"message","content":null}`, "invalid_request", ""},
		{`{"type":"message","id":"` + someID + `","content":7}`, "invalid_request", someID},
		{`{"type":"message","id":"` + someID + `","content":["x"]}`, "invalid_request", someID},
		{`{"type":"message","id":"` + someID + `","content":"  "}`, "invalid_request", someID},
		{`{"type":"message","id":"` + strings.ToUpper(someID) + `","content":""}`, "invalid_request", someID},
		{`{"type":"message","id":"x","content":"hi"}`, "invalid_request", ""},
		{`{"type":"message","id":7,"content":"hi"}`, "invalid_request", ""},
		{`{"type":"message","id":"{` + someID + `}","content":"hi"}`, "invalid_request", ""},
		{`{"type":"message","id":"urn:uuid:` + someID + `","content":"hi"}`, "invalid_request", ""},
		{`{"type":"message","content":"hi"}{"type":"ping"}`, "invalid_request", ""},
		{`{"type":"message","content":"hi"} x`, "invalid_request", ""},
		{`{"type":"message","content":"\ud800\q"}`, "invalid_request", ""},
		{`{"type":"hello","id":"` + someID + `"}`, "invalid_request", someID},
		{`{"type":7}`, "invalid_request", ""},
		{`{"type":"stop","id":"x"}`, "invalid_request", ""},
		{`{"type":"regenerate"}`, "invalid_request", ""},
		{`{"type":"regenerate","of":"x"}`, "invalid_request", ""},
		{`{"type":"start","messageId":"` + someID + `"}`, "invalid_request", ""},
		{`{"type":"message","id":"` + someID + `","content":"` + long + `"}`, "message_too_large", someID},
		{long, "message_too_large", ""},
	} {
		p.send(tt.frame)
		f := p.want("error")
		if f.Code != tt.code || f.Ref != tt.ref || f.ID != "" || f.ErrorText == "" {
			t.Errorf("%s: got %+v, want %s with ref %q", tt.frame, f, tt.code, tt.ref)
		}
	}
	p.wantQuiet()
	if r.asked() != 0 {
		t.Errorf("the model was asked %d times", r.asked())
	}
	p.say(someID, strings.Repeat("é", 32)) // the id is still free, and this fits
	p.reply()
}

func TestBusy(t *testing.T) {
	r := newRig(t)
	a, g := held(1, "wait", " for it")
	r.answer("go", a)
	p := r.join("/ws")
	p.say("", "go")
	reply := p.begin()
	p.delta(&reply, "wait")
	id := newID()
	p.ask(message(id, "too early"))
	if f := p.want("error"); f.Code != "conversation_busy" || f.Ref != id {
		t.Errorf("got %+v", f)
	}
	p.ask(map[string]string{"type": "regenerate"})
	if f := p.want("error"); f.Code != "conversation_busy" {
		t.Errorf("got %+v", f)
	}
	r.do("POST", "/chat", chatBody(p.ready.Conversation, "too early")).wantError(http.StatusConflict, "conversation_busy")
	g.open()
	p.finish(&reply)
	p.say(id, "too early") // its time has come
	p.reply()
}

func TestPing(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	for range 3 {
		p.ask(map[string]string{"type": "ping"})
	}
	for range 3 {
		p.want("pong")
	}
}
