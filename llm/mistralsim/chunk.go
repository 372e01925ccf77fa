package mistralsim

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// framer writes the events of one streamed reply. It appends to what it is
// given and allocates nothing per event.
type framer struct {
	head    []byte // an event up to the content of its delta
	ascii   bool
	split   bool
	padding bool
	rnd     random
}

func newFramer(id, model string, created int64) framer {
	f := framer{}
	f.head = append(f.head, `data: {"id":"`...)
	f.head = append(f.head, id...)
	f.head = append(f.head, `","object":"chat.completion.chunk","created":`...)
	f.head = strconv.AppendInt(f.head, created, 10)
	f.head = append(f.head, `,"model":`...)
	f.head = appendString(f.head, model, false)
	f.head = append(f.head, `,"choices":[{"index":0,"delta":{`...)
	return f
}

// role appends the first event: the role and an empty text.
func (f *framer) role(b []byte) []byte {
	b = append(b, f.head...)
	return append(b, `"role":"assistant","content":""},"finish_reason":null}]}`+"\n\n"...)
}

// thought appends the event of one token that is thought.
func (f *framer) thought(b []byte, thought string) []byte {
	b = append(b, f.head...)
	b = append(b, `"content":[{"type":"thinking","thinking":[{"type":"text","text":"`...)
	b = appendEscaped(b, thought, f.ascii)
	b = append(b, `"}]}]},"finish_reason":null}]`...)
	return f.end(b)
}

// halves appends the events of a token that is cut inside a surrogate pair, the
// first it has.
func (f *framer) halves(b []byte, token string) []byte {
	at := strings.IndexFunc(token, func(r rune) bool { return r > 0xffff })
	r, n := utf8.DecodeRuneInString(token[at:])
	high, low := utf16.EncodeRune(r)
	for _, half := range []struct {
		before, after string
		unit          rune
	}{{token[:at], "", high}, {"", token[at+n:], low}} {
		b = append(b, f.head...)
		b = append(b, `"content":"`...)
		b = appendUnit(appendEscaped(b, half.before, f.ascii), half.unit)
		b = appendEscaped(b, half.after, f.ascii)
		b = append(b, `"},"finish_reason":null}]`...)
		b = f.end(b)
	}
	return b
}

// token appends the event of one token.
func (f *framer) token(b []byte, token string) []byte {
	if f.split && strings.ContainsFunc(token, func(r rune) bool { return r > 0xffff }) {
		return f.halves(b, token)
	}
	b = append(b, f.head...)
	b = append(b, `"content":"`...)
	b = appendEscaped(b, token, f.ascii)
	b = append(b, `"},"finish_reason":null}]`...)
	return f.end(b)
}

// last appends the event with the finish_reason, the usage and perhaps a text.
func (f *framer) last(b []byte, token, finish string, u Usage) []byte {
	b = append(b, f.head...)
	b = append(b, `"content":"`...)
	b = appendEscaped(b, token, f.ascii)
	b = append(b, `"},"finish_reason":`...)
	b = appendString(b, finish, false)
	b = append(b, `}],"usage":`...)
	b = u.append(b)
	return f.end(b)
}

// letters is what the padding is cut from.
const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

// end appends the padding and the end of an event.
func (f *framer) end(b []byte) []byte {
	if f.padding {
		b = append(b, `,"p":"`...)
		b = append(b, letters[:1+f.rnd.next()%uint64(len(letters))]...)
		b = append(b, '"')
	}
	return append(b, "}\n\n"...)
}

// appendWhole appends the body of a reply that is not streamed.
func appendWhole(b []byte, p *reply, text []byte) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, p.id...)
	b = append(b, `","created":`...)
	b = strconv.AppendInt(b, p.created, 10)
	b = append(b, `,"model":`...)
	b = appendString(b, p.req.Model, false)
	b = append(b, `,"usage":`...)
	b = p.used().append(b)
	b = append(b, `,"object":"chat.completion","choices":[{"index":0,"finish_reason":`...)
	b = appendString(b, p.reason(), false)
	b = append(b, `,"message":{"role":"assistant","tool_calls":null,"content":`...)
	b = appendString(b, string(text), p.ans.ASCII)
	return append(b, `}}]}`...)
}

func (u Usage) append(b []byte) []byte {
	b = append(b, `{"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(u.PromptTokens), 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(u.PromptTokens+u.CompletionTokens), 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, int64(u.CompletionTokens), 10)
	if u.CachedTokens > 0 {
		b = append(b, `,"prompt_tokens_details":{"cached_tokens":`...)
		b = strconv.AppendInt(b, int64(u.CachedTokens), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}
