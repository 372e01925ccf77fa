package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// TestChatAsStream reads a reply as it is written.
func TestChatAsStream(t *testing.T) {
	r := newRig(t)
	a, g := held(2, "Grü", "ße ", "👋")
	r.answer("go", a)
	s := r.follow("POST", "/chat", chatBody("", "go"))
	start, ok := s.next()
	if !ok || start.Type != "start" || start.Metadata.Model != "test-model" {
		t.Fatalf("the stream begins with %+v", start)
	}
	id, conversation := start.MessageID, start.Metadata.Conversation
	if e := s.until("text-start"); e.ID != id || e.EventID != id+":0" {
		t.Errorf("got %+v", e)
	}
	for s.text != "Grüße " { // it comes before the reply has ended
		s.until("text-delta")
	}
	g.open()
	events := s.rest()
	last := events[len(events)-1]
	if s.text != "Grüße 👋" || last.Type != "finish" || last.EventID != id+":end" || !s.done {
		t.Errorf("text %q, end %+v, done %v", s.text, last, s.done)
	}
	if end := events[len(events)-2]; end.Type != "text-end" || end.EventID != fmt.Sprintf("%s:%d", id, len(s.text)) {
		t.Errorf("before the end stands %+v", end)
	}
	if last.Metadata.FinishReason != "stop" || last.Metadata.Usage == nil {
		t.Errorf("finished with %+v", last.Metadata)
	}
	if s.pings == 0 {
		t.Error("no ping at the beginning")
	}
	if m := r.session(conversation).Messages; len(m) != 2 || m[1].ID != id || m[1].Content != s.text {
		t.Errorf("stored: %+v", m)
	}
}

// TestAccept: which of them asks for a stream.
func TestAccept(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		accept []string
		stream bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"text/*"}, false},
		{[]string{"text/event-stream"}, true},
		{[]string{"TEXT/Event-Stream"}, true},
		{[]string{"text/event-stream;q=0.5"}, true},
		{[]string{"text/event-stream ; charset=utf-8"}, true},
		{[]string{"application/json, text/event-stream"}, true},
		{[]string{"application/json", "text/event-stream"}, true},
		{[]string{"text/event-stream;q=0"}, false},
		{[]string{"text/event-stream; q=0.000, application/json"}, false},
		{[]string{"text/event-streams"}, false},
	} {
		a := r.do("POST", "/chat", chatBody("", "hi"), func(req *http.Request) { req.Header["Accept"] = tt.accept })
		a.want(http.StatusOK)
		if got := a.Header.Get("Content-Type") == "text/event-stream"; got != tt.stream {
			t.Errorf("Accept %q: a stream: %v, want %v", tt.accept, got, tt.stream)
		}
	}
}

// TestStreamOfASession is GET /sessions/{id}/stream in every state of the session.
func TestStreamOfASession(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	path := "/sessions/" + id + "/stream"
	r.do("GET", path, "").want(http.StatusNoContent)
	r.do("GET", path, "", header("Last-Event-ID", someID+":3")).want(http.StatusNoContent)
	r.do("POST", "/chat", chatBody(id, "one")).want(http.StatusOK)
	r.do("GET", path, "").want(http.StatusNoContent)

	a, g := held(2, "a", "b", "c")
	r.answer("two", a)
	first := r.follow("POST", "/chat", chatBody(id, "two"))
	g.wait(t)
	second := r.follow("GET", path, "") // joins from the start, whatever it accepts
	third := r.follow("GET", path, "", header("Accept", "*/*"))
	g.open()
	for i, s := range []*stream{first, second, third} {
		if events := s.rest(); s.text != "abc" || events[0].Type != "start" || !s.done {
			t.Errorf("follower %d got %q, beginning with %s", i, s.text, events[0].Type)
		}
	}
	r.do("GET", path, "").want(http.StatusNoContent)
}

