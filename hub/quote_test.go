package hub

import (
	"strings"
	"testing"
)

func TestUnquoted(t *testing.T) {
	long := strings.Repeat("word ", 1000)
	for _, tt := range []struct{ text, said, want string }{
		{"no such model: small", "tell me a story", "no such model: small"},
		{"input: tell me a story of old", "please tell me a story", "input:… of old"},
		{"input: 1234 is short", "1234", "input: … is short"},
		{"tell me", "tell me a story", "tell me"}, // too short to be told from any other text
		{"grüße ünd ünsinn", "grüße ünd", "… ünsinn"},
		{long, "", long[:maxLogged]},
		{long, "word word word", "…"},
		{"aaaaaaaaaaaaaaaa", "aaaaaaaaa", "…"},
		{"", "said", ""},
	} {
		if got := unquoted(tt.text, []string{tt.said}); got != tt.want {
			t.Errorf("of %.40q, when %q was said: %q, want %q", tt.text, tt.said, got, tt.want)
		}
	}
}
