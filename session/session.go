// Package session keeps conversations: their messages, which reply is being written and
// the text of it so far, and when they expire.
//
//   - A Conversation is a value, and a Change is all that ever happens to it. A
//     step (say, finish, stop, take and so on, in steps.go) is a plain function
//     that looks at the conversation and says which change is still missing.
//   - Manager is the engine: it has a Backend commit that change if the
//     conversation is still the one that the step saw, and asks the step again
//     until nothing is missing. So every step may be repeated, and a race is one
//     more turn of that loop.
//   - Text is a running reply: bytes that only grow, followed by offset.
//   - A Backend stores, and understands nothing: memory here, and filestore and
//     redisstore beside this package.
package session

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// Role says who speaks.
type Role string

// The two roles that a conversation has; the system prompt is no part of it.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// The reasons why a reply ended, as the contract names them (httpapi/PROTOCOL.md).
const (
	FinishStop          = "stop"
	FinishLength        = "length"
	FinishContentFilter = "content-filter"
	FinishOther         = "other"
	FinishStopped       = "stopped"
	FinishError         = "error"
)

// The errors of a conversation's steps.
var (
	// ErrNotFound: there is no such session, or it expired or was deleted.
	ErrNotFound = errors.New("session: not found")
	// ErrBusy: a reply is running, and a conversation has one at a time.
	ErrBusy = errors.New("session: a reply is running")
	// ErrReused: the message id was used before, with another text.
	ErrReused = errors.New("session: the message id was used for another text")
	// ErrNothing: there is no reply to regenerate, or no message to follow.
	ErrNothing = errors.New("session: no such message")
	// ErrChanged: a page shows another conversation than the one that is stored.
	ErrChanged = errors.New("session: the page shows another conversation")
	// ErrLost: the reply is not the running one any more, or another fence may write it.
	ErrLost = errors.New("session: the right to write the reply is lost")
	// ErrLong: the conversation has as many messages, or bytes, as it may.
	ErrLong = errors.New("session: the conversation is full")
	// ErrFull: the store holds as much as it may.
	ErrFull = errors.New("session: the store is full")
	// ErrTaken: another connection has the conversation, and keeps it.
	ErrTaken = errors.New("session: another connection has the conversation")
	// ErrGivenUp: the new connection's peer does not answer (Claim.Responds).
	ErrGivenUp = errors.New("session: the connection was given up")
	// ErrUnfollowed ends a text that another node writes and nobody here follows.
	// Manager.Follow begins a new one.
	ErrUnfollowed = errors.New("session: nobody followed the text")
	// ErrUnavailable: the store could not be reached; nothing is known of the step.
	ErrUnavailable = errors.New("session: the store cannot be reached")
	// ErrConflict is a Backend's: the stored conversation has another version than the
	// change was made from. The engine loads it and calls the step again.
	ErrConflict = errors.New("session: the conversation has changed")
)

// Usage counts the tokens that one reply cost.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CachedTokens     int `json:"cached_tokens,omitempty"` // of PromptTokens, by the service's count
}

// Message is one thing said. It does not change. MarshalJSON makes it MessageHistory of the
// contract, which has only some of the fields.
type Message struct {
	Role         Role
	Content      string
	Timestamp    time.Time
	ID           uuid.UUID // an edit has the id of the message that it replaces
	FinishReason string

	Seq     int64  // its name and order: grows, and is never given twice
	Parent  int64  // Seq of the message that it follows; 0: it is a first one
	Version string // of the change that added it

	// Of a reply.
	Model    string
	Usage    *Usage  // nil: the model did not tell
	Estimate int     // tokens of the prompt as the hub estimated them, see llm.Window
	Failure  string  // the contract's error code, if FinishReason is error
	Retry    int     // with Failure: seconds until it may be tried again; 0: not known
	Epochs   []Epoch // one for each time that it was taken over
}

// Position returns the place right after m.
func (m Message) Position() Position { return Position{ID: m.ID, Seq: m.Seq} }

// Position is a place in a conversation: right after a message. The zero Position is before
// the first. Seq may be 0 if only the id is known.
type Position struct {
	ID  uuid.UUID
	Seq int64
}

// Ref names one incarnation of a session. A session that was deleted or has
// expired can be made again under its id, by somebody else: it then has another
// Born, and no step that names the first one reaches it.
type Ref struct {
	ID   uuid.UUID
	Born string // random, made with the session
}

// Session is a snapshot of a conversation as clients see it. Its Messages are shared and
// must not be changed.
type Session struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Messages  []Message `json:"messages"` // of the path, after After, without the running reply

	// After is the position just before Messages: the last message that the path
	// shares with the position asked for.
	After   Position `json:"-"`
	Running *Running `json:"-"` // nil: none
	Seq     int64    `json:"-"` // Head.Seq
	Owner   string   `json:"-"` // the token's subject that made it; "": nobody's
	Born    string   `json:"-"` // see Ref
}

// Ref returns the name of s's incarnation, which every step takes.
func (s *Session) Ref() Ref { return Ref{ID: s.ID, Born: s.Born} }

// Last returns the place right after the last message of s.
func (s *Session) Last() Position {
	if n := len(s.Messages); n > 0 {
		return s.Messages[n-1].Position()
	}
	return s.After
}

// Now is the time that messages are stamped with: UTC, whole milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
