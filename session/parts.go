package session

import (
	"encoding/json"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A reply's content may have parts: text and reasoning. In the stored string each part
// begins with a mark of two bytes, Mark and the part's kind. UTF-8 has no byte Mark, and a
// kind looks like a continuation byte: so code that cuts at characters never cuts a mark. A
// reply that begins with text has no mark there. Adjacent parts differ in kind, and no mark
// is at the end.

// Mark is the first byte of a part's mark.
const Mark = 0xFF

// markLen is how long a mark is.
const markLen = 2

// Part is a kind of part, as it stands in a mark.
type Part byte

// The kinds of parts.
const (
	PartText      Part = 0x80
	PartReasoning Part = 0x81
)

// AppendMark appends the mark of a part.
func AppendMark(dst []byte, p Part) []byte { return append(dst, Mark, byte(p)) }

// Text returns the message's text, without reasoning.
func (m *Message) Text() string { return TextOf(m.Content) }

// Reasoning returns the message's reasoning, its parts joined by a blank line; "": none.
func (m *Message) Reasoning() string { return partsOf(m.Content, PartReasoning, "\n\n") }

// TextOf returns the text of a stored content.
func TextOf(content string) string {
	if strings.IndexByte(content, Mark) < 0 {
		return content
	}
	return partsOf(content, PartText, "")
}

// SizeOf returns how many bytes a stored content has without its marks.
func SizeOf(content string) int {
	return len(content) - markLen*strings.Count(content, string([]byte{Mark}))
}

// LastPart returns the kind of a stored content's last part.
func LastPart(content string) Part {
	if i := strings.LastIndexByte(content, Mark); i >= 0 && i+1 < len(content) {
		return Part(content[i+1])
	}
	return PartText
}

// PartsOf returns a stored content's parts of a kind, in order, without copying them.
func PartsOf(content string, kind Part) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := PartText; ; {
			said, rest, _ := strings.Cut(content, "\xff") // Mark
			if part == kind && said != "" && !yield(said) {
				return
			}
			if rest == "" {
				return
			}
			part, content = Part(rest[0]), rest[1:]
		}
	}
}

// partsOf joins a content's parts of a kind.
func partsOf(content string, kind Part, between string) string {
	var s strings.Builder
	for part := range PartsOf(content, kind) {
		if s.Len() > 0 {
			s.WriteString(between)
		}
		s.WriteString(part)
	}
	return s.String()
}

// MarshalJSON returns MessageHistory of the contract.
func (m Message) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Role         Role      `json:"role"`
		Content      string    `json:"content"`
		Reasoning    string    `json:"reasoning,omitempty"`
		Timestamp    time.Time `json:"timestamp"`
		ID           uuid.UUID `json:"id"`
		FinishReason string    `json:"finish_reason,omitempty"`
	}{m.Role, m.Text(), m.Reasoning(), m.Timestamp, m.ID, m.FinishReason})
}

// RuneBoundary returns the length of the longest prefix of p, at most limit bytes, that does
// not cut a character.
func RuneBoundary(p []byte, limit int) int {
	if len(p) <= limit {
		return len(p)
	}
	for n := limit; n > 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(p[n]) {
			return n
		}
	}
	return limit
}

// maxTorn is the most that wholeRunes leaves out, in bytes.
const maxTorn = utf8.UTFMax - 1 + markLen

// wholeRunes returns how much of p is whole characters: a failover or a crash can cut inside
// one. A mark at the end does not count, so that no part is empty.
func wholeRunes(p []byte) int {
	n := len(p)
	for i := 1; i <= min(len(p), utf8.UTFMax-1); i++ {
		if c := p[len(p)-i]; utf8.RuneStart(c) {
			if c == Mark && i == 1 || c != Mark && !utf8.FullRune(p[len(p)-i:]) {
				n -= i
			}
			break
		}
	}
	if n >= markLen && p[n-markLen] == Mark {
		n -= markLen
	}
	return n
}
