package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
)

const someID = "6f1c2f4e-3c1b-4a58-9a0e-2d5f6c7b8a90"

// chatBody is the body of POST /chat.
func chatBody(conversation, text string) string {
	if conversation == "" {
		return fmt.Sprintf(`{"message":%q}`, text)
	}
	return fmt.Sprintf(`{"message":%q,"conversation_id":%q}`, text, conversation)
}

// chatReply is ChatResponse of the contract.
type chatReply struct {
	Response     string
	Conversation string `json:"conversation_id"`
	Timestamp    time.Time
	MessageID    string `json:"message_id"`
	FinishReason string `json:"finish_reason"`
	Usage        *struct {
		Total int `json:"total_tokens"`
	}
}

func TestCreateSession(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{"", "{}", " \r\n\t", ` {"anything":[1,null]} `} {
		a := r.do("POST", "/sessions", body).want(http.StatusCreated)
		made := decode[chatSession](t, a)
		if got := a.Header.Get("Location"); got != "sessions/"+made.ID {
			t.Errorf("body %q: Location %q for the session %s", body, got, made.ID)
		}
		if id, err := uuid.Parse(made.ID); err != nil || id.Version() != 4 {
			t.Errorf("body %q: the id %q is no version 4 UUID", body, made.ID)
		}
		if made.Messages == nil || len(made.Messages) != 0 {
			t.Errorf("body %q: messages %v, want an empty list", body, made.Messages)
		}
		there, err := a.Location() // against the request's address, as a client does
		if err != nil {
			t.Fatal(err)
		}
		r.do("GET", there.Path, "").want(http.StatusOK)
	}
	for _, body := range []string{"[]", "null", `"x"`, "{", "{}{}", "{} x", "\xff", `{"a":"` + "\xff" + `"}`} {
		r.do("POST", "/sessions", body).wantError(http.StatusBadRequest, "invalid_request")
	}
}

func TestGetSession(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	r.do("POST", "/chat", chatBody(id, "one")).want(http.StatusOK)
	// Ids are compared and echoed in lower case.
	s := decode[chatSession](t, r.do("GET", "/sessions/"+strings.ToUpper(id), "").want(http.StatusOK))
	if s.ID != id || len(s.Messages) != 2 || s.UpdatedAt.Before(s.CreatedAt) {
		t.Fatalf("got %+v", s)
	}
	if m := s.Messages[0]; m.Role != "user" || m.Content != "one" || m.FinishReason != "" {
		t.Errorf("the user's message is %+v", m)
	}
	if m := s.Messages[1]; m.Role != "assistant" || m.Content != "You said: one" || m.FinishReason != "stop" {
		t.Errorf("the reply is %+v", m)
	}

	// A reply that is being written is not in messages.
	a, g := held(1, "two", " words")
	r.answer("slow", a)
	p := r.join("/ws/" + id)
	p.say("", "slow")
	g.wait(t)
	if s := r.session(id); len(s.Messages) != 3 || s.Messages[2].Content != "slow" {
		t.Errorf("while a reply runs, messages are %+v", s.Messages)
	}
	g.open()
	p.reply()
	if s := r.session(id); len(s.Messages) != 4 || s.Messages[3].Content != "two words" {
		t.Errorf("behind its end, messages are %+v", s.Messages)
	}
}

func TestDeleteSession(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	a, g := held(1, "to be", " stopped")
	r.answer("go", a)
	p := r.join("/ws/" + id)
	p.say("", "go")
	reply := p.begin()
	p.delta(&reply, "to be")
	follower := r.follow("GET", "/sessions/"+id+"/stream", "")
	follower.until("text-delta")
	g.wait(t)

	if got := string(r.do("DELETE", "/sessions/"+id, "").want(http.StatusOK).body); strings.TrimSpace(got) != `{"message":"Session deleted successfully"}` {
		t.Errorf("answered %s", got)
	}
	p.finish(&reply)
	if reply.end.Type != "abort" {
		t.Errorf("the reply ends with %s, want abort", reply.end.Type)
	}
	if frames := p.wantClose(4404); len(frames) != 0 {
		t.Errorf("behind the abort: %+v", frames)
	}
	if events := follower.rest(); events[len(events)-1].Type != "abort" || !follower.done {
		t.Errorf("the stream ends with %+v, [DONE] %v", events[len(events)-1], follower.done)
	}
	await(t, r.sim.Requests()[0].Done(), "the upstream request ends")
	if r.sim.Requests()[0].Gone().IsZero() {
		t.Error("the upstream request was read to its end")
	}
	for _, again := range []struct{ method, path string }{
		{"DELETE", "/sessions/" + id}, {"GET", "/sessions/" + id},
		{"GET", "/sessions/" + id + "/stream"}, {"POST", "/sessions/" + id + "/stop"},
	} {
		r.do(again.method, again.path, "").wantError(http.StatusNotFound, "session_not_found")
	}
	r.do("POST", "/chat", chatBody(id, "hello?")).wantError(http.StatusNotFound, "session_not_found")
	r.dial("/ws/" + id).wantClose(4404)
}

// TestDeleteWhileAsked has POST /chat wait for a reply that loses its session.
func TestDeleteWhileAsked(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	a, g := held(0, "never")
	r.answer("go", a)
	waiting := r.later("POST", "/chat", chatBody(id, "go"))
	g.wait(t)
	r.do("DELETE", "/sessions/"+id, "").want(http.StatusOK)
	waiting().wantError(http.StatusNotFound, "session_not_found")
}

