package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub"
)

// panicSecret is part of all that is said in these tests, and of what panics.
const panicSecret = "my darling panicSecret"

// panicking is a model that panics where a message wants it to.
type panicking struct{ llms.Model }

func (p panicking) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var said string
	for _, m := range messages {
		if text, ok := m.Parts[0].(llms.TextContent); ok && m.Role == llms.ChatMessageTypeHuman {
			said = text.Text[max(0, strings.LastIndex(text.Text, "\n\n")):] // of messages that are joined, the last
		}
	}
	where, found := strings.CutPrefix(strings.TrimSpace(said), panicSecret+": ")
	if !found {
		return p.Model.GenerateContent(ctx, messages, options...)
	}
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	say := func(text string) { _ = o.StreamingFunc(ctx, []byte(text)) }
	switch where {
	case "at once":
		panic(said)
	case "an error":
		panic(errors.New(said))
	case "of the runtime's":
		say("so ")
		say("far")
		_ = said[len(said):][0]
	case "in the stream":
		say("so ")
		say("far")
		panic(said)
	case "behind the stream":
		say("so far")
		defer panic(said)
	case "an answer of nothing":
		say("so far")
		return &llms.ContentResponse{Choices: []*llms.ContentChoice{nil}}, nil
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{StopReason: "stop"}}}, nil
}

// TestModelPanics: whatever panics in the model's code is one reply's failure, told over
// every transport and stored with what there was. The conversation goes on, and so does
// everybody else's.
func TestModelPanics(t *testing.T) {
	for where, had := range map[string]string{
		"at once": "", "an error": "", "of the runtime's": "so far", "in the stream": "so far", "behind the stream": "so far",
		"an answer of nothing": "so far",
	} {
		t.Run(where, func(t *testing.T) {
			r := newRig(t, withHub(func(c *hub.Config) { c.Model = panicking{c.Model} }))
			a, g := held(1, "one ", "two")
			r.answer("go", a)
			other := r.join("/ws")
			other.say("", "go")
			reply := other.begin()
			other.delta(&reply, "one ")
			said, panics := panicSecret+": "+where, 0
			next := "You said: and now?"
			if had == "" { // the model is told of what it did not answer, too
				next = "You said: " + said + "\n\nand now?"
			}

			p := r.join("/ws")
			id := p.ready.Conversation
			key := newID()
			for again := range 2 {
				if panics++; again == 0 {
					p.say(key, said)
				} else { // it is asked anew
					r.do("POST", "/chat", chatBody(id, said), header("Idempotency-Key", key)).wantError(http.StatusInternalServerError, "internal")
				}
				if got := p.reply(); got.text != had || got.end.Type != "error" || got.end.Code != "internal" || strings.Contains(got.end.ErrorText, "darling") {
					t.Errorf("over WebSocket: %+v", got)
				}
			}
			if m := r.session(id).Messages; len(m) != 2 || m[1].Content != had || m[1].FinishReason != "error" {
				t.Errorf("stored is %+v", m)
			}
			p.say("", "and now?")
			if got := p.reply(); got.text != next || got.end.Type != "finish" {
				t.Errorf("the next reply is %+v", got)
			}

			r.do("POST", "/chat", chatBody(id, said)).wantError(http.StatusInternalServerError, "internal")
			panics++
			p.want("message") // what others said comes here, too
			p.reply()
			stream := r.follow("POST", "/chat", chatBody(id, said))
			events := stream.rest()
			panics++
			if end := events[len(events)-1]; stream.text != had || !stream.done || end.Type != "error" || strings.Contains(end.ErrorText, "darling") {
				t.Errorf("over SSE: %q and %+v", stream.text, end)
			}
			r.do("POST", "/chat", chatBody(id, "over REST")).want(http.StatusOK)

			deep := r.deepChat("/ws")
			deep.say(said)
			panics++
			deep.wantShown(had)
			if f := deep.next(); !strings.Contains(f.Error, " ") || strings.Contains(f.Error, "darling") {
				t.Errorf("deep-chat is told %+v", f)
			}
			deep.say("and now?")
			deep.wantShown(next)

			g.open()
			other.delta(&reply, "one two")
			other.finish(&reply)
			for _, gone := range []*peer{other, p, deep.peer} {
				_ = gone.ws.CloseNow()
			}
			r.drains()
			wantStacks(t, r, panics)
		})
	}
}

// drains holds that nothing is counted that is not there: a drain, and the end, wait for
// nobody.
func (r *rig) drains() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), rigPatience)
	defer cancel()
	r.hub.Drain(ctx)
	if ctx.Err() != nil {
		r.t.Error("the hub does not drain")
	}
	r.stop()
}

// wantStacks holds that the log has so many stacks, at level error, and nothing that
// was said.
func wantStacks(t *testing.T, r *rig, n int) {
	t.Helper()
	got := 0
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "stack=") {
			got++
			if !strings.Contains(line, "level=ERROR") {
				t.Errorf("%.200s", line)
			}
		}
	}
	if got != n {
		t.Errorf("the log has %d stacks, want %d:\n%s", got, n, r.log.String())
	}
	if strings.Contains(r.log.String(), "darling") {
		t.Errorf("the log has what was said:\n%s", r.log.String())
	}
}
