package hub

import (
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Chunk is one part of a reply's stream but for text-delta: the AI SDK's UI
// message stream, protocol v1. The fields below the line are sent over
// WebSocket only; SSE clients reject them.
type Chunk struct {
	Type      string    `json:"type"`
	MessageID string    `json:"messageId,omitempty"`
	ID        uuid.UUID `json:"id,omitzero"`
	ErrorText string    `json:"errorText,omitempty"`
	Metadata  *Metadata `json:"messageMetadata,omitempty"`

	After      *uuid.UUID `json:"after,omitempty"`
	Epoch      int64      `json:"epoch,omitempty"`
	Offset     *int       `json:"offset,omitempty"`
	Code       string     `json:"code,omitempty"`
	Ref        *uuid.UUID `json:"ref,omitempty"`
	RetryAfter int        `json:"retry_after,omitempty"` // seconds
}

// Metadata is what a start and a finish tell beside the protocol's own fields.
type Metadata struct {
	Conversation *uuid.UUID     `json:"conversation_id,omitempty"`
	Model        string         `json:"model,omitempty"`
	FinishReason string         `json:"finish_reason,omitempty"`
	Timestamp    *time.Time     `json:"timestamp,omitempty"`
	Usage        *session.Usage `json:"usage,omitempty"`
}

// StartChunk opens r's stream.
func StartChunk(r *Reply) Chunk {
	return Chunk{
		Type: "start", MessageID: r.ID.String(),
		Metadata: &Metadata{Conversation: &r.Conversation.ID, Model: r.Model},
	}
}

// TextStartChunk opens r's text, TextEndChunk closes it.
func TextStartChunk(r *Reply) Chunk { return Chunk{Type: "text-start", ID: r.ID} }

// TextEndChunk closes r's text.
func TextEndChunk(r *Reply) Chunk { return Chunk{Type: "text-end", ID: r.ID} }

// EndChunk ends a stream: finish, abort or error.
func EndChunk(e *End) Chunk {
	if e.Err != nil { // the session was deleted
		return Chunk{Type: "abort"}
	}
	m := e.Message
	switch m.FinishReason {
	case session.FinishStopped:
		return Chunk{Type: "abort"}
	case session.FinishError:
		return Chunk{Type: "error", ErrorText: e.Failure().Text}
	}
	return Chunk{Type: "finish", Metadata: &Metadata{FinishReason: m.FinishReason, Timestamp: &m.Timestamp, Usage: m.Usage}}
}

// AppendJSON appends c's JSON to dst.
func (c Chunk) AppendJSON(dst []byte) []byte { return appendJSON(dst, c) }