func TestChat(t *testing.T) {
	r := newRig(t)
	r.answer("Grüße 👋", mistralsim.Answer{Text: "你好, \"Welt\"\n\\ \u2028 <b>&</b> 👩‍👩‍👧", ASCII: true})
	first := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "Grüße 👋")).want(http.StatusOK))
	if first.Response != "你好, \"Welt\"\n\\ \u2028 <b>&</b> 👩‍👩‍👧" || first.FinishReason != "stop" {
		t.Errorf("got %+v", first)
	}
	if first.Usage == nil || first.Usage.Total == 0 || time.Since(first.Timestamp).Abs() > time.Hour {
		t.Errorf("usage %v, timestamp %v", first.Usage, first.Timestamp)
	}
	second := decode[chatReply](t, r.do("POST", "/chat", chatBody(strings.ToUpper(first.Conversation), "more")).want(http.StatusOK))
	if second.Conversation != first.Conversation || second.MessageID == first.MessageID {
		t.Errorf("the second reply is %+v, in the conversation %s", second, first.Conversation)
	}
	if s := r.session(first.Conversation); len(s.Messages) != 4 || s.Messages[3].ID != second.MessageID {
		t.Errorf("stored: %+v", s.Messages)
	}
	// The model was told the whole conversation.
	if got := len(r.sim.Requests()[1].Messages); got != 3 {
		t.Errorf("the model was sent %d messages, want 3", got)
	}
	other := decode[chatReply](t, r.do("POST", "/chat", chatBody(uuid.Nil.String(), "new")).want(http.StatusOK))
	if other.Conversation == first.Conversation || other.Conversation == uuid.Nil.String() {
		t.Errorf("the nil UUID led to %s", other.Conversation)
	}
	// A client's clock and fields of its own mean nothing.
	body := `{"message":"hi","timestamp":"1970-01-01T00:00:00Z","temperature":9,"conversation_id":null}`
	if got := decode[chatReply](t, r.do("POST", "/chat", body).want(http.StatusOK)); got.Timestamp.Year() == 1970 {
		t.Error("the client's timestamp was taken")
	}
}

func TestFinishReasons(t *testing.T) {
	r := newRig(t)
	for upstream, want := range map[string]string{
		"stop": "stop", "length": "length", "model_length": "length", "content_filter": "content-filter", "tool_calls": "other",
	} {
		said := "end as " + upstream
		r.answer(said, mistralsim.Answer{Text: "x", Finish: upstream})
		got := decode[chatReply](t, r.do("POST", "/chat", chatBody("", said)).want(http.StatusOK))
		if got.FinishReason != want {
			t.Errorf("%s became %s, want %s", upstream, got.FinishReason, want)
		}
		if m := r.session(got.Conversation).Messages[1]; m.FinishReason != want {
			t.Errorf("%s was stored as %s, want %s", upstream, m.FinishReason, want)
		}
	}
}

func TestStop(t *testing.T) {
	r := newRig(t)
	stop := func(id, want string) {
		t.Helper()
		a := r.do("POST", "/sessions/"+id+"/stop", "").want(http.StatusOK)
		if got := decode[struct{ Outcome string }](t, a).Outcome; got != want {
			t.Errorf("outcome %s, want %s", got, want)
		}
	}
	for name, at := range map[string]int{"before the first token": 0, "behind it": 1} {
		t.Run(name, func(t *testing.T) {
			a, g := held(at, "Hello", " world")
			r.answer(name, a)
			id := r.newSession()
			stop(id, "nothing_running")
			waiting := r.later("POST", "/chat", chatBody(id, name))
			g.wait(t)
			request := r.sim.Requests()[r.asked()-1]
			stop(id, "stopped")
			got := decode[chatReply](t, waiting().want(http.StatusOK))
			if got.FinishReason != "stopped" || !strings.HasPrefix("Hello", got.Response) {
				t.Errorf("got %+v", got)
			}
			await(t, request.Done(), "the upstream request ends")
			if request.Gone().IsZero() || request.Sent() > at {
				t.Errorf("the model went on: gone %v, %d tokens", request.Gone(), request.Sent())
			}
			stop(id, "nothing_running")
			if m := r.session(id).Messages; len(m) != 2 || m[1].FinishReason != "stopped" || m[1].Content != got.Response {
				t.Errorf("stored: %+v", m)
			}
			// What was stopped, even empty, does not stand in the way of what follows.
			r.do("POST", "/chat", chatBody(id, "and now?")).want(http.StatusOK)
		})
	}
}

// TestReplyOutlivesItsClient: it belongs to the conversation.
func TestReplyOutlivesItsClient(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	a, g := held(1, "still", " here")
	r.answer("go", a)
	s := r.follow("POST", "/chat", chatBody(id, "go"))
	s.until("text-delta")
	s.close()
	g.open()
	eventually(t, "the reply is stored", func() bool { return len(r.session(id).Messages) == 2 })
	if m := r.session(id).Messages[1]; m.Content != "still here" || m.FinishReason != "stop" {
		t.Errorf("stored: %+v", m)
	}
}

func TestOperations(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`,
		"/openapi.yaml": "openapi: 3.0.3", "/asyncapi.yaml": "asyncapi: 3.0.0",
		"/": "<!doctype html>",
	} {
		a := r.do("GET", path, "").want(http.StatusOK)
		if !strings.HasPrefix(strings.ToLower(string(a.body)), want) {
			t.Errorf("%s begins with %.60q, want %q", path, a.body, want)
		}
		if a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s has no X-Request-Id", path)
		}
	}
	resp, _ := r.send("HEAD", "/", "")
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("HEAD /: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
}
