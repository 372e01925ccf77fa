package mistralsim

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// Message is one message of a request.
type Message struct {
	Role    string // system, user, assistant or tool
	Content string // the text; of a content array, its text chunks joined
	Prefix  bool   // on the last assistant message: go on from this text
}

// Request is one request to chat completions that passed every check. Its
// fields do not change once it was handed out.
type Request struct {
	N         int // 1 for the first that the server saw
	Model     string
	Messages  []Message
	Stream    bool
	MaxTokens int      // 0: not given
	CacheKey  string   // prompt_cache_key
	Stop      []string // stop sequences
	Effort    string   // reasoning_effort; "": not given
	Header    http.Header
	Body      []byte // as it came

	cached int // tokens of the prompt that the last one with its CacheKey began with, too
	said   int // where in the last message of the user's begins what was said last
	done   chan struct{}
	gone   atomic.Int64 // Unix nanoseconds; 0: the client was not seen to go
	sent   atomic.Int64
}

// LastUser returns what the user said last, "" when that is nothing. Of a message
// that begins with the last one of the prompt before and an empty line (a client
// may join what was said in a row), it is what follows, if both have one CacheKey.
func (r *Request) LastUser() string { return r.lastUser()[r.said:] }

func (r *Request) lastUser() string { return lastUser(r.Messages) }

func lastUser(messages []Message) string {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == "user" {
			return messages[i].Content
		}
	}
	return ""
}

// Prefix returns the text that the reply is to go on from: the content of a
// trailing assistant message with prefix, without trailing white space (the
// tokenizer of the real service drops it). "": an ordinary request.
func (r *Request) Prefix() string {
	if len(r.Messages) == 0 {
		return ""
	}
	last := r.Messages[len(r.Messages)-1]
	if !last.Prefix {
		return ""
	}
	return strings.TrimRightFunc(last.Content, unicode.IsSpace)
}

// Done is closed when the request's handler has returned.
func (r *Request) Done() <-chan struct{} { return r.done }

// Gone tells when the client was seen to be gone before the reply was whole;
// the zero time: it was not. Final once Done is closed.
func (r *Request) Gone() time.Time {
	if n := r.gone.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// Sent returns how many tokens have been written to the connection so far,
// the echo of a prefix included.
func (r *Request) Sent() int { return int(r.sent.Load()) }

// PromptTokens returns how many tokens the prompt has, and how many of them were in
// the cache: what a prompt has in common with the last one of the same CacheKey.
func (r *Request) PromptTokens() (all, cached int) { return r.promptTokens(), r.cached }

// promptTokens estimates what the messages cost: four bytes a token, and a few
// for each message's frame.
func (r *Request) promptTokens() int {
	n := 1
	for _, m := range r.Messages {
		n += countTokens(m.Content) + 3
	}
	return n
}
