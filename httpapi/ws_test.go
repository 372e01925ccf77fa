package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
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

func TestSentTwice(t *testing.T) {
	r := newRig(t)
	a, g := held(1, "so", " far")
	r.answer("go", a)
	p := r.join("/ws")
	id := newID()
	first := p.say(id, "go")
	reply := p.begin()
	p.delta(&reply, "so")
	// While the reply runs.
	if again := p.say(id, "go"); again.After != first.After {
		t.Errorf("acknowledged as %+v, then as %+v", first, again)
	}
	p.ask(message(id, "something else"))
	if f := p.want("error"); f.Code != "id_reused" || f.Ref != id {
		t.Errorf("got %+v", f)
	}
	g.open()
	p.finish(&reply)
	// Behind its end, and when the conversation has gone on.
	p.say(id, "go")
	p.wantQuiet()
	p.say("", "next")
	p.reply()
	p.say(id, "go")
	p.ask(message(reply.id, "go")) // a reply's id is no message's
	if f := p.want("error"); f.Code != "id_reused" {
		t.Errorf("got %+v", f)
	}
	p.wantQuiet()
	if r.asked() != 2 {
		t.Errorf("the model was asked %d times, want 2", r.asked())
	}
	// On a connection that never saw the acknowledgement.
	q := r.join("/ws/" + p.ready.Conversation)
	q.say(id, "go")
	q.wantQuiet()
}

// TestSentTwiceAfterError: the id asks anew, is acknowledged again, and the
// failed reply is replaced.
func TestSentTwiceAfterError(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := newID()
	r.answer("try", mistralsim.Unauthorized())
	p.say(id, "try")
	failed := p.reply()
	if failed.end.Code != "upstream_auth" {
		t.Errorf("ended with %+v", failed.end)
	}
	a, g := held(0, "better")
	r.answer("try", a)
	p.ask(message(id, "try"))
	g.wait(t)
	var acks []frame
	var reply replied
	for begun := false; len(acks) == 0 || !begun; { // the two may come in either order
		switch f, err := p.read(); {
		case err != nil:
			t.Fatal(err)
		case f.Type == "message":
			acks = append(acks, f)
		case f.Type == "start":
			reply = replied{id: f.MessageID, after: f.After}
		case f.Type == "text-start":
			begun = true
		default:
			t.Fatalf("got %+v", f)
		}
	}
	if len(acks) != 1 || acks[0].ID != id || acks[0].After != "" {
		t.Errorf("acknowledged %+v, want %s", acks, id)
	}
	g.open()
	p.finish(&reply)
	if reply.text != "better" || reply.after != id || reply.id == failed.id {
		t.Errorf("got %+v behind %s", reply, failed.id)
	}
	p.wantQuiet()
	if m := r.session(p.ready.Conversation).Messages; len(m) != 2 || m[1].ID != reply.id {
		t.Errorf("stored: %+v", m)
	}
}

func TestStopFrame(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	stopFrame := func(id string) {
		f := map[string]string{"type": "stop"}
		if id != "" {
			f["id"] = id
		}
		p.ask(f)
	}
	wantStopped := func(outcome string) {
		t.Helper()
		if f := p.want("stopped"); f.Outcome != outcome {
			t.Errorf("outcome %s, want %s", f.Outcome, outcome)
		}
	}
	stopFrame("")
	wantStopped("nothing_running")
	for i, filter := range []string{"", "reply", "message"} {
		said := fmt.Sprintf("go %d", i)
		a, g := held(i%2, "Hello", " world")
		r.answer(said, a)
		id := newID()
		p.say(id, said)
		reply := p.begin()
		g.wait(t)
		if i%2 == 1 {
			p.delta(&reply, "Hello")
		}
		// Somebody else's id stops nothing, and is answered at once.
		stopFrame(someID)
		wantStopped("nothing_running")
		stopFrame(map[string]string{"reply": reply.id, "message": id}[filter])
		p.finish(&reply)
		if reply.end.Type != "abort" {
			t.Errorf("ended with %+v", reply.end)
		}
		wantStopped("stopped")
		stopFrame(reply.id) // late
		wantStopped("nothing_running")
		request := r.sim.Requests()[r.asked()-1]
		await(t, request.Done(), "the upstream request ends")
		if request.Gone().IsZero() {
			t.Error("the model was read to its end")
		}
	}
	p.wantQuiet()
}

// TestStopThenSay: the answer to a stop is not held up by what is said next.
func TestStopThenSay(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	one, g1 := held(1, "a", "b")
	two, g2 := held(1, "c", "d")
	r.answer("one", one)
	r.answer("two", two)
	p.say("", "one")
	reply := p.begin()
	g1.wait(t)
	p.ask(map[string]string{"type": "stop"})
	p.ask(message("", "two"))
	p.finish(&reply)
	p.want("stopped")
	p.want("message")
	reply = p.begin()
	g2.open()
	p.finish(&reply)
	if reply.text != "cd" {
		t.Errorf("got %+v", reply)
	}
}

func TestRegenerate(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	p.ask(map[string]string{"type": "regenerate"})
	if f := p.want("error"); f.Code != "invalid_request" {
		t.Errorf("nothing to regenerate: %+v", f)
	}
	id := newID()
	p.say(id, "go")
	first := p.reply()
	r.answer("go", mistralsim.Answer{Text: "another"})
	of := map[string]string{"type": "regenerate", "of": first.id}
	p.ask(of)
	second := p.reply()
	if second.after != id || second.text != "another" || second.id == first.id {
		t.Errorf("got %+v", second)
	}
	// Sent twice, it is done once: the reply that it names is gone.
	p.ask(of)
	p.wantQuiet()
	p.ask(map[string]string{"type": "regenerate"})
	third := p.reply()
	if third.id == second.id || third.after != id {
		t.Errorf("got %+v", third)
	}
	// Only the last reply can be written anew.
	p.say("", "more")
	p.reply()
	p.ask(map[string]string{"type": "regenerate", "of": third.id})
	if f := p.want("error"); f.Code != "invalid_request" {
		t.Errorf("of a reply in the middle: %+v", f)
	}
	if m := r.session(p.ready.Conversation).Messages; len(m) != 4 || m[1].ID != third.id {
		t.Errorf("stored: %+v", m)
	}
	// The message that was answered anew is answered by what stands now.
	p.say(id, "go")
	p.wantQuiet()
	if r.asked() != 4 {
		t.Errorf("the model was asked %d times, want 4", r.asked())
	}
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
