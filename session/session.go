// Package session keeps conversations: who said what, which reply is being
// written, and for how long all that is remembered.
//
// A Manager is the one door for the hub and for REST. Behind it stands a
// Store, which does each step of a conversation (say, finish, delete) at once
// and so that it may be repeated: the answer to a step can get lost on its way
// from a database, and then it is simply asked for again.
//
// A running reply is known here by name only. Its text belongs to the hub
// until it ends and becomes a Message.
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
	// ErrNothing: there is no reply that could be written anew.
	ErrNothing = errors.New("session: nothing to regenerate")
	// ErrLost: the reply is no longer the one that is being written.
	ErrLost = errors.New("session: the right to write the reply is lost")
	// ErrLong: the conversation has as many messages as it may.
	ErrLong = errors.New("session: the conversation has too many messages")
	// ErrFull: the store holds as many sessions as it may.
	ErrFull = errors.New("session: the store is full")
	// ErrTaken: another connection has the conversation, and keeps it.
	ErrTaken = errors.New("session: another connection has the conversation")
	// ErrGivenUp: the connection's peer is not there any more, as far as is known.
	ErrGivenUp = errors.New("session: the connection was given up")
	// ErrUnavailable: the store could not be reached; nothing is known of the step.
	ErrUnavailable = errors.New("session: the store cannot be reached")
)

// Usage counts the tokens that one reply cost.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CachedTokens     int `json:"cached_tokens,omitempty"` // of the prompt, those that the service had in its cache
}

// Message is one thing said. The JSON is MessageHistory of the contract; the
// fields without a name there are for the hub and are kept by every store.
type Message struct {
	Role         Role      `json:"role"`
	Content      string    `json:"content"`
	Timestamp    time.Time `json:"timestamp"`
	ID           uuid.UUID `json:"id"`
	FinishReason string    `json:"finish_reason,omitempty"`

	Seq      int64  `json:"-"` // grows along the conversation, never given twice
	Model    string `json:"-"` // of a reply
	Usage    *Usage `json:"-"` // of a reply, when the model told
	Estimate int    `json:"-"` // prompt tokens as they were estimated, to be compared with Usage
	Failure  string `json:"-"` // the contract's error code, when FinishReason is error

	Epochs []Epoch `json:"-"` // of a reply that several nodes wrote; see Running
}

// Position returns m's place in its conversation.
func (m Message) Position() Position { return Position{ID: m.ID, Seq: m.Seq} }

// Position is a place in a conversation: right behind a message. The zero
// Position is before the first. Seq may be 0 when only the id is known.
type Position struct {
	ID  uuid.UUID
	Seq int64
}

// Running names the reply that is being written.
type Running struct {
	Reply uuid.UUID // the id of the message that it will become
	User  Position  // the message that it answers
	Seq   int64
	Model string

	Epochs []Epoch // with a Log: who took it over; empty until somebody did
}

// Position returns the place right behind the reply.
func (r *Running) Position() Position { return Position{ID: r.Reply, Seq: r.Seq} }

// Ref names one incarnation of a session. A session that was deleted or has
// expired can be made again under its id, by somebody else: it then has another
// Born, and no step that names the first one reaches it.
type Ref struct {
	ID   uuid.UUID
	Born uuid.UUID // random, made with the session; nil for one that an older version made
}

// Session is a conversation as it stood at one moment. Its Messages are
// shared with the store and must not be changed.
type Session struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Messages  []Message `json:"messages"` // behind After; those that ended only

	// After is the place that Messages follow: the one that was asked for, or,
	// where that has been cut away, the newest that was there before it and
	// still is.
	After   Position `json:"-"`
	Running *Running `json:"-"` // nil: none
	Owner   string   `json:"-"` // the token's subject that made it; "": nobody's

	Born uuid.UUID `json:"-"` // see Ref
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
