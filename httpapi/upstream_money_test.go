package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lumos/backend/llm/mistralsim"
)

// TestUpstreamMoney: what a hundred replies cost under each fault, in requests and in
// tokens of prompts, and how many of them come out whole. -v shows the table.
func TestUpstreamMoney(t *testing.T) {
	const replies = 100
	words := []string{"one ", "two ", "three ", "four ", "five"}
	good := mistralsim.Answer{Tokens: words}
	with := func(change func(*mistralsim.Answer)) mistralsim.Answer {
		a := good
		change(&a)
		return a
	}
	event := func(after int, event string) mistralsim.Answer {
		return with(func(a *mistralsim.Answer) { a.Event, a.EventAfter = event, after })
	}
	once := func(a mistralsim.Answer) []mistralsim.Answer { return []mistralsim.Answer{a, good} }
	always := func(a mistralsim.Answer) []mistralsim.Answer { return []mistralsim.Answer{a} }
	for _, tt := range []struct {
		name    string
		answers []mistralsim.Answer // of each reply's requests; the last for good
		most    int                 // requests of a reply
		whole   int                 // replies that have all the text and are no error
	}{
		{"no fault", always(good), 1, replies},
		{"U1 [DONE] alone, always", always(with(func(a *mistralsim.Answer) { a.NoFinish = true })), 1, replies},
		{"U1 no end mark, always", always(with(func(a *mistralsim.Answer) { a.NoFinish, a.NoDone = true, true })), 2, replies},
		{"U1 cut at once, always", always(with(func(a *mistralsim.Answer) { a.CutBytes = 1 })), 6, 0},
		{"a cut in the text", once(with(func(a *mistralsim.Answer) { a.CutTokens = 3 })), 2, replies},
		{"U3 comments for 135 s", always(with(func(a *mistralsim.Answer) { a.FirstToken, a.KeepAlive = 135*time.Second, 5*time.Second })), 1, replies},
		{"U4 503 as first event, twice", []mistralsim.Answer{raw(gatewayError("503")), raw(gatewayError("503")), good}, 3, replies},
		{"U5 an error event in the text", once(event(3, mistralsim.ErrorEvent("no", "x", "1100"))), 2, replies},
		{"U5 silence in the text", once(with(func(a *mistralsim.Answer) { a.Stall, a.StallAfter = mistralsim.StallTokens, 3 })), 2, replies},
		{"U5 finish_reason error", once(mistralsim.Answer{Tokens: words[:3], Finish: "error"}), 2, replies},
		{"U6 an error behind thoughts", once(with(func(a *mistralsim.Answer) {
			a.Thoughts, a.Event = []string{"hm"}, mistralsim.ErrorEvent("no", "x", "3505")
		})), 2, replies},
		{"U7 halves of characters, always", always(mistralsim.Answer{Tokens: []string{"😀"}, Split: true}), 1, replies},
		{"U8 typed as text/plain, always", always(with(func(a *mistralsim.Answer) { a.ContentType = "text/plain" })), 1, replies},
		{"U9 a ping, always", always(event(2, "data: ping\n\n")), 1, replies},
		{"500, always", always(mistralsim.InternalError()), 6, 0},
		{"429 until the minute ends", nil, 5, replies},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, window := map[string]int{}, time.Time{}
			answer := rigOption{sim: func(c *mistralsim.Config) {
				c.Answer = func(req *mistralsim.Request) mistralsim.Answer {
					said := req.LastUser()
					n := asked[said]
					asked[said]++
					if tt.answers != nil {
						return tt.answers[min(n, len(tt.answers)-1)]
					}
					if n == 0 {
						window = time.Now().Truncate(time.Minute).Add(time.Minute)
					}
					if time.Now().Before(window) {
						return mistralsim.RateLimited("")
					}
					return good
				}
			}}
			bubble(t, func(t *testing.T, r *rig) {
				began, whole := time.Now(), 0
				text := strings.Join(words, "")
				if tt.answers != nil && len(tt.answers[0].Tokens) == 1 {
					text = tt.answers[0].Tokens[0]
				}
				for i := range replies {
					a := r.do("POST", "/chat", chatBody("", fmt.Sprintf("number %d", i)))
					if a.StatusCode == http.StatusOK && decode[chatReply](t, a).Response == text {
						whole++
					}
				}
				tokens, most := 0, 0
				for _, req := range r.sim.Requests() {
					n, _ := req.PromptTokens()
					tokens += n
				}
				for _, n := range asked {
					most = max(most, n)
				}
				t.Logf("| %s | %d | %d | %d | %.1f |", tt.name, r.asked(), tokens, whole, time.Since(began).Seconds()/replies)
				if most > tt.most || whole != tt.whole {
					t.Errorf("%d requests for a reply, want %d; %d replies are whole, want %d", most, tt.most, whole, tt.whole)
				}
			}, inTime, answer, rigOption{sim: func(c *mistralsim.Config) { c.Record = 1 << 20 }})
		})
	}
}
