package llm

import (
	"bytes"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errNoEcho is an answer to a request with a prefix that does not begin with it.
var errNoEcho = errors.New("the answer does not begin with the given text")

// To continue an answer, its beginning is sent as the last message, with "prefix": true.
// Mistral's tokenizer strips white space at its end, so it is sent without, and the new answer
// repeats it (MISTRAL.md section 1): that echo is cut, and so is white space that the model
// writes again after it.

// echo cuts from the answer what the caller already has: the text that was sent, and white
// space around its end.
type echo struct {
	sent  string // what the answer has yet to repeat, without white space at both ends
	given string // white space at the end of the caller's text

	optional bool   // the answer need not repeat the text
	held     []byte // the repetition so far, if it is optional

	head  []byte // white space of the answer that is held until more follows
	begun bool   // the first byte of sent was seen
	done  bool   // nothing more is cut
}

// newEcho returns the text to send as prefix ("": none) and the echo for its answer. text is
// all that the caller has.
func newEcho(text string) (sent string, e echo) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	sent = strings.TrimRightFunc(text, unicode.IsSpace)
	e = echo{sent: strings.TrimLeftFunc(sent, unicode.IsSpace), given: text[len(sent):]}
	e.done = text == ""
	return sent, e
}

// cut returns what of b, the next bytes of the answer, is new to the caller. It
// may return bytes of an earlier call before it; they are valid until the next.
// b has to hold whole characters.
func (e *echo) cut(b []byte) ([]byte, error) {
	if e.done {
		return b, nil
	}
	if e.sent != "" {
		if e.optional {
			e.held = append(e.held, b...)
		}
		if !e.begun {
			// A tokenizer may drop or add a space before the very first word.
			b = bytes.TrimLeftFunc(b, unicode.IsSpace)
			e.begun = len(b) > 0
		}
		n := min(len(b), len(e.sent))
		if string(b[:n]) != e.sent[:n] {
			if e.optional { // the answer continues without a repetition
				e.sent = ""
				return e.space(e.held)
			}
			return nil, errNoEcho
		}
		b, e.sent = b[n:], e.sent[n:]
		if e.sent != "" {
			return nil, nil
		}
	}
	return e.space(b)
}

// space cuts white space that the caller already has from the beginning of b, the new text.
func (e *echo) space(b []byte) ([]byte, error) {
	for len(b) > 0 && len(e.head) < len(e.given) {
		r, n := utf8.DecodeRune(b)
		if !unicode.IsSpace(r) {
			break
		}
		e.head = append(e.head, b[:n]...)
		b = b[n:]
	}
	if len(b) == 0 && len(e.head) < len(e.given) {
		return nil, nil
	}
	e.done = true
	return append(e.head[e.overlap():], b...), nil
}

// rest returns what is still held at the end of the answer. An answer that ended inside the
// echo, or without one, has nothing new, unless the echo was optional.
func (e *echo) rest() []byte {
	if e.done {
		return nil
	}
	if e.sent != "" {
		return e.held
	}
	e.done = true
	return e.head[e.overlap():]
}

// ended reports whether the answer has repeated all of the given text.
func (e *echo) ended() bool { return e.done || e.sent == "" }

// overlap returns how many bytes of the head's beginning the caller's text already has: at its
// end, or after its last word.
func (e *echo) overlap() int {
	for n := min(len(e.head), len(e.given)); n > 0; n-- {
		if n < len(e.head) && !utf8.RuneStart(e.head[n]) {
			continue
		}
		head := string(e.head[:n])
		if strings.HasSuffix(e.given, head) || strings.HasPrefix(e.given, head) {
			return n
		}
	}
	return 0
}
