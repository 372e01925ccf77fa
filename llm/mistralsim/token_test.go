package mistralsim

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzTokens cuts any text into tokens: together they are the text, none is
// empty, none is cut inside a character, and few are long.
func FuzzTokens(f *testing.F) {
	f.Add("hello, world", 1)
	f.Add("🙂👩‍🚀é你好", 2)
	f.Add("\xff\xf0\x9f", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		tokens := newTokens(&Request{N: n}, &Answer{Text: text})
		var all []string
		for tokens.more() {
			token := tokens.take()
			if token == "" || len(token) > 8 || utf8.ValidString(text) && !utf8.ValidString(token) {
				t.Fatalf("token %q of %q", token, text)
			}
			all = append(all, token)
		}
		if got := strings.Join(all, ""); got != text || tokens.fresh != len(all) {
			t.Fatalf("%q became %q", text, all)
		}
	})
}

// FuzzEscape compares the JSON strings with encoding/json's reading of them.
func FuzzEscape(f *testing.F) {
	f.Add("plain \"quoted\" \\ \n\t\x00\x1f\x7f é 🙂 \u2028")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		for _, ascii := range []bool{false, true} {
			b := appendString(nil, s, ascii)
			var got string
			if err := json.Unmarshal(b, &got); err != nil || got != s {
				t.Fatalf("%q became %s, %q (%v)", s, b, got, err)
			}
			for _, c := range b {
				if ascii && c >= 0x80 {
					t.Fatalf("%q became %s", s, b)
				}
			}
		}
	})
}

// TestRawBytes lets an answer cut inside a character when it says so.
func TestRawBytes(t *testing.T) {
	_, srv := serve(t, saying(Answer{Tokens: []string{"\xe4\xbd", "\xa0"}}))
	_, answer, err := call(t, srv, streamed)
	if err != nil || !strings.Contains(answer, "\"content\":\"\xe4\xbd\"") || !strings.Contains(answer, "\"content\":\"\xa0\"") {
		t.Errorf("%v: %q", err, answer)
	}
}

// TestAllocations wants none per token: a reply of many tokens costs as many as
// one of few.
func TestAllocations(t *testing.T) {
	cost := func(n int) float64 {
		cfg := saying(Answer{Tokens: strings.SplitAfter(strings.Repeat("token ", n), " ")})
		cfg.Record = -1
		sim := New(cfg)
		return testing.AllocsPerRun(20, func() {
			sim.ServeHTTP(sink{httptest.NewRecorder()}, request(t.Context(), streamed))
		})
	}
	if few, many := cost(10), cost(2000); many > few+5 {
		t.Errorf("%v allocations for 10 tokens, %v for 2000", few, many)
	}
}

// sink forgets what is written to it.
type sink struct{ *httptest.ResponseRecorder }

func (sink) Write(b []byte) (int, error) { return len(b), nil }
func (sink) Flush()                      {}
