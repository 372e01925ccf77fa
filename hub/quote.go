package hub

import "strings"

const (
	// quoteLen is how many bytes in a row are no coincidence.
	quoteLen = 8
	// maxLogged is how much of an error is logged, in bytes.
	maxLogged = 500
)

// unquoted returns text for the log, without what it repeats of the messages
// of a conversation: a model's service may well quote in an error what it
// does not accept.
func unquoted(text string, messages []string) string {
	if len(text) > maxLogged {
		text = text[:maxLogged]
	}
	hidden := make([]bool, len(text))
	hide := func(part string) {
		for from := 0; ; from++ {
			at := strings.Index(text[from:], part)
			if at < 0 {
				return
			}
			from += at
			for i := range len(part) {
				hidden[from+i] = true
			}
		}
	}
	for _, m := range messages {
		if m = strings.TrimSpace(m); m != "" && len(m) < quoteLen {
			hide(m)
		}
		for i := 0; i+quoteLen <= len(text); i++ {
			if part := text[i : i+quoteLen]; strings.Contains(m, part) {
				hide(part)
			}
		}
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			out.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			out.WriteString("…")
		}
	}
	return strings.ToValidUTF8(out.String(), "")
}
