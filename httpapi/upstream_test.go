package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// upstreamFailures are the ways in which the model's service lets us down.
var upstreamFailures = []struct {
	name   string
	answer mistralsim.Answer
	status int // of POST /chat
	code   string
	retry  int    // Retry-After, in seconds; 0: none, -1: any
	text   string // what was written before
	asked  int    // how often the service is asked
}{
	{"wrong key", mistralsim.Unauthorized(), 502, "upstream_auth", 0, "", 1},
	{"wrong key at the gateway", mistralsim.UnauthorizedKong(), 502, "upstream_auth", 0, "", 1},
	{"a model not in the plan", mistralsim.Forbidden(), 502, "upstream_auth", 0, "", 1},
	{"unknown field", mistralsim.Unprocessable("seed"), 502, "upstream_error", 0, "", 1},
	{"unknown field, nested", mistralsim.UnprocessableNested("seed"), 502, "upstream_error", 0, "", 1},
	{"unknown field, as an array", mistralsim.UnprocessableArray("seed"), 502, "upstream_error", 0, "", 1},
	{"unknown model", mistralsim.ModelUnknown("m"), 502, "upstream_error", 0, "", 1},
	{"rate limit with Retry-After", mistralsim.RateLimited("7"), 503, "upstream_busy", 7, "", 1},
	{"rate limit without", mistralsim.RateLimited(""), 503, "upstream_busy", -1, "", 2},
	{"no capacity", mistralsim.Overloaded(), 503, "upstream_busy", -1, "", 2},
	{"internal error", mistralsim.InternalError(), 502, "upstream_error", 0, "", 2},
	{"unavailable", mistralsim.Unavailable(), 502, "upstream_error", 0, "", 2},
	{"a page of HTML", mistralsim.Cloudflare520(), 502, "upstream_error", 0, "", 2},
	{"an empty 200", mistralsim.Answer{Status: 200}, 502, "upstream_error", 0, "", 1},
	{"an error in the stream", mistralsim.Answer{Tokens: []string{"so", " far"}, EventAfter: 1,
		Event: mistralsim.ErrorEvent("the upstream's own words", "internal", "1")}, 502, "upstream_error", 0, "so", 1},
	{"an end as error", mistralsim.Answer{Tokens: []string{"so", " far"}, Finish: "error"}, 502, "upstream_error", 0, "so far", 3},
	{"silence before the header", mistralsim.Answer{Stall: mistralsim.StallHeaders}, 504, "upstream_timeout", 0, "", 1},
	{"silence before the first token", mistralsim.Answer{Tokens: []string{"so"}, Stall: mistralsim.StallTokens}, 504, "upstream_timeout", 0, "", 1},
	{"silence behind it", mistralsim.Answer{Tokens: []string{"so", " far"}, Stall: mistralsim.StallTokens, StallAfter: 1}, 504, "upstream_timeout", 0, "so", 2},
}

// wantSentence checks what a person is told: a sentence, and nothing of the
// upstream's, nor the key.
func wantSentence(t *testing.T, text string) {
	t.Helper()
	if len(text) < 20 || len(text) > 200 || !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] {
		t.Errorf("%q is no sentence", text)
	}
	for _, secret := range []string{rigKey, "Unauthorized", "extra_forbidden", "seed", "<", "cloudflare", "upstream's own", "{", "http", "429", "mistral"} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("%q tells %q", text, secret)
		}
	}
}

// newUpstreamRig is patient with an upstream unless it is to fall silent: on a
// busy machine one that fails at once takes a while for it.
func newUpstreamRig(t *testing.T, code string) *rig {
	if code != "upstream_timeout" {
		return newRig(t)
	}
	return newRig(t, withLLM(func(c *llm.Config) { c.FirstTokenTimeout, c.IdleTimeout = 400*time.Millisecond, 400*time.Millisecond }))
}