// TestLastEventID resumes a reply while it runs and when it has ended.
func TestLastEventID(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	path := "/sessions/" + id + "/stream"
	r.answer("one", mistralsim.Answer{Text: "before"})
	before := decode[chatReply](t, r.do("POST", "/chat", chatBody(id, "one")).want(http.StatusOK)).MessageID
	a, g := held(2, "né", "👋", "!")
	r.answer("two", a)
	running := r.follow("POST", "/chat", chatBody(id, "two"))
	reply := running.until("start").MessageID
	g.wait(t)
	for running.text != "né👋" {
		running.until("text-delta")
	}

	const whole = "né👋!"
	tests := []struct {
		name, last string
		first      string // type of the first chunk
		text       string // all that comes
		ended      bool   // the same comes when the reply has ended; otherwise 204
	}{
		{"none", "", "start", whole, false},
		{"in the middle", reply + ":3", "text-delta", "👋!", true},
		{"in the middle, with an epoch", reply + ":1:3", "text-delta", "👋!", true},
		{"in upper case", strings.ToUpper(reply) + ":3", "text-delta", "👋!", true},
		{"at all that was there", reply + ":7", "text-delta", "!", true},
		{"at the start", reply + ":0", "start", whole, true},
		{"inside a character", reply + ":2", "start", whole, true},
		{"beyond the text", reply + ":99", "start", whole, true},
		{"of the reply before", before + ":3", "text-delta", "ore", true},
		{"behind the reply before", before + ":end", "start", whole, true},
		{"its own end", reply + ":end", "start", whole, false},
		{"unknown reply", someID + ":3", "start", whole, false},
		{"unknown reply's end", someID + ":end", "start", whole, false},
		{"no number", reply + ":x", "start", whole, false},
		{"negative", reply + ":-1", "start", whole, false},
		{"overflow", reply + ":99999999999999999999", "start", whole, false},
		{"no offset", reply, "start", whole, false},
		{"no id", "7", "start", whole, false},
		{"nonsense", "x:y:z;;", "start", whole, false},
	}
	open := func(last string) *stream { return r.follow("GET", path, "", header("Last-Event-ID", last)) }
	var streams []*stream
	for _, tt := range tests {
		streams = append(streams, open(tt.last))
	}
	g.open()
	running.rest()
	for i, tt := range tests {
		check := func(when string, s *stream) {
			t.Helper()
			events := s.rest()
			if s.text != tt.text || events[0].Type != tt.first || !s.done {
				t.Errorf("%s, %s: %q beginning with %s, done %v; want %q with %s", tt.name, when, s.text, events[0].Type, s.done, tt.text, tt.first)
			}
		}
		check("asked while it ran", streams[i])
		if tt.ended {
			check("asked behind its end", open(tt.last))
		} else {
			r.do("GET", path, "", header("Last-Event-ID", tt.last)).want(http.StatusNoContent)
		}
	}
	// With everything seen there is one event to come again, the end.
	if events := open(fmt.Sprintf("%s:%d", reply, len(whole))).rest(); events[0].Type != "text-end" {
		t.Errorf("at the very end: %+v", events)
	}
}

// TestStreamOfAFailedReply: failure behind the message is told in the stream.
func TestStreamOfAFailedReply(t *testing.T) {
	r := newRig(t)
	r.answer("go", mistralsim.Answer{Tokens: []string{"so", " far"}, Event: mistralsim.ErrorEvent("secret detail", "internal", "1"), EventAfter: 1})
	s := r.follow("POST", "/chat", chatBody("", "go"))
	id := s.until("start").Metadata.Conversation
	e := s.until("error")
	if e.ErrorText == "" || strings.Contains(e.ErrorText, "secret") || e.Code != "" {
		t.Errorf("got %+v", e)
	}
	s.rest()
	if m := r.session(id).Messages; !s.done || m[1].FinishReason != "error" || m[1].Content != "so" {
		t.Errorf("done %v, stored %+v", s.done, m)
	}
}

// TestLastEventIDOnAnotherBranch: the rest of a reply comes also when another has taken
// its place meanwhile, running or ended.
func TestLastEventIDOnAnotherBranch(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	path := "/sessions/" + p.ready.Conversation + "/stream"
	p.say("", "go")
	old := p.reply()
	check := func(when string) {
		t.Helper()
		s := r.follow("GET", path, "", header("Last-Event-ID", old.id+":3"))
		if events := s.rest(); s.text != old.text[3:] || events[0].Type != "text-delta" || !s.done {
			t.Errorf("%s: %q beginning with %s, done %v", when, s.text, events[0].Type, s.done)
		}
		s = r.follow("GET", path, "", header("Last-Event-ID", old.id+":999"))
		if events := s.rest(); s.text != old.text || events[0].MessageID != old.id {
			t.Errorf("%s, from the beginning: %q of %+v", when, s.text, events[0])
		}
	}
	p.ask(map[string]string{"type": "regenerate"})
	p.reply()
	check("behind the end of another")
	r.do("GET", path, "", header("Last-Event-ID", old.id+":end")).want(http.StatusNoContent)
	a, g := held(1, "an", "ew")
	r.answer("go", a)
	p.ask(map[string]string{"type": "regenerate"})
	anew := p.begin()
	g.wait(t)
	check("while another runs")
	g.open()
	p.finish(&anew)
}
