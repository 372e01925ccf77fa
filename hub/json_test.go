package hub

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
)

// FuzzJSONText holds the encoder of our own to encoding/json.
func FuzzJSONText(f *testing.F) {
	f.Add("")
	f.Add("plain")
	f.Add("\"\\/\b\f\n\r\t\x00\x1f\x7f")
	f.Add("é€👋 \u2028\u2029 <b>&amp;</b>")
	f.Add("\xff a \xed\xa0\x80 \xf0\x9f")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(AppendJSONText([]byte(`"`), []byte(s))) + `"`
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r") {
			t.Fatalf("%q is written as %q", s, got)
		}
		theirs, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want, back string
		if err := json.Unmarshal(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != want {
			t.Fatalf("%q is written as %q and read as %q, %v; want %q", s, got, back, err, want)
		}
	})
}

// TestAppendDelta: the token path writes what the rest would.
func TestAppendDelta(t *testing.T) {
	id := uuid.New()
	for _, offset := range []int{-1, 0, 7, 1 << 40} {
		var want struct {
			Type   string    `json:"type"`
			ID     uuid.UUID `json:"id"`
			Delta  string    `json:"delta"`
			Offset *int      `json:"offset,omitempty"`
		}
		want.Type, want.ID, want.Delta = "text-delta", id, "say \"hi\"\n👋 <&>"
		if offset >= 0 {
			want.Offset = &offset
		}
		got := AppendDelta([]byte("before"), id, []byte(want.Delta), offset)
		if string(got) != "before"+string(appendJSON(nil, want)) {
			t.Errorf("offset %d: %s", offset, got)
		}
	}
}

// TestAppendJSON: nothing is escaped for HTML, and no line end is left.
func TestAppendJSON(t *testing.T) {
	got := string(appendJSON([]byte("x"), map[string]string{"a": "<&>\n"}))
	if got != `x{"a":"<&>\n"}` {
		t.Errorf("got %q", got)
	}
}
