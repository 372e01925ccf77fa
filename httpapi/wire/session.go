package wire

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"

	"lumos/backend/session"
)

// sessionPiece is how much of a session is encoded before it is written.
const sessionPiece = 16 << 10

// WriteSession writes a ChatSession of the contract in pieces: a reader that stalls
// holds one of them, and not the conversation once more. Errors: w's.
func WriteSession(w io.Writer, s session.Session) error {
	messages := s.Messages
	s.Messages = []session.Message{}
	out := bufio.NewWriterSize(w, sessionPiece)
	head, tail := around(AppendJSON(nil, s), `"messages":[`)
	out.Write(head)
	for i, m := range messages {
		if i > 0 {
			out.WriteByte(',')
		}
		writeMessage(out, m)
	}
	out.Write(tail)
	out.WriteByte('\n')
	return out.Flush() // after an error of w's it returns that, and everything else is dropped
}

// around splits JSON after the first occurrence of what.
func around(text []byte, what string) (head, tail []byte) {
	i := bytes.Index(text, []byte(what)) + len(what)
	return text[:i], text[i:]
}

// writeMessage writes a MessageHistory, whose content may be long.
func writeMessage(out *bufio.Writer, m session.Message) {
	content := m.Content
	m.Content = ""
	head, tail := around(AppendJSON(nil, m), `"content":"`)
	out.Write(head)
	for part := range session.PartsOf(content, session.PartText) {
		writeText(out, part)
	}
	before := `","reasoning":"`
	for part := range session.PartsOf(content, session.PartReasoning) {
		out.WriteString(before)
		writeText(out, part)
		before = `\n\n`
	}
	out.Write(tail)
}

// writeText writes s as the inside of a JSON string.
func writeText(out *bufio.Writer, s string) {
	for len(s) > 0 {
		room := max(out.Available(), utf8.UTFMax)
		n := session.RuneBoundary([]byte(s[:min(len(s), room+1)]), room)
		if _, err := out.Write(appendText(out.AvailableBuffer(), []byte(s[:n]))); err != nil {
			return
		}
		s = s[n:]
	}
}
