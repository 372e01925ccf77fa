// Package session keeps conversations: who said what, which reply is being
// written, its text as far as it is written, and for how long all that is
// remembered.
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

// What the steps of a conversation can answer instead of being done.
var (
	// ErrNotFound: there is no such session, or it expired or was deleted.
	ErrNotFound = errors.New("session: not found")
	// ErrBusy: a reply is running, and a conversation has one at a time.
	ErrBusy = errors.New("session: a reply is running")
	// ErrReused: the message id was used before, with another text.
	ErrReused = errors.New("session: the message id was used for another text")
	// ErrNothing: there is no reply that could be written anew, or no message to follow.
	ErrNothing = errors.New("session: no such message")
	// ErrChanged: a page shows another conversation than the one that is stored.
	ErrChanged = errors.New("session: the page shows another conversation")
	// ErrLost: the reply is no longer the one that is being written, or not by this fence.
	ErrLost = errors.New("session: the right to write the reply is lost")
	// ErrLong: the conversation has as many messages, or bytes, as it may.
	ErrLong = errors.New("session: the conversation is full")
	// ErrFull: the store holds as much as it may.
	ErrFull = errors.New("session: the store is full")
	// ErrTaken: another connection has the conversation, and keeps it.
	ErrTaken = errors.New("session: another connection has the conversation")
	// ErrGivenUp: the connection's peer is not there any more, as far as is known.
	ErrGivenUp = errors.New("session: the connection was given up")
	// ErrUnfollowed ends a text that another node writes and nobody here follows.
	// Manager.Follow begins a new one.
	ErrUnfollowed = errors.New("session: nobody followed the text")
	// ErrUnavailable: the store could not be reached; nothing is known of the step.
	ErrUnavailable = errors.New("session: the store cannot be reached")
	// ErrConflict is a Backend's: the conversation is not the one that the change
	// was made of. The engine loads it and asks the step again.
	ErrConflict = errors.New("session: the conversation has changed")
)

// Usage counts the tokens that one reply cost.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CachedTokens     int `json:"cached_tokens,omitempty"` // of PromptTokens, by the service's count
}

// Message is one thing said. It does not change. The JSON is MessageHistory of
// the contract; the fields without a name there are for the hub and the stores.
type Message struct {
	Role         Role      `json:"role"`
	Content      string    `json:"content"`
	Timestamp    time.Time `json:"timestamp"`
	ID           uuid.UUID `json:"id"` // an edit has the id of the message that it replaces
	FinishReason string    `json:"finish_reason,omitempty"`

	Seq     int64  `json:"-"` // names it: grows along the conversation, never given twice
	Parent  int64  `json:"-"` // Seq of the message that it follows; 0: it is a first one
	Version string `json:"-"` // of the change that added it

	// Of a reply.
	Model    string  `json:"-"`
	Usage    *Usage  `json:"-"` // nil: the model did not tell
	Estimate int     `json:"-"` // prompt tokens as they were estimated, to be compared with Usage
	Failure  string  `json:"-"` // the contract's error code, when FinishReason is error
	Retry    int     `json:"-"` // seconds after which it may be tried again, of a Failure; 0: not known
	Epochs   []Epoch `json:"-"` // who took it over, in order
}

// Position returns the place right behind m.
func (m Message) Position() Position { return Position{ID: m.ID, Seq: m.Seq} }

// Position is a place in a conversation: right behind a message. The zero
// Position is before the first. Seq may be 0 when only the id is known.
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

// Session is a conversation as it stood at one moment, as everybody sees it.
// Its Messages are shared with the store and must not be changed.
type Session struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Messages  []Message `json:"messages"` // of the path, behind After; those that ended only

	// After is the position just before Messages: the last message that the path
	// shares with the position asked for.
	After   Position `json:"-"`
	Running *Running `json:"-"` // nil: none
	Seq     int64    `json:"-"` // the last that a message was given
	Owner   string   `json:"-"` // the token's subject that made it; "": nobody's
	Born    string   `json:"-"` // see Ref
}

// Ref returns the name by which every step on s asks for it.
func (s *Session) Ref() Ref { return Ref{ID: s.ID, Born: s.Born} }

// Last returns the place right behind the last message of s.
func (s *Session) Last() Position {
	if n := len(s.Messages); n > 0 {
		return s.Messages[n-1].Position()
	}
	return s.After
}

// Now is the time that messages are stamped with: UTC, whole milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
