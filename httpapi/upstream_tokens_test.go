package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// numbered are n tokens of 8.4 bytes, as long words have.
func numbered(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("word%d ", i)
	}
	return tokens
}

func withMaxTokens(n int) rigOption { return withHub(func(c *hub.Config) { c.MaxTokens = n }) }

// TestTokensLeft: who goes on after a cut may generate what is left of MAX_TOKENS
// by the tokens that came, neither less nor, as far as can be told, more.
func TestTokensLeft(t *testing.T) {
	// Of a token that ends in a space the space is generated again.
	const most, space = 4096, 1
	cut := func(after ...int) (cuts []mistralsim.Answer) {
		for _, n := range after {
			cuts = append(cuts, mistralsim.Answer{CutTokens: n})
		}
		return append(cuts, mistralsim.Answer{})
	}
	used := `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2200,"total_tokens":2209}}` + "\n\n"
	for _, tt := range []struct {
		name   string
		tokens []string
		join   int
		parts  []mistralsim.Answer // how each stream ends
		left   []int               // max_tokens of each request; 0: not exact
		reason string
		over   int // tokens beyond MAX_TOKENS that the reply may have
	}{
		{"as told", numbered(2500), 1, cut(2200), []int{most, most - 2200 + space}, "stop", 0},
		{"three cuts", numbered(3000), 1, cut(700, 1400, 2900), []int{most, most - 700 + space, most - 1400 + space, most - 2900 + space}, "stop", 0},
		{"a cut at every thousand, and no end", numbered(9000), 1, cut(1000, 2000, 3000, 4000), []int{most, most - 1000 + space, most - 2000 + space, most - 3000 + space, most - 4000 + space}, "length", 0},
		{"a cut before the first", numbered(2500), 1, []mistralsim.Answer{{CutBytes: 1}, {}}, []int{most, most}, "stop", 0},
		{"a cut behind the first", numbered(2500), 1, cut(1), []int{most, most - 1 + space}, "stop", 0},
		{"a cut before the last that is left", numbered(9000), 1, cut(most - 1), []int{most, 1 + space}, "length", 0},
		{"a cut where none is left", numbered(9000), 1, cut(most), []int{most}, "length", 0},
		{"short tokens", slices.Repeat([]string{"7"}, 9000), 1, cut(3000), []int{most, most - 3000}, "length", 0},
		{"long tokens", slices.Repeat([]string{"internationalisation "}, 4000), 1, cut(3000), []int{most, most - 3000 + space}, "stop", 0},
		{"many tokens in a delta", numbered(2500), 8, cut(2200), []int{most, 0}, "stop", 0},
		{"many tokens in a delta, just enough", numbered(most), 8, cut(most - 1), []int{most, 0}, "stop", 0},
		{"many tokens in a delta, and no end", numbered(9000), 8, cut(3000), []int{most, 0}, "length", most / 10},
		{"many letters in a delta, and no end", slices.Repeat([]string{"你好啊"}, 9000), 8, cut(3000), []int{most, 0}, "length", most},
		{"many tokens in a delta, but they are told", numbered(9000), 8,
			[]mistralsim.Answer{{CutTokens: 2201, Event: used, EventAfter: 2200}, {}}, []int{most, 0}, "length", 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.parts {
				tt.parts[i].Tokens, tt.parts[i].Join, tt.parts[i].Flush = tt.tokens, tt.join, 50
			}
			r := newRig(t, asServed, scripted(tt.parts...), withHub(func(c *hub.Config) { c.MaxTokens = most; c.Limits.ReplyBytes = 0 }))
			got := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "go")).want(http.StatusOK))
			asked := r.sim.Requests()
			if len(asked) != len(tt.left) {
				t.Fatalf("%d requests, want %d", len(asked), len(tt.left))
			}
			for i, left := range tt.left {
				if got := asked[i].MaxTokens; got != left && left > 0 {
					t.Errorf("request %d may generate %d tokens, want %d", i, got, left)
				}
			}
			whole := strings.Join(tt.tokens, "")
			if got.FinishReason != tt.reason || !strings.HasPrefix(whole, got.Response) || tt.reason == "stop" && got.Response != whole {
				t.Errorf("%s behind %d of %d bytes", got.FinishReason, len(got.Response), len(whole))
			}
			if tt.reason == "length" {
				n, rest := 0, got.Response
				for ; rest != ""; n++ {
					rest = strings.TrimPrefix(rest, tt.tokens[n])
				}
				if n < most || n > most+tt.over {
					t.Errorf("ended behind %d tokens, of %d", n, most)
				}
			}
		})
	}
}
