package wire

import (
	"testing"

	"github.com/google/uuid"

	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// TestTokenAllocates holds the token path of every dialect to no allocation, for text
// and for reasoning.
func TestTokenAllocates(t *testing.T) {
	m := session.Message{ID: uuid.New(), Role: session.Assistant, Content: "\xff\x81hm\xff\x80a token"}
	r := reply.Stored(session.Ref{}, &m)
	for name, enc := range map[string]reply.Encoder{
		"chathub": &ChatHub{Reasoning: true}, "chathub, text alone": &ChatHub{}, "aisdk": &AISDK{}, "deep-chat": &DeepChat{EndPhrase: "[DONE]"},
	} {
		out := reply.NewOutbox(reply.Discard{}, true, nil)
		for _, off := range []int{2, 6} {
			at, _ := r.At(off)
			p := at.Next(1 << 10)
			say := func() {
				enc.Text(out, r, &at, p)
				_, _ = out.Flush(true)
			}
			say() // begins the part
			if n := testing.AllocsPerRun(100, say); n != 0 {
				t.Errorf("%s: %v allocations for a token of part %x", name, n, at.Part())
			}
		}
	}
}

func BenchmarkToken(b *testing.B) {
	m := session.Message{ID: uuid.New(), Role: session.Assistant, Content: "a token"}
	r := reply.Stored(session.Ref{}, &m)
	out := reply.NewOutbox(reply.Discard{}, true, nil)
	enc := &ChatHub{}
	for b.Loop() {
		at, _ := r.At(0)
		p := at.Next(1 << 10)
		enc.Text(out, r, &at, p)
		_, _ = out.Flush(true)
	}
}
