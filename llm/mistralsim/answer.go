package mistralsim

import (
	"context"
	"io"
	"maps"
	"net/http"
	"time"
)

// Answer is what the model says to a request, at what pace, and what goes
// wrong on the way. The zero value is an empty reply; an Answer may be shared
// between requests, since nothing writes to it.
//
// Tokens are counted from 0 and include those that echo a prefix. In front of
// one token Event comes first, then Hold, then Stall, then CutTokens; what is to
// happen after more tokens than the reply has happens before its finish_reason.
// A reply that is not streamed has no Event and no Chunk, and all of it is
// written when its last token is due.
type Answer struct {
	// Text is all that the model means to say; "": the Tokens joined. To a
	// request with a prefix the reply begins with it: Text is taken to include
	// it, and when Text does not begin with it, it is put in front.
	Text string
	// Tokens is how Text is split. Nil: pieces of 2 to 8 bytes, never cut
	// inside a character, cut anew for every request.
	Tokens []string

	// FirstToken is the wait before the first token, Pace the one between
	// tokens, on an absolute schedule: a late token does not delay the next.
	// The echo of a prefix comes whole with the first token.
	FirstToken, Pace time.Duration
	// Flush is how many tokens are written at a time (0: 1).
	Flush int
	// Join is how many tokens one chunk of a stream carries (0: 1). What is to
	// happen in front of a token ends a chunk before it.
	Join int
	// Thoughts are what the model thinks before it speaks, a token each, in chunks of
	// thinking. They come before token 0 and count towards max_tokens. What comes in
	// front of tokens that echo a prefix is not thought again, and nothing is in a reply
	// that is not streamed.
	Thoughts []string
	// Between are more thoughts, each in front of the token with its number.
	Between map[int][]string
	// KeepAlive is how often a comment is sent while a stream waits or stalls. 0: never.
	KeepAlive time.Duration
	// ContentType is what a stream is typed as. "": text/event-stream.
	ContentType string
	// Split cuts every token inside its first character beyond the Basic
	// Multilingual Plane: one chunk ends in the first half of its surrogate pair, the
	// next begins with the second.
	Split bool
	// ASCII escapes every character beyond ASCII (\u and four digits, in pairs
	// where needed), so that cuts fall inside escapes.
	ASCII bool

	// Status, when not 0, is sent instead of a reply, with Header and Body
	// verbatim, after FirstToken. See Unauthorized, RateLimited and so on.
	Status int
	Header http.Header
	Body   string

	// Finish is the finish_reason ("": "stop", or "length" when max_tokens
	// cuts the reply).
	Finish string
	// NoFinish leaves the finish_reason out, and with it the chunk that has it and
	// the usage: some gateways end with [DONE] alone.
	NoFinish bool
	// FinishWithText puts the last token and the finish_reason into one chunk,
	// so that nothing else can happen in between.
	FinishWithText bool
	// Usage replaces the computed usage.
	Usage *Usage
	// NoDone ends the body, properly, without [DONE].
	NoDone bool

	// CutBytes, when positive, ends the connection after so many bytes of the
	// body; after its last byte when it has fewer.
	CutBytes int
	// CutTokens, when positive, ends the connection after so many tokens.
	CutTokens int
	// CleanEnd lets a cut end the body properly, as if it were whole.
	CleanEnd bool
	// Reset lets a cut be a TCP reset, which may take the last bytes with it,
	// where the connection is HTTP/1.1 without TLS.
	Reset bool

	// Stall hangs until the client leaves.
	Stall Stall
	// StallAfter is the number of tokens in front of a StallTokens; 0: only
	// the first, empty chunk.
	StallAfter int

	// Event is written verbatim, framing included, after EventAfter tokens:
	// an error object (see ErrorEvent), a comment.
	Event      string
	EventAfter int

	// Chunk, when not nil, may replace a chunk's JSON: that of token i, of the
	// first chunk, which has the role (i = -1), and of the last, which has the
	// finish_reason (i = the number of tokens, token ""). "": as usual.
	Chunk func(i int, token string) string
	// Hold, when not nil, is called before token i is written (before the
	// finish_reason: i = the number of tokens), after everything in front of
	// it was flushed. It may wait, but not beyond ctx, which ends when the
	// client leaves.
	Hold func(ctx context.Context, i int)
}

// Stall is where a reply hangs.
type Stall int

const (
	NoStall      Stall = iota
	StallHeaders       // before anything is sent, the header included
	StallTokens        // after StallAfter tokens
)

// Usage is the token count of a reply.
type Usage struct {
	PromptTokens, CompletionTokens int
	CachedTokens                   int // of the prompt; 0 is not told
}

// write sends an answer that has a Status.
func (a *Answer) write(w http.ResponseWriter) {
	a.header(w)
	io.WriteString(w, a.Body) // the client may be gone: nobody to tell
}

// header sends the status line and the header of an answer that has a Status.
func (a *Answer) header(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
}
