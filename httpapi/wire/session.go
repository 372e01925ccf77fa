package wire

import (
	"bytes"
	"io"

	"lumos/backend/session"
)

// sessionPiece is how much of a session is encoded before it is written, about.
const sessionPiece = 16 << 10

// WriteSession writes a ChatSession of the contract in pieces: a reader that stalls
// holds one of them, and not the conversation once more. Errors: w's.
func WriteSession(w io.Writer, s session.Session) error {
	messages := s.Messages
	s.Messages = []session.Message{}
	p := pieces{w: w}
	head, tail := around(AppendJSON(nil, s), `"messages":[`)
	p.put(head)
	for i, m := range messages {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.message(m)
	}
	p.put(tail)
	p.put([]byte("\n"))
	p.flush()
	return p.err
}

// around splits JSON after the first occurrence of what.
func around(text []byte, what string) (head, tail []byte) {
	i := bytes.Index(text, []byte(what)) + len(what)
	return text[:i], text[i:]
}

// pieces gathers what is written. Behind an error it drops everything.
type pieces struct {
	w   io.Writer
	buf []byte
	err error
}

func (p *pieces) put(b []byte) {
	p.buf = append(p.buf, b...)
	if len(p.buf) >= sessionPiece {
		p.flush()
	}
}

func (p *pieces) flush() {
	if p.err == nil {
		_, p.err = p.w.Write(p.buf)
	}
	p.buf = p.buf[:0]
}

// message encodes a MessageHistory, whose content may be long.
func (p *pieces) message(m session.Message) {
	content := m.Content
	m.Content = ""
	head, tail := around(AppendJSON(nil, m), `"content":"`)
	p.put(head)
	for part := range session.PartsOf(content, session.PartText) {
		p.text(part)
	}
	before := `","reasoning":"`
	for part := range session.PartsOf(content, session.PartReasoning) {
		p.put([]byte(before))
		p.text(part)
		before = `\n\n`
	}
	p.put(tail)
}

// text encodes s as the inside of a JSON string.
func (p *pieces) text(s string) {
	for len(s) > 0 && p.err == nil {
		n := session.RuneBoundary([]byte(s[:min(len(s), sessionPiece+1)]), sessionPiece)
		p.buf = appendText(p.buf, []byte(s[:n]))
		p.put(nil)
		s = s[n:]
	}
}
