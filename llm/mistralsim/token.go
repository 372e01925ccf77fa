package mistralsim

import (
	"strings"
	"unicode/utf8"
)

// tokens yields the tokens of one reply, in order, without copying text.
type tokens struct {
	text  string   // cut as it goes, when list is nil
	list  []string // the tokens as the Answer gave them
	next  int      // index into list
	pos   int      // bytes yielded
	echo  int      // bytes at the head that repeat the request's prefix
	limit int      // max_tokens; 0: none
	fresh int      // tokens yielded that say something beyond the echo
	rnd   random
}

// newTokens plans the reply to a request: it begins with the request's prefix,
// ends before a stop sequence, and has at most max_tokens beyond the prefix.
func newTokens(r *Request, a *Answer) tokens {
	t := tokens{text: a.Text, list: a.Tokens, limit: r.MaxTokens, rnd: newRandom(r.N)}
	if prefix := r.Prefix(); prefix != "" {
		t.begin(prefix)
	}
	if len(r.Stop) > 0 {
		t.stop(r.Stop)
	}
	return t
}

// begin makes the reply start with prefix.
func (t *tokens) begin(prefix string) {
	t.echo = len(prefix)
	if t.text == "" {
		t.text = strings.Join(t.list, "")
	}
	if strings.HasPrefix(t.text, prefix) {
		return
	}
	t.text = prefix + t.text
	if t.list != nil {
		t.list = append([]string{prefix}, t.list...)
	}
}

// stop ends the reply where the first of the sequences would begin.
func (t *tokens) stop(sequences []string) {
	text := t.text
	if text == "" {
		text = strings.Join(t.list, "")
	}
	end := len(text)
	for _, s := range sequences {
		if s == "" {
			continue
		}
		if i := strings.Index(text[t.echo:], s); i >= 0 {
			end = min(end, t.echo+i)
		}
	}
	if end < len(text) {
		t.text, t.list = text[:end], nil
	}
}

// whole reports whether the reply has been yielded to its end.
func (t *tokens) whole() bool {
	if t.list != nil {
		return t.next == len(t.list)
	}
	return t.pos == len(t.text)
}

// more reports whether another token follows.
func (t *tokens) more() bool {
	return !t.whole() && t.room()
}

// room reports whether max_tokens allows another token.
func (t *tokens) room() bool { return t.limit == 0 || t.fresh < t.limit }

// take returns the next token; more must have said that there is one.
func (t *tokens) take() string {
	var token string
	if t.list != nil {
		token = t.list[t.next]
		t.next++
	} else {
		token = t.text[t.pos : t.pos+t.cut(t.text[t.pos:])]
	}
	t.pos += len(token)
	if t.pos > t.echo {
		t.fresh++
	}
	return token
}

// cut returns how many bytes of text, which is not empty, the next token has:
// 2 to 8, about 5, and never a part of a character.
func (t *tokens) cut(text string) int {
	n := 2 + int(t.rnd.next()%7)
	if n >= len(text) {
		return len(text)
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	if n == 0 {
		_, n = utf8.DecodeRuneInString(text)
	}
	return n
}

// countTokens estimates the tokens of a text: one for every four bytes.
func countTokens(text string) int { return (len(text) + 3) / 4 }
