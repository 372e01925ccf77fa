package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// This file shows that a new dialect is one file and one route: AG-UI
// (docs.ag-ui.com, "Events"), as far as text and reasoning go.

// aguiEvent is one event of AG-UI.
type aguiEvent struct {
	Type    string `json:"type"`
	Thread  string `json:"threadId,omitempty"`
	Run     string `json:"runId,omitempty"`
	Message string `json:"messageId,omitempty"`
	Role    string `json:"role,omitempty"`
	Delta   string `json:"delta,omitempty"`
	Text    string `json:"message,omitempty"`
	Code    string `json:"code,omitempty"`
}

// agui is a reply.Encoder.
type agui struct {
	thread, run string
	told        int
	open        session.Part // that was started and not ended; 0: none
}

func (e *agui) event(out *reply.Outbox, v aguiEvent) {
	b, _ := json.Marshal(v) // of strings alone
	out.End(append(append(append(out.Begin(), "data: "...), b...), "\n\n"...))
}

// aguiPart is what AG-UI calls a part.
func aguiPart(p session.Part) string {
	if p == session.PartReasoning {
		return "REASONING_MESSAGE"
	}
	return "TEXT_MESSAGE"
}

// Start implements reply.Encoder.
func (e *agui) Start(out *reply.Outbox, _ *reply.Reply, at *session.Cursor) error {
	switch {
	case e.told > at.Off():
		return reply.ErrCut
	case e.told == 0:
		e.event(out, aguiEvent{Type: "RUN_STARTED", Thread: e.thread, Run: e.run})
	}
	return nil
}

func (e *agui) end(out *reply.Outbox, id string) {
	if e.open != 0 {
		e.event(out, aguiEvent{Type: aguiPart(e.open) + "_END", Message: id})
	}
	e.open = 0
}

// Text implements reply.Encoder.
func (e *agui) Text(out *reply.Outbox, r *reply.Reply, at *session.Cursor, p []byte) {
	id := r.Reply.String()
	if part := at.Part(); part != e.open {
		e.end(out, id)
		e.open = part
		e.event(out, aguiEvent{Type: aguiPart(part) + "_START", Message: id, Role: "assistant"})
	}
	e.told = at.Off()
	e.event(out, aguiEvent{Type: aguiPart(e.open) + "_CONTENT", Message: id, Delta: string(p)})
}

// End implements reply.Encoder.
func (e *agui) End(out *reply.Outbox, r *reply.Reply, end *session.TextEnd) error {
	e.end(out, r.Reply.String())
	switch m := end.Message; {
	case end.Err != nil:
		e.event(out, aguiEvent{Type: "RUN_ERROR", Text: "The reply is gone."})
	case m.FinishReason == session.FinishError:
		e.event(out, aguiEvent{Type: "RUN_ERROR", Text: "The reply failed.", Code: m.Failure})
	default:
		e.event(out, aguiEvent{Type: "RUN_FINISHED", Thread: e.thread, Run: e.run})
	}
	return nil
}

// handleAGUI is the route: the last message of the user is said, and answered.
func (s *server) handleAGUI(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Thread   uuid.UUID `json:"threadId"`
		Run      string    `json:"runId"`
		Messages []struct {
			ID            uuid.UUID
			Role, Content string
		}
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, int64(maxBody(s.Hub.MaxMessageBytes())))); err != nil {
		return err
	}
	if err := json.Unmarshal(body.Bytes(), &in); err != nil || len(in.Messages) == 0 {
		return hub.Invalid("The body must be a RunAgentInput with messages.")
	}
	last := in.Messages[len(in.Messages)-1]
	made, err := s.Sessions.Open(r.Context(), subject(r), in.Thread)
	if err != nil {
		return err
	}
	said, _, err := s.Hub.Say(r.Context(), caller(r), made.Ref(), session.Turn{User: session.Message{ID: last.ID, Content: last.Content}})
	if err != nil {
		return err
	}
	return s.stream(w, r, said, reply.Offset{}, &agui{thread: in.Thread.String(), run: in.Run})
}

// thinker is a model that thinks, and then answers.
type thinker struct{ llms.Model }

func (thinker) GenerateContent(ctx context.Context, _ []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	if err := o.StreamingReasoningFunc(ctx, []byte("Let me see."), nil); err != nil {
		return nil, err
	}
	for _, token := range []string{"Hello, ", "Ann."} {
		if err := o.StreamingFunc(ctx, []byte(token)); err != nil {
			return nil, err
		}
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: "Hello, Ann.", StopReason: "stop"}}}, nil
}

// TestNewDialect reads a reply in AG-UI's words, over the same Follow, limits, tokens
// and drain as every other client.
func TestNewDialect(t *testing.T) {
	sessions := session.NewMemory(session.Config{})
	h := hub.New(hub.Config{Sessions: sessions, Model: thinker{}, ModelName: "thinker"})
	ctx, stop := context.WithCancel(t.Context())
	var ended [2]chan struct{}
	for i, run := range []func(context.Context) error{h.Run, sessions.Run} {
		ended[i] = make(chan struct{})
		go func() { defer close(ended[i]); _ = run(ctx) }()
	}
	defer func() { stop(); <-ended[0]; <-ended[1] }()

	s := newServer(Config{Hub: h, Sessions: sessions, Static: http.NotFoundHandler()})
	m := s.router()
	s.route(m, "POST", "/ag-ui", s.private(s.handleAGUI))
	server := httptest.NewServer(s.outside(m))
	defer server.Close()

	thread, message := uuid.New(), uuid.New()
	body := `{"threadId":"` + thread.String() + `","runId":"run 1","messages":[{"id":"` + message.String() + `","role":"user","content":"I am Ann"}]}`
	var got []aguiEvent
	text := map[string]string{} // of a part, however it was cut into deltas
	resp, err := http.Post(server.URL+"/ag-ui", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %s: %s", err, resp.Status, &all)
	}
	for line := range strings.Lines(all.String()) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e aguiEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Type, "_CONTENT") {
			text[e.Type] += e.Delta
			continue
		}
		if e.Message != "" {
			e.Message = "reply"
		}
		got = append(got, e)
	}
	want := []aguiEvent{
		{Type: "RUN_STARTED", Thread: thread.String(), Run: "run 1"},
		{Type: "REASONING_MESSAGE_START", Message: "reply", Role: "assistant"}, {Type: "REASONING_MESSAGE_END", Message: "reply"},
		{Type: "TEXT_MESSAGE_START", Message: "reply", Role: "assistant"}, {Type: "TEXT_MESSAGE_END", Message: "reply"},
		{Type: "RUN_FINISHED", Thread: thread.String(), Run: "run 1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"REASONING_MESSAGE_CONTENT": "Let me see.", "TEXT_MESSAGE_CONTENT": "Hello, Ann."}, text); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	found, err := sessions.Check(ctx, thread, "")
	if err != nil {
		t.Fatal(err)
	}
	kept, err := sessions.Get(ctx, found.Ref(), session.Position{})
	if err != nil || len(kept.Messages) != 2 || kept.Messages[1].Text() != "Hello, Ann." {
		t.Errorf("kept %+v, %v", kept.Messages, err)
	}
}
