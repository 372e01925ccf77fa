package llm

import (
	"context"
	"testing"

	"github.com/tmc/langchaingo/llms"
)

// TestOrderOfThoughts: thoughts and text are handed on in the order in which they
// came, however many of them one read or one event brings.
func TestOrderOfThoughts(t *testing.T) {
	const (
		hm, ah    = `{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}`, `{"type":"thinking","thinking":"ah"}`
		one, two  = `{"type":"text","text":"one"}`, `{"type":"text","text":"two"}`
		reasoning = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\",\"reasoning_content\":\"hm\"},\"finish_reason\":null}]}\n\n"
		dropped   = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[" + one + "," + hm + "],\"content\":[" + hm + "," + one + "]},\"finish_reason\":null}]}\n\n"
	)
	for _, test := range []struct{ name, body, want string }{
		{"events", event(`[`+hm+`]`) + event(`"one"`) + event(`[`+ah+`]`) + event(`"two"`), "(hm)one(ah)two"},
		{"one event", event(`[` + hm + `,` + one + `,` + ah + `,` + two + `]`), "(hm)one(ah)two"},
		{"text first", event(`[` + one + `,` + hm + `,` + ah + `,` + two + `]`), "one(hmah)two"},
		{"text before it", event(`"one"`) + event(`[`+hm+`,`+two+`,`+ah+`]`), "one(hm)two(ah)"},
		{"nothing between", event(`[` + one + `,{"type":"thinking","thinking":[]},` + two + `]`), "onetwo"},
		{"halves", event(`"\ud83d"`) + event(`[`+hm+`]`) + event(`"\udc4b"`) + event(`[`+ah+`,"!"]`), "(hm)👋(ah)!"},
		{"a member of its own", reasoning, "(hm)one"},
		{"a content that is void", dropped, "(hm)one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := serve(t, streams(test.body+finish("stop")))
			var got string
			say := func(thought, text string) {
				if n := len(got); thought != "" && n > 0 && got[n-1] == ')' {
					got = got[:n-1] + thought + ")"
				} else if thought != "" {
					got += "(" + thought + ")"
				}
				got += text
			}
			_, err := m.GenerateContent(t.Context(), ask,
				llms.WithStreamingFunc(func(_ context.Context, text []byte) error { say("", string(text)); return nil }),
				llms.WithStreamingReasoningFunc(func(_ context.Context, thought, _ []byte) error { say(string(thought), ""); return nil }))
			if err != nil || got != test.want {
				t.Errorf("got %q, want %q (%v)", got, test.want, err)
			}
		})
	}
}
