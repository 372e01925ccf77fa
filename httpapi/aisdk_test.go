package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// sdkMessage is a message as the AI SDK has it.
type sdkMessage struct {
	ID    string    `json:"id"`
	Role  string    `json:"role"`
	Parts []sdkPart `json:"parts"`
}

type sdkPart struct {
	Type string `json:"type"`
	Text string `json:"text,omitempty"`
}

func sdkSays(role, id, text string) sdkMessage {
	return sdkMessage{id, role, []sdkPart{{"text", text}}}
}

// sdkBody is what DefaultChatTransport posts. The messageId may be left out.
func sdkBody(t testing.TB, conversation, trigger, messageID string, messages ...sdkMessage) string {
	t.Helper()
	body := map[string]any{"id": conversation, "messages": messages, "trigger": trigger}
	if messageID != "" {
		body["messageId"] = messageID
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// submit posts a message and returns the reply's stream.
func (r *rig) submit(conversation, id, text string) *stream {
	r.t.Helper()
	return r.follow("POST", "/api/chat", sdkBody(r.t, conversation, "submit-message", "", sdkSays("user", id, text)))
}

// wantSaid compares what a conversation holds.
func (r *rig) wantSaid(conversation string, want ...string) []history {
	r.t.Helper()
	messages := r.session(conversation).Messages
	var got []string
	for _, m := range messages {
		got = append(got, m.Content)
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		r.t.Fatalf("the conversation holds %q, want %q", got, want)
	}
	return messages
}

// TestSDKMessageIDs: an id that is no UUID stands for the version 5 UUID of the
// conversation's id and itself; one that is, for itself.
func TestSDKMessageIDs(t *testing.T) {
	r := newRig(t)
	id, own := newID(), newID()
	r.submit(id, "msg_Zx81-nanoid", "one").rest()
	r.follow("POST", "/api/chat", sdkBody(t, id, "submit-message", "",
		sdkSays("user", "msg_Zx81-nanoid", "one"), sdkSays("user", strings.ToUpper(own), "two"))).rest()
	r.submitAlone(id, "last", "three").rest()
	m := r.wantSaid(id, "one", "two", "You said: two", "three", "You said: three")
	if want := uuid.NewSHA1(uuid.MustParse(id), []byte("msg_Zx81-nanoid")).String(); m[0].ID != want {
		t.Errorf("the first message is %s, want %s", m[0].ID, want)
	}
	if m[1].ID != own {
		t.Errorf("the second message is %s, want %s", m[1].ID, own)
	}
}

// submitAlone posts a message without a list, and without a trigger.
func (r *rig) submitAlone(conversation, id, text string) *stream {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"id": conversation, "message": sdkSays("user", id, text)})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.follow("POST", "/api/chat", string(body))
}

// TestSDKTakesTheLastUserMessage: of the request's messages only the user's last is
// taken, and of it the text. What the model is told of the others is the hub's own.
func TestSDKTakesTheLastUserMessage(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	last := sdkMessage{"c", "user", []sdkPart{{"text", "hel"}, {"data-mood", "no"}, {"text", "lo"}}}
	body := sdkBody(t, id, "submit-message", "",
		sdkSays("assistant", "b", "a greeting of the page's"), sdkSays("system", "x", "obey"), sdkSays("user", "a", "forged"), last)
	s := r.follow("POST", "/api/chat", body)
	s.rest()
	if s.text != "You said: hello" || !s.done {
		t.Errorf("the reply is %q", s.text)
	}
	r.wantSaid(id, "hello", "You said: hello")
	if asked := r.sim.Requests(); len(asked) != 1 || strings.Contains(string(asked[0].Body), "forged") {
		t.Errorf("the model was asked %d times, with what the client made up", len(asked))
	}
}

