package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestWriteSession: what is written in pieces is what encoding/json makes of it whole,
// with thoughts and without.
func TestWriteSession(t *testing.T) {
	const text, thoughts = "\xff\x80", "\xff\x81"
	long := strings.Repeat("é\"\n👋", 10_000)
	s := session.Session{ID: uuid.New()}
	for _, content := range []string{
		"", "hi", long, thoughts + "hm", thoughts + long, thoughts + long + text + long,
		"so " + thoughts + "a" + text + "far" + thoughts + "b" + text + ", so good", `","content":"`, `"messages":[`,
	} {
		s.Messages = append(s.Messages, session.Message{
			Role: session.Assistant, Content: content, ID: uuid.New(), FinishReason: session.FinishStop, Timestamp: session.Now(),
		})
	}
	for n := range len(s.Messages) + 1 {
		some := s
		some.Messages = s.Messages[:n:n]
		if n == 0 {
			some.Messages = []session.Message{}
		}
		var got, want bytes.Buffer
		if err := WriteSession(&got, some); err != nil {
			t.Fatal(err)
		}
		enc := json.NewEncoder(&want)
		if err := enc.Encode(some); err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := json.Unmarshal(got.Bytes(), &a); err != nil {
			t.Fatalf("%d messages: %v", n, err)
		}
		if err := json.Unmarshal(want.Bytes(), &b); err != nil {
			t.Fatal(err)
		}
		again := func(v any) string { out, _ := json.Marshal(v); return string(out) }
		if again(a) != again(b) {
			t.Errorf("%d messages:\n%.300s\nwant\n%.300s", n, again(a), again(b))
		}
	}
}