// wantFailed checks that a failed reply is stored with what there was of it,
// and that the conversation goes on.
func (r *rig) wantFailed(t *testing.T, id, text string) {
	t.Helper()
	m := r.session(id).Messages
	if len(m) != 2 || m[0].Content != "go" || m[1].FinishReason != "error" || m[1].Content != text {
		t.Errorf("stored: %+v, want the reply %q", m, text)
	}
	got := decode[chatReply](t, r.do("POST", "/chat", chatBody(id, "and now?")).want(http.StatusOK))
	if got.Response != "You said: and now?" {
		t.Errorf("the next message is answered by %+v", got)
	}
}

func TestUpstreamFailsOverREST(t *testing.T) {
	for _, tt := range upstreamFailures {
		t.Run(tt.name, func(t *testing.T) {
			r := newUpstreamRig(t, tt.code)
			r.answer("go", tt.answer)
			id := r.newSession()
			a := r.do("POST", "/chat", chatBody(id, "go")).wantError(tt.status, tt.code)
			_, text := a.failure()
			wantSentence(t, text)
			after, _ := strconv.Atoi(a.Header.Get("Retry-After"))
			if after != tt.retry && (tt.retry >= 0 || after < 1) {
				t.Errorf("Retry-After %q, want %d", a.Header.Get("Retry-After"), tt.retry)
			}
			if r.asked() != tt.asked {
				t.Errorf("the service was asked %d times, want %d", r.asked(), tt.asked)
			}
			r.wantFailed(t, id, tt.text)
			if strings.Contains(r.log.String(), rigKey) {
				t.Error("the log holds the key")
			}
		})
	}
}

func TestUpstreamFailsOverWebSocket(t *testing.T) {
	for _, tt := range upstreamFailures {
		t.Run(tt.name, func(t *testing.T) {
			r := newUpstreamRig(t, tt.code)
			r.answer("go", tt.answer)
			p := r.join("/ws")
			p.say("", "go")
			reply := p.reply()
			if e := reply.end; e.Type != "error" || e.Code != tt.code || e.ID != reply.id || reply.text != tt.text {
				t.Errorf("got %+v", reply)
			}
			wantSentence(t, reply.end.ErrorText)
			// Of a reply that has ended and is read from the store, only the code is known.
			if after := reply.end.RetryAfter; (after > 0) != (tt.retry != 0) {
				t.Errorf("retry_after %d, want %d", after, tt.retry)
			}
			r.wantFailed(t, p.ready.Conversation, tt.text)
			p.want("message")
			p.reply()
			p.wantQuiet()
		})
	}
}

func TestUpstreamFailsOverSSE(t *testing.T) {
	for _, tt := range upstreamFailures {
		t.Run(tt.name, func(t *testing.T) {
			r := newUpstreamRig(t, tt.code)
			r.answer("go", tt.answer)
			s := r.follow("POST", "/chat", chatBody("", "go"))
			id := s.until("start").Metadata.Conversation
			e := s.until("error")
			wantSentence(t, e.ErrorText)
			if s.rest(); !s.done || s.text != tt.text {
				t.Errorf("text %q, [DONE] %v", s.text, s.done)
			}
			r.wantFailed(t, id, tt.text)
		})
	}
}

// TestUpstreamCutOften: a reply that is cut again and again ends as an error,
// with all that came.
func TestUpstreamCutOften(t *testing.T) {
	r := newRig(t)
	r.answer("go", mistralsim.Answer{Tokens: []string{"a", "b", "c", "d"}, CutTokens: 2})
	p := r.join("/ws")
	p.say("", "go")
	reply := p.reply()
	if reply.end.Code != "upstream_error" || !strings.HasPrefix("abcd", reply.text) || reply.text == "" {
		t.Errorf("got %+v", reply)
	}
	wantSentence(t, reply.end.ErrorText)
	r.wantFailed(t, p.ready.Conversation, reply.text)
}

// TestUpstreamUnreachable: nobody listens there.
func TestUpstreamUnreachable(t *testing.T) {
	r := newRig(t, withLLM(func(c *llm.Config) { c.BaseURL, c.MaxRetries = "http://127.0.0.1:1", -1 }))
	_, text := r.do("POST", "/chat", chatBody("", "go")).wantError(http.StatusBadGateway, "upstream_error").failure()
	wantSentence(t, text)
}