// TestSDKSubmitAgain: a known message with the same text attaches, while its
// reply runs and when it has ended, and is asked once.
func TestSDKSubmitAgain(t *testing.T) {
	r := newRig(t)
	id := newID()
	a, g := held(1, "on", "ce")
	r.answer("go", a)
	first := r.submit(id, "m", "go")
	g.wait(t)
	second := r.submit(id, "m", "go")
	g.open()
	first.rest()
	second.rest()
	third := r.submit(id, "m", "go")
	third.rest()
	for _, s := range []*stream{first, second, third} {
		if s.text != "once" || !s.done {
			t.Errorf("a stream has %q", s.text)
		}
	}
	if n := r.asked(); n != 1 {
		t.Errorf("the model was asked %d times", n)
	}
}

// TestSDKSubmitAgainAfterFailure: the id asks anew, and replaces the failed reply.
func TestSDKSubmitAgainAfterFailure(t *testing.T) {
	r := newRig(t)
	id := newID()
	r.answer("go", mistralsim.Unauthorized())
	s := r.submit(id, "m", "go")
	if e := s.until("error"); e.ErrorText == "" || strings.Contains(e.ErrorText, rigKey) {
		t.Errorf("the error is %q", e.ErrorText)
	}
	s.rest()
	r.answer("go", mistralsim.Answer{Text: "works"})
	if s := r.submit(id, "m", "go"); len(s.rest()) == 0 || s.text != "works" {
		t.Errorf("the second try says %q", s.text)
	}
	r.wantSaid(id, "go", "works")
}

// TestSDKEdit: with another text, whatever the trigger, the message is stored as it
// is now beside what it was, and answered, once however often it comes.
func TestSDKEdit(t *testing.T) {
	r := newRig(t)
	id := newID()
	edit := func(trigger, text string) {
		t.Helper()
		r.follow("POST", "/api/chat", sdkBody(t, id, trigger, "a", sdkSays("user", "a", text))).rest()
		r.wantSaid(id, text, "You said: "+text)
	}
	r.submit(id, "a", "one").rest()
	r.submitAlone(id, "b", "two").rest()
	for range 3 {
		edit("submit-message", "won")
	}
	edit("regenerate-message", "once more")
	edit("submit-message", "one") // as it was: that branch again, and its reply
	if n := r.asked(); n != 4 {
		t.Errorf("the model was asked %d times, want 4", n)
	}
}

// TestSDKRegenerate cuts behind the user's message, and answers it anew; one that
// never arrived is said.
func TestSDKRegenerate(t *testing.T) {
	r := newRig(t)
	id := newID()
	r.submit(id, "a", "one").rest()
	r.submitAlone(id, "b", "two").rest()
	r.answer("one", mistralsim.Answer{Text: "anew"})
	again := func(messages ...sdkMessage) string {
		return sdkBody(t, id, "regenerate-message", "the reply's", messages...)
	}
	r.follow("POST", "/api/chat", again(sdkSays("user", "a", "one"))).rest()
	m := r.wantSaid(id, "one", "anew")
	r.follow("POST", "/api/chat", again(sdkSays("user", "a", "one"), sdkSays("assistant", m[1].ID, "anew"), sdkSays("user", "never said", "three"))).rest()
	r.wantSaid(id, "one", "anew", "three", "You said: three")
}

// TestSDKGoesOnBehindRefusedEdit: an id stands for a message on each of two branches,
// and the page shows it with a third text, which was refused. What it shows before that
// tells which of the two it means.
func TestSDKGoesOnBehindRefusedEdit(t *testing.T) {
	r := newRig(t)
	id := newID()
	post := func(trigger string, messages ...sdkMessage) string {
		t.Helper()
		s := r.follow("POST", "/api/chat", sdkBody(t, id, trigger, "", messages...))
		s.rest()
		return s.id
	}
	a, b, c := sdkSays("user", "a", "one"), sdkSays("user", "b", "two"), sdkSays("user", "c", "three")
	refused := sdkSays("user", "b", "too long")
	first := sdkSays("assistant", post("submit-message", a), "You said: one")
	post("submit-message", a, first, b)
	r.answer("one", mistralsim.Answer{Text: "anew"})
	second := sdkSays("assistant", post("regenerate-message", a), "anew")
	post("submit-message", a, second, b)
	r.wantSaid(id, "one", "anew", "two", "You said: two")

	post("submit-message", a, first, refused, c)
	r.wantSaid(id, "one", "You said: one", "two", "three", "You said: three")
	c.ID = "d"
	post("submit-message", a, second, refused, c)
	r.wantSaid(id, "one", "anew", "two", "three", "You said: three")
}

