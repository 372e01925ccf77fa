package httpapi_test

import (
	"fmt"
	"strings"
)

// differs says what the page holds otherwise than the conversation, "" for
// nothing. A page that was told that there is more holds the newest.
func (p *refPage) differs(stored []*refMessage) string {
	held := p.messages
	if p.more {
		stored = stored[max(0, len(stored)-len(held)):]
	}
	if len(held) != len(stored) {
		return fmt.Sprintf("it holds %d messages of %d", len(held), len(stored))
	}
	for i, h := range held {
		s := stored[i]
		same := h.ID == s.ID && h.Role == s.Role && h.FinishReason == s.FinishReason && !h.partial &&
			(h.Timestamp == nil || h.Timestamp.Equal(*s.Timestamp))
		if !same {
			return fmt.Sprintf("message %d: it holds %+v, stored is %+v", i, brief(h), brief(s))
		}
		if h.Content != s.Content {
			return fmt.Sprintf("message %d: %s", i, textDiff(h.Content, s.Content))
		}
		if p.thinks && h.Reasoning != s.Reasoning {
			return fmt.Sprintf("message %d, reasoning: %s", i, textDiff(h.Reasoning, s.Reasoning))
		}
	}
	return ""
}

func brief(m *refMessage) refMessage {
	b := *m
	b.Content = strings.ToValidUTF8(b.Content[:min(len(b.Content), 40)], "")
	return b
}

// textDiff says where two texts part.
func textDiff(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	from := max(0, n-20)
	return fmt.Sprintf("the text has %d bytes of %d, and differs at byte %d: %q, want %q",
		len(got), len(want), n, got[from:min(len(got), n+20)], want[from:min(len(want), n+20)])
}
