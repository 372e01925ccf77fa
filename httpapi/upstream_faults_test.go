package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lumos/backend/llm/mistralsim"
)

// gatewayError is an error event as OpenAI's and vLLM's gateways send it.
func gatewayError(code string) string {
	return `data: {"error":{"message":"no","type":"x","param":null,"code":` + code + "}}\n\n"
}

// TestUpstreamFaults: what services in the wild do to a stream, and what a client
// sees of it: nothing, but for a wait. The time is that of a fake clock.
func TestUpstreamFaults(t *testing.T) {
	words := []string{"one ", "two ", "three ", "four ", "five"}
	const whole = "one two three four five"
	const overloaded = "event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}` + "\n\n" // as Anthropic's
	good := mistralsim.Answer{Tokens: words}
	with := func(change func(*mistralsim.Answer)) mistralsim.Answer {
		a := good
		change(&a)
		return a
	}
	event := func(after int, event string) mistralsim.Answer {
		return with(func(a *mistralsim.Answer) { a.Event, a.EventAfter = event, after })
	}
	typed := func(kind string) mistralsim.Answer {
		return with(func(a *mistralsim.Answer) { a.ContentType = kind })
	}
	thinks := with(func(a *mistralsim.Answer) { a.Thoughts = []string{"Let", " me", " see"} })
	for _, tt := range []struct {
		name    string
		answers []mistralsim.Answer
		text    string
		ends    string // finish_reason, or the error's code
		asked   int
		longest time.Duration
	}{
		{"U3 comments for 135 s before the first token", []mistralsim.Answer{with(func(a *mistralsim.Answer) { a.FirstToken, a.KeepAlive = 135*time.Second, 5*time.Second })}, whole, "stop", 1, 135 * time.Second},
		{"U3 comments for 70 s between tokens", []mistralsim.Answer{with(func(a *mistralsim.Answer) { a.Pace, a.KeepAlive = 70*time.Second, 5*time.Second })}, whole, "stop", 1, 280 * time.Second},
		{"U3 comments for ever", []mistralsim.Answer{{KeepAlive: 5 * time.Second, Stall: mistralsim.StallTokens}}, "", "upstream_timeout", 1, 10 * time.Minute},
		{"U3 comments for ever behind text", []mistralsim.Answer{with(func(a *mistralsim.Answer) {
			a.KeepAlive, a.Stall, a.StallAfter = 5*time.Second, mistralsim.StallTokens, 1
		})}, "one ", "upstream_timeout", 1, 10 * time.Minute},
		{"U3 nothing at all", []mistralsim.Answer{{Stall: mistralsim.StallTokens}}, "", "upstream_timeout", 1, 120 * time.Second},

		{"U4 503 as the first event, twice", []mistralsim.Answer{raw(gatewayError("503")), raw(gatewayError(`"503"`)), good}, whole, "stop", 3, 2 * time.Second},
		{"U4 429 as the first event", []mistralsim.Answer{raw(gatewayError("429")), good}, whole, "stop", 2, time.Second},
		{"U4 a code of Mistral's", []mistralsim.Answer{raw(mistralsim.ErrorEvent("no", "x", "1100")), good}, whole, "stop", 2, time.Second},
		{"U4 a type alone", []mistralsim.Answer{raw(`data: {"error":{"message":"no","type":"overloaded_error"}}` + "\n\n"), good}, whole, "stop", 2, time.Second},
		{"U4 a type inside another", []mistralsim.Answer{raw(overloaded), good}, whole, "stop", 2, time.Second},
		{"U5 a type inside another, behind text", []mistralsim.Answer{event(3, overloaded), good}, whole, "stop", 2, time.Second},
		{"U4 a word for a code", []mistralsim.Answer{raw(gatewayError(`"overloaded"`)), good}, whole, "stop", 2, time.Second},
		{"U4 a status of another name", []mistralsim.Answer{raw(`data: {"error":{"message":"no","code":"x","status":503}}` + "\n\n"), good}, whole, "stop", 2, time.Second},
		{"U4 an error that is text", []mistralsim.Answer{raw(`data: {"error":"no"}` + "\n\n"), good}, whole, "stop", 2, time.Second},
		{"U4 a message alone", []mistralsim.Answer{raw(`data: {"message":"An unexpected error occurred"}` + "\n\n"), good}, whole, "stop", 2, time.Second},
		{"U4 as JSON with a status of 200", []mistralsim.Answer{{Status: 200, Body: `{"error":{"message":"no","code":503}}`}, good}, whole, "stop", 2, time.Second},
		{"U4 400 as the first event", []mistralsim.Answer{raw(gatewayError("400")), good}, "", "upstream_error", 1, 0},
		{"U4 401 as the first event", []mistralsim.Answer{raw(gatewayError("401")), good}, "", "upstream_auth", 1, 0},
		{"U4 503 for ever", []mistralsim.Answer{raw(gatewayError("503"))}, "", "upstream_error", 6, 30 * time.Second},
		{"U4 too long, as an event, for the one message", []mistralsim.Answer{raw(mistralsim.ErrorEvent("no", "invalid_request_prompt_too_long", "3059")), good}, "", "upstream_error", 1, 0},

		{"U5 an error behind text", []mistralsim.Answer{event(3, mistralsim.ErrorEvent("no", "x", "1100")), good}, whole, "stop", 2, time.Second},
		{"U5 a gateway's error behind text", []mistralsim.Answer{event(3, gatewayError("503")), good}, whole, "stop", 2, time.Second},
		{"U5 a rate limit behind text", []mistralsim.Answer{event(3, mistralsim.ErrorEvent("no", "rate_limited", "1300")), good}, whole, "stop", 2, time.Second},
		{"U5 an error that stays behind text", []mistralsim.Answer{event(3, gatewayError("400")), good}, "one two three ", "upstream_error", 1, 0},
		{"U5 silence behind text", []mistralsim.Answer{with(func(a *mistralsim.Answer) { a.Stall, a.StallAfter = mistralsim.StallTokens, 3 }), good}, whole, "stop", 2, 60 * time.Second},
		{"U5 silence behind text, twice", []mistralsim.Answer{
			with(func(a *mistralsim.Answer) { a.Stall, a.StallAfter = mistralsim.StallTokens, 1 }),
			with(func(a *mistralsim.Answer) { a.Stall, a.StallAfter = mistralsim.StallTokens, 3 }), good}, "one two three ", "upstream_timeout", 2, 120 * time.Second},
		{"U5 finish_reason error", []mistralsim.Answer{{Tokens: words[:3], Finish: "error"}, good}, whole, "stop", 2, time.Second},
		{"U5 finish_reason error at once", []mistralsim.Answer{{Finish: "error"}, good}, whole, "stop", 2, time.Second},
		{"U5 half an object", []mistralsim.Answer{event(3, "data: {\"choices\":[{\"index\":0,\n\n"), good}, whole, "stop", 2, 0},
		{"U5 a cut", []mistralsim.Answer{with(func(a *mistralsim.Answer) { a.CutTokens = 3 }), good}, whole, "stop", 2, 0},
		{"U5 one after the other", []mistralsim.Answer{
			event(1, gatewayError("503")), event(2, mistralsim.ErrorEvent("no", "x", "3505")), {Tokens: words[:3], Finish: "error"},
			with(func(a *mistralsim.Answer) { a.CutTokens = 4 }), mistralsim.Unavailable(), good}, whole, "stop", 6, 4 * time.Second},

		{"U6 an error behind thoughts", []mistralsim.Answer{with(func(a *mistralsim.Answer) {
			a.Thoughts, a.Event = thinks.Thoughts, mistralsim.ErrorEvent("no", "service_tier_capacity_exceeded", "3505")
		}), thinks}, whole, "stop", 2, time.Second},
		{"U6 a cut behind thoughts", []mistralsim.Answer{with(func(a *mistralsim.Answer) { a.Thoughts, a.CutBytes = thinks.Thoughts, 700 }), thinks}, whole, "stop", 2, time.Second},
		{"U6 silence behind thoughts", []mistralsim.Answer{{Thoughts: thinks.Thoughts, Stall: mistralsim.StallTokens}, thinks}, whole, "stop", 2, 61 * time.Second},

		{"U7 surrogates over two deltas", []mistralsim.Answer{{Tokens: []string{"a😀b", "👍🏽", "你😀"}, Split: true, ASCII: true}}, "a😀b👍🏽你😀", "stop", 1, 0},
		{"U7 cut between the halves", []mistralsim.Answer{raw(rawToken("one ") + `data: {"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}` + "\n\n"), {Tokens: []string{"one ", "😀"}}}, "one 😀", "stop", 2, 0},

		{"U8 text/plain", []mistralsim.Answer{typed("text/plain")}, whole, "stop", 1, 0},
		{"U8 no type that is one", []mistralsim.Answer{typed("stream")}, whole, "stop", 1, 0},
		{"U8 application/json", []mistralsim.Answer{typed("application/json; charset=utf-8")}, whole, "stop", 1, 0},
		{"U8 comments first", []mistralsim.Answer{with(func(a *mistralsim.Answer) {
			a.ContentType, a.FirstToken, a.KeepAlive = "text/plain", 20*time.Second, 5*time.Second
		})}, whole, "stop", 1, 20 * time.Second},
		{"U8 text that is no stream", []mistralsim.Answer{{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "dataless"}}, "", "upstream_error", 1, 0},

		{"U9 a ping between chunks", []mistralsim.Answer{event(2, "data: ping\n\n")}, whole, "stop", 1, 0},
		{"U9 an empty event", []mistralsim.Answer{event(2, "data:\n\ndata\n\nevent: ping\ndata: \n\n")}, whole, "stop", 1, 0},
		{"U9 JSON that is no object", []mistralsim.Answer{event(2, "data: \"ping\"\n\ndata: 1\n\ndata: null\n\ndata: true\n\n")}, whole, "stop", 1, 0},

		{"U10 thoughts until max_tokens", []mistralsim.Answer{{Thoughts: slices.Repeat([]string{"hm "}, 200), Tokens: words}}, "", "length", 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				began := time.Now()
				id := r.newSession()
				a := r.do("POST", "/chat", chatBody(id, "go"))
				took := time.Since(began)
				m := r.session(id).Messages[1]
				ends := m.FinishReason
				if ends == "error" {
					ends, _ = a.failure()
				} else {
					a.want(http.StatusOK)
				}
				if m.Content != tt.text || ends != tt.ends || r.asked() != tt.asked || took > tt.longest {
					t.Errorf("%q, %s after %d requests and %v, want %q, %s after %d and %v at most", m.Content, ends, r.asked(), took, tt.text, tt.ends, tt.asked, tt.longest)
				}
				if strings.Contains(r.log.String(), "panic") {
					t.Error(r.log.String())
				}
			}, inTime, scripted(tt.answers...), withMaxTokens(100))
		})
	}
}

// TestRetryAfterSpreads: of many replies that are told to come back after the same
// time, no two come in the same instant, and none too early.
func TestRetryAfterSpreads(t *testing.T) {
	const replies = 200
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.RateLimited("5"))
		var waiting []func() answered
		for range replies {
			waiting = append(waiting, r.later("POST", "/chat", chatBody("", "go")))
		}
		pass(4999 * time.Millisecond)
		if r.asked() != replies {
			t.Errorf("%d requests before the time", r.asked())
		}
		r.answer("go", mistralsim.Answer{Text: "here"})
		asked, most := r.asked(), 0
		for r.asked() < 2*replies {
			pass(10 * time.Millisecond)
			most, asked = max(most, r.asked()-asked), r.asked()
		}
		if most > replies/10 {
			t.Errorf("%d came within 10 ms", most)
		}
		for _, wait := range waiting {
			wait().want(http.StatusOK)
		}
	}, inTime)
}