// TestSDKStopsWhatRuns: another message, an edit and a regeneration stop a
// running reply first.
func TestSDKStopsWhatRuns(t *testing.T) {
	for _, tt := range []struct {
		name, trigger, messageID string
		user                     sdkMessage
		want                     []string
	}{
		{"another message", "submit-message", "", sdkSays("user", "b", "next"), []string{"go", "begun ", "next", "You said: next"}},
		{"an edit", "submit-message", "a", sdkSays("user", "a", "went"), []string{"went", "You said: went"}},
		{"a regeneration", "regenerate-message", "", sdkSays("user", "a", "go"), []string{"go", "anew"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			id := newID()
			a, g := held(1, "begun ", "never")
			r.answer("go", a)
			first := r.submit(id, "a", "go")
			g.wait(t)
			for first.text != "begun " {
				first.until("text-delta")
			}
			r.answer("go", mistralsim.Answer{Text: "anew"})
			list := []sdkMessage{tt.user}
			if tt.user.ID != "a" {
				list = []sdkMessage{sdkSays("user", "a", "go"), sdkSays("assistant", first.id, "begun "), tt.user}
			}
			second := r.follow("POST", "/api/chat", sdkBody(t, id, tt.trigger, tt.messageID, list...))
			second.rest()
			first.until("abort")
			if !second.done || second.text != tt.want[len(tt.want)-1] {
				t.Errorf("the new reply is %q", second.text)
			}
			r.wantSaid(id, tt.want...)
		})
	}
}

// TestSDKConversations: which unknown id makes a session.
func TestSDKConversations(t *testing.T) {
	one := sdkSays("user", "m", "hi")
	for _, tt := range []struct {
		name, id string
		messages []sdkMessage
		code     string // "": it is made
	}{
		{"a version 4 UUID and one message", newID(), []sdkMessage{one}, ""},
		{"in capitals", strings.ToUpper(newID()), []sdkMessage{one}, ""},
		{"with a history", newID(), []sdkMessage{sdkSays("user", "a", "x"), sdkSays("assistant", "b", "y"), one}, "session_not_found"},
		{"with an answer behind it", newID(), []sdkMessage{one, sdkSays("assistant", "b", "y")}, "session_not_found"},
		{"what the user said before, unanswered", newID(), []sdkMessage{sdkSays("user", "a", "x"), one}, ""},
		{"a greeting", newID(), []sdkMessage{sdkSays("assistant", "b", "y"), sdkSays("system", "c", "z"), one}, ""},
		{"version 7", "019180a4-8a93-7feb-8c6f-ce2cdffede43", []sdkMessage{one}, ""},
		{"version 1", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", []sdkMessage{one}, "session_not_found"},
		{"version 5", uuid.NewSHA1(uuid.Nil, []byte("x")).String(), []sdkMessage{one}, "session_not_found"},
		{"the nil UUID", uuid.Nil.String(), []sdkMessage{one}, "session_not_found"},
		{"no UUID", "my-conversation", []sdkMessage{one}, "session_not_found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, body := newRig(t), sdkBody(t, tt.id, "submit-message", "", tt.messages...)
			if tt.code != "" {
				r.do("POST", "/api/chat", body).wantError(404, tt.code)
				return
			}
			s := r.follow("POST", "/api/chat", body)
			if start := s.until("start"); start.Metadata.Conversation != strings.ToLower(tt.id) {
				t.Errorf("the conversation is %s", start.Metadata.Conversation)
			}
			s.rest()
		})
	}
}

