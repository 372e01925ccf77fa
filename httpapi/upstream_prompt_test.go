package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// alternating has the model's service refuse two messages of the user's in a row.
var alternating = rigOption{sim: func(c *mistralsim.Config) { c.Alternate = true }}

// TestPromptAlternates: a reply without text does not make a conversation unusable
// with a server whose template wants user and assistant to take turns.
func TestPromptAlternates(t *testing.T) {
	for name, tt := range map[string]struct {
		answer mistralsim.Answer
		stop   bool
	}{
		"stopped before the first token": {mistralsim.Answer{Stall: mistralsim.StallTokens}, true},
		"failed":                         {mistralsim.Unavailable(), false},
		"refused":                        {mistralsim.Unprocessable("x"), false},
		"empty":                          {mistralsim.Answer{}, false},
		"of white space":                 {mistralsim.Answer{Tokens: []string{" ", "\n"}}, false},
	} {
		for _, system := range []string{"", "Be kind."} {
			t.Run(name+", "+system, func(t *testing.T) {
				r := newRig(t, alternating, withHub(func(c *hub.Config) { c.SystemPrompt = system }))
				p := r.join("/ws")
				p.say("", "first")
				p.reply()
				r.answer("go", tt.answer)
				p.say("", "go")
				reply := p.begin()
				if tt.stop {
					eventually(t, "the model is asked", func() bool { return r.asked() == 2 })
					r.do("POST", "/sessions/"+p.ready.Conversation+"/stop", "").want(http.StatusOK)
				}
				p.finish(&reply)
				for _, say := range []string{"one", "two"} {
					p.say("", say)
					if reply := p.reply(); reply.text == "" || reply.end.Type != "finish" || !strings.HasSuffix(reply.text, say) {
						t.Fatalf("%q is answered by %+v", say, reply)
					}
				}
				var sent []string
				for _, m := range r.sim.Requests()[r.asked()-1].Messages {
					sent = append(sent, m.Role+" "+m.Content)
				}
				want := "user first|assistant You said: first|user go\n\none|assistant You said: one|user two"
				if got := strings.TrimPrefix(strings.Join(sent, "|"), "system Be kind.|"); got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
			})
		}
	}
}

// TestPromptCache: over a conversation that does not fit, most of a prompt is what
// the one before began with, and the service is told which conversation it is.
func TestPromptCache(t *testing.T) {
	const turns, budget = 60, 2000
	registry := prometheus.NewRegistry()
	metrics := hub.NewMetrics(registry)
	r := newRig(t, withHub(func(c *hub.Config) { c.MaxContextTokens, c.Metrics = budget, metrics }),
		withAPI(func(c *httpapi.Config) { c.Registry = registry }))
	id := r.newSession()
	prompt, cached, moved, begins := 0, 0, 0, ""
	for i := range turns {
		say := fmt.Sprintf("%d: %s", i, strings.Repeat("what do you think of it? ", 8))
		r.answer(say, mistralsim.Answer{Text: strings.Repeat("I think that it is fine. ", 12)})
		r.do("POST", "/chat", chatBody(id, say)).want(http.StatusOK)
		asked := r.sim.Requests()
		last := asked[len(asked)-1]
		if last.CacheKey != id {
			t.Fatalf("prompt_cache_key %q, of %s", last.CacheKey, id)
		}
		if first := last.Messages[0].Content; first != begins {
			begins, moved = first, moved+1
		}
		p, c := last.PromptTokens()
		if p > budget {
			t.Errorf("turn %d: a prompt of %d tokens", i, p)
		}
		prompt, cached = prompt+p, cached+c
	}
	t.Logf("%d tokens in %d prompts, %d of them cached; the beginning moved %d times", prompt, turns, cached, moved-1)
	if cached*4 < prompt*3 || moved > 10 {
		t.Errorf("of %d tokens in %d prompts %d were cached; the beginning moved %d times", prompt, turns, cached, moved-1)
	}
	line := fmt.Sprintf(`chathub_tokens_total{kind="cached"} %d`, cached)
	eventually(t, line, func() bool { return strings.Contains(string(r.do("GET", "/metrics", "").body), line+"\n") })
	if !strings.Contains(r.log.String(), " cached_tokens=") {
		t.Error("they are not in the log")
	}
	got := r.do("POST", "/chat", chatBody(id, "and?")).want(http.StatusOK)
	if !strings.Contains(string(got.body), `"cached_tokens":`) {
		t.Errorf("nor in %s", got.body)
	}
}

// TestPromptStays: where prompts begin stays, however the replies end.
func TestPromptStays(t *testing.T) {
	const turns, budget = 40, 2000
	for name, tt := range map[string]struct {
		answer mistralsim.Answer
		stop   bool
	}{
		"stopped":      {mistralsim.Answer{Stall: mistralsim.StallTokens, StallAfter: 40}, true},
		"failed":       {mistralsim.Answer{Event: gatewayError("400"), EventAfter: 40}, false},
		"cut":          {mistralsim.Answer{CutTokens: 40}, false},
		"without text": {mistralsim.Answer{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withHub(func(c *hub.Config) { c.MaxContextTokens = budget }))
			p := r.join("/ws")
			begins := map[string]bool{}
			for i := range turns {
				say := fmt.Sprintf("%d: %s", i, strings.Repeat("what do you think of it? ", 12))
				a := tt.answer
				if name != "without text" {
					a.Tokens = strings.SplitAfter(strings.Repeat("I think that it is fine. ", 12), " ")
				}
				r.answer(say, a)
				asked := r.asked()
				p.say("", say)
				reply := p.begin()
				if tt.stop {
					eventually(t, "the model is asked", func() bool { return r.asked() > asked })
					r.do("POST", "/sessions/"+p.ready.Conversation+"/stop", "").want(http.StatusOK)
				}
				p.finish(&reply)
				first := r.sim.Requests()[asked].Messages[0].Content
				if name == "without text" { // all of it is one message
					first, _, _ = strings.Cut(first, "\n\n")
				}
				begins[first] = true
			}
			if len(begins) > 12 {
				t.Errorf("%d prompts began in %d places", turns, len(begins))
			}
		})
	}
}

// TestPromptTooLong: a service whose context is smaller than MAX_CONTEXT_TOKENS says is
// sent half of what it refused, and half of that, until it takes it.
func TestPromptTooLong(t *testing.T) {
	for _, context := range []int{300, 1000, 3000} {
		r := newRig(t, withHub(func(c *hub.Config) { c.MaxContextTokens, c.MaxTokens = 8000, 100 }), rigOption{sim: func(c *mistralsim.Config) { c.MaxContext = context }})
		id := r.newSession()
		for i := range 40 {
			say := fmt.Sprintf("%d: %s", i, strings.Repeat("what do you think of it? ", 8))
			got := decode[chatReply](t, r.do("POST", "/chat", chatBody(id, say)).want(http.StatusOK))
			if got.Response != "You said: "+say {
				t.Errorf("a context of %d, turn %d: %+v", context, i, got)
			}
		}
		r.do("POST", "/chat", chatBody(id, strings.Repeat("too long ", context))).wantError(http.StatusBadGateway, "upstream_error")
	}
}
