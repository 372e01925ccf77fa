package httpapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// scripted has the model give one answer after the other, the last one for good.
func scripted(answers ...mistralsim.Answer) rigOption {
	var n atomic.Int32
	return rigOption{sim: func(c *mistralsim.Config) {
		c.Answer = func(*mistralsim.Request) mistralsim.Answer {
			return answers[min(int(n.Add(1)), len(answers))-1]
		}
	}}
}

// asServed has the model's client try as often as in production, with short waits.
var asServed = withLLM(func(c *llm.Config) { c.MaxRetries = 0 })

// inTime is asServed with its own waits, for a bubble.
var inTime = withLLM(func(c *llm.Config) { c.MaxRetries, c.MaxRetryWait = 0, 0 })

// raw is an event stream, sent as it stands.
func raw(body string) mistralsim.Answer {
	return mistralsim.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body}
}

func rawToken(text string) string {
	return fmt.Sprintf(`data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, text) + "\n\n"
}

// TestUpstreamDone: a reply that ends with [DONE] alone is whole, and asked for once.
func TestUpstreamDone(t *testing.T) {
	want := "so far"
	for name, a := range map[string]mistralsim.Answer{
		"without a finish_reason":          {Tokens: []string{"so", " far"}, NoFinish: true},
		"in one write":                     {Tokens: []string{"so", " far"}, NoFinish: true, Flush: 10},
		"with the last text":               {Tokens: []string{"so", " far"}, NoFinish: true, FinishWithText: true},
		"in one chunk":                     {Tokens: []string{"so", " far"}, NoFinish: true, Join: 2},
		"behind a null reason":             raw(rawToken("so") + rawToken(" far") + `data: {"choices":[{"index":0,"delta":{},"finish_reason":null}]}` + "\n\ndata: [DONE]\n\n"),
		"without an empty line at the end": raw(rawToken("so") + rawToken(" far") + "data: [DONE]\n"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, asServed, scripted(a))
			got := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "go")).want(http.StatusOK))
			p := r.join("/ws")
			p.say("", "go")
			reply := p.reply()
			s := r.follow("POST", "/chat", chatBody("", "go"))
			s.rest()
			if got.Response != want || got.FinishReason != "stop" || reply.text != want || reply.end.Metadata.FinishReason != "stop" || s.text != want || !s.done {
				t.Errorf("%+v, %+v, %q", got, reply, s.text)
			}
			if r.asked() != 3 {
				t.Errorf("%d requests for three replies", r.asked())
			}
		})
	}
}

// TestUpstreamNoEnd: a reply whose stream ends properly, but without any mark, may
// be whole. It is gone on with, and never becomes an error.
func TestUpstreamNoEnd(t *testing.T) {
	whole := mistralsim.Answer{Tokens: []string{"so", " far"}, NoFinish: true, NoDone: true}
	for _, tt := range []struct {
		name   string
		then   []mistralsim.Answer
		text   string
		reason string
		asked  int
	}{
		{"again and again", nil, "so far", "other", 2},
		{"a reason behind it", []mistralsim.Answer{{Tokens: []string{"so", " far"}}}, "so far", "stop", 2},
		{"[DONE] behind it", []mistralsim.Answer{{Tokens: []string{"so", " far"}, NoFinish: true}}, "so far", "stop", 2},
		{"an end at once", []mistralsim.Answer{raw("data: [DONE]\n\n")}, "so far", "stop", 2},
		{"more", []mistralsim.Answer{{Tokens: []string{"so", " far", " so good"}}}, "so far so good", "stop", 2},
		{"more, and no end", []mistralsim.Answer{{Tokens: []string{"so", " far", " so good"}, NoFinish: true, NoDone: true}}, "so far so good", "other", 3},
		{"refused", []mistralsim.Answer{{Status: 400, Body: `{"detail":"no prefix"}`}}, "so far", "other", 2},
		{"another answer", []mistralsim.Answer{raw(rawToken("Hello") + "data: [DONE]\n\n")}, "so far", "other", 2},
		{"nothing at all", []mistralsim.Answer{raw("")}, "so far", "other", 6},
		{"a service that is down", []mistralsim.Answer{mistralsim.Unavailable()}, "so far", "other", 6},
		{"cut off before there is more", []mistralsim.Answer{{Tokens: []string{"so", " far", " so good"}, CutTokens: 2}}, "so far", "other", 6},
		{"cut off behind more", []mistralsim.Answer{{Tokens: []string{"so", " far", " so good", " and"}, CutTokens: 3}}, "so far so good", "error", 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, asServed, scripted(append([]mistralsim.Answer{whole}, tt.then...)...))
			id := r.newSession()
			a := r.do("POST", "/chat", chatBody(id, "go"))
			if tt.reason == "error" {
				a.wantError(http.StatusBadGateway, "upstream_error")
			} else {
				a.want(http.StatusOK)
			}
			if m := r.session(id).Messages; len(m) != 2 || m[1].Content != tt.text || m[1].FinishReason != tt.reason {
				t.Errorf("stored: %+v", m)
			}
			if r.asked() != tt.asked {
				t.Errorf("%d requests, want %d", r.asked(), tt.asked)
			}
		})
	}
}

// budgetFaults are ways to disappoint, with more text than a reply gets of it.
var budgetFaults = map[string]mistralsim.Answer{
	"refused":             mistralsim.InternalError(),
	"unavailable":         mistralsim.Unavailable(),
	"no capacity":         mistralsim.Overloaded(),
	"rate limit":          mistralsim.RateLimited(""),
	"rate limit, 20 s":    mistralsim.RateLimited("20"),
	"HTML":                mistralsim.Cloudflare520(),
	"too long":            mistralsim.PromptTooLong(300000, 262144),
	"empty":               {NoFinish: true, NoDone: true},
	"an empty body":       raw(""),
	"cut at once":         {Text: "so far", CutBytes: 1},
	"cut behind a token":  {CutTokens: 1},
	"cut behind three":    {CutTokens: 3, Reset: true},
	"ended behind two":    {CutTokens: 2, CleanEnd: true},
	"ended in a token":    {CutBytes: 700, CleanEnd: true},
	"another answer":      raw(rawToken("Hello") + rawToken(" there")),
	"an error event":      raw(rawToken("so") + mistralsim.ErrorEvent("x", "x", "1100")),
	"an error event only": raw(mistralsim.ErrorEvent("x", "x", "3505")),
	"silent":              {Stall: mistralsim.StallHeaders},
	"silent in the text":  {Stall: mistralsim.StallTokens, StallAfter: 2},
	"finish_reason error": {Text: "so far", Finish: "error"},
}

// TestUpstreamBudget: whatever mixture of faults a service has, one reply costs six
// requests at most, and no request begins when it has waited for a minute and a half.
func TestUpstreamBudget(t *testing.T) {
	names := make([]string, 0, len(budgetFaults))
	for name := range budgetFaults {
		names = append(names, name)
	}
	slices.Sort(names)
	try := func(t *testing.T, mixture []string) {
		bubble(t, func(t *testing.T, r *rig) {
			began := time.Now()
			r.do("POST", "/chat", chatBody("", "go"))
			if r.asked() < 1 || r.asked() > 6 {
				t.Errorf("%q: %d requests", mixture, r.asked())
			}
			// The last answer is waited for at least half a minute.
			if took := time.Since(began); took > llm.DefaultMaxElapsed+31*time.Second {
				t.Errorf("%q: %v", mixture, took)
			}
		}, inTime, mixtureOf(mixture))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { try(t, []string{name}) })
	}
	t.Run("mixtures", func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for range 100 {
			mixture := make([]string, 2+random.IntN(6))
			for i := range mixture {
				mixture[i] = names[random.IntN(len(names))]
			}
			try(t, mixture)
		}
	})
}

// mixtureOf has the model give these answers in turn, over and over. Those that
// bring text bring more of it each time.
func mixtureOf(names []string) rigOption {
	return rigOption{sim: func(c *mistralsim.Config) {
		c.Answer = func(req *mistralsim.Request) mistralsim.Answer {
			a := budgetFaults[names[(req.N-1)%len(names)]]
			if a.CutTokens > 0 || a.StallAfter > 0 || a.CutBytes > 1 {
				a.Tokens = append(strings.SplitAfter(req.Prefix(), " "), " and", " so", " on", " and", " on")
				a.Tokens = slices.DeleteFunc(a.Tokens, func(s string) bool { return s == "" })
				if have := len(a.Tokens) - 5; a.CutTokens > 0 {
					a.CutTokens += have
				} else if a.StallAfter > 0 {
					a.StallAfter += have
				}
			}
			return a
		}
	}}
}