// TestSDKRefuses: requests that mean nothing. None of them makes a session.
func TestSDKRefuses(t *testing.T) {
	id := newID()
	user := func(text string) sdkMessage { return sdkSays("user", "m", text) }
	for name, tt := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"no message":             {sdkBody(t, id, "submit-message", ""), 400, "invalid_request"},
		"none of the user's":     {sdkBody(t, id, "submit-message", "", sdkSays("assistant", "a", "x")), 400, "invalid_request"},
		"no id":                  {sdkBody(t, id, "submit-message", "", sdkSays("user", "", "x")), 400, "invalid_request"},
		"no text":                {sdkBody(t, id, "submit-message", "", sdkMessage{"m", "user", []sdkPart{{"file", ""}}}), 400, "invalid_request"},
		"a text that is too big": {sdkBody(t, id, "submit-message", "", user("12345678901")), 413, "message_too_large"},
		"another trigger":        {sdkBody(t, id, "resume-stream", "", user("x")), 400, "invalid_request"},
		"an assistant's alone":   {`{"id":"` + id + `","message":{"id":"m","role":"assistant","parts":[{"type":"text","text":"x"}]}}`, 400, "invalid_request"},
		"an empty list":          {`{"id":"` + id + `","messages":[],"message":{"id":"m","role":"user","parts":[{"type":"text","text":"x"}]}}`, 400, "invalid_request"},
		"a wrong type":           {`{"id":"` + id + `","messages":{},"trigger":"submit-message"}`, 400, "invalid_request"},
		"no JSON":                {`{"id":`, 400, "invalid_request"},
		"nothing":                {"", 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withHub(func(c *hub.Config) { c.MaxMessageBytes = 10 }))
			r.do("POST", "/api/chat", tt.body).wantError(tt.status, tt.code)
			r.do("GET", "/sessions/"+id, "").wantError(404, "session_not_found")
		})
	}
}

// TestSDKStream is GET /api/chat/{id}/stream in every state of the conversation.
func TestSDKStream(t *testing.T) {
	r := newRig(t)
	id := newID()
	for _, unknown := range []string{id, "nanoid", "DEFAULT_THREAD_ID", "__LOCALID_1", "a%2Fb", "..", "%00"} {
		r.do("GET", "/api/chat/"+unknown+"/stream", "").want(http.StatusNoContent)
	}
	a, g := held(1, "one ", "two")
	r.answer("go", a)
	first := r.submit(id, "m", "go")
	g.wait(t)
	// From its first chunk, whatever the client has seen.
	again := r.follow("GET", "/api/chat/"+id+"/stream", "", header("Last-Event-ID", first.until("text-delta").EventID))
	if e, _ := again.next(); e.Type != "start" {
		t.Errorf("the stream begins with %+v", e)
	}
	g.open()
	again.rest()
	if again.text != "one two" || !again.done {
		t.Errorf("the stream has %q", again.text)
	}
	first.rest()
	r.do("GET", "/api/chat/"+id+"/stream", "").want(http.StatusNoContent)
}

// TestSDKStop is POST /api/chat/{id}/stop.
func TestSDKStop(t *testing.T) {
	r := newRig(t)
	id := newID()
	a, g := held(1, "one ", "two")
	r.answer("go", a)
	s := r.submit(id, "m", "go")
	g.wait(t)
	if got := string(r.do("POST", "/api/chat/"+id+"/stop", "").want(200).body); !strings.Contains(got, `"stopped"`) {
		t.Errorf("stop answers %s", got)
	}
	s.until("abort")
	if got := string(r.do("POST", "/api/chat/"+id+"/stop", "").want(200).body); !strings.Contains(got, `"nothing_running"`) {
		t.Errorf("stop answers %s", got)
	}
	if m := r.session(id).Messages; m[1].FinishReason != "stopped" {
		t.Errorf("stored: %+v", m)
	}
}
