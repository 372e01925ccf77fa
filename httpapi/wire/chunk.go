package wire

import (
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// chunk is one event of a reply's stream other than a delta, as in the AI SDK's UI message
// stream, protocol v1. The fields of the second half are for WebSocket only: SSE clients
// reject them.
type chunk struct {
	Type      string    `json:"type"`
	MessageID uuid.UUID `json:"messageId,omitzero"`
	ID        uuid.UUID `json:"id,omitzero"`
	ErrorText string    `json:"errorText,omitempty"`
	Metadata  *metadata `json:"messageMetadata,omitempty"`

	After      uuid.UUID `json:"after,omitzero"`
	Epoch      int64     `json:"epoch,omitempty"`
	Offset     *int      `json:"offset,omitempty"`
	Code       string    `json:"code,omitempty"`
	Ref        uuid.UUID `json:"ref,omitzero"`
	RetryAfter int       `json:"retry_after,omitempty"` // seconds
}

// metadata is what a start and a finish tell beside the protocol's own fields.
type metadata struct {
	Conversation uuid.UUID      `json:"conversation_id,omitzero"`
	Model        string         `json:"model,omitempty"`
	FinishReason string         `json:"finish_reason,omitempty"`
	Timestamp    *time.Time     `json:"timestamp,omitempty"`
	Usage        *session.Usage `json:"usage,omitempty"`
}

func startChunk(r *reply.Reply) chunk {
	return chunk{Type: "start", MessageID: r.Reply, Metadata: &metadata{Conversation: r.Ref.ID, Model: r.Model}}
}

// endChunk ends a stream: finish, abort or error.
func endChunk(e *session.TextEnd) chunk {
	m := e.Message
	switch {
	case e.Err != nil, m.FinishReason == session.FinishStopped: // Err: the session was deleted
		return chunk{Type: "abort"}
	case m.FinishReason == session.FinishError:
		why := hub.Failure(m)
		return chunk{Type: "error", ErrorText: why.Text, Code: m.Failure, ID: m.ID, RetryAfter: hub.Seconds(why.RetryAfter)}
	}
	return chunk{Type: "finish", Metadata: &metadata{FinishReason: m.FinishReason, Timestamp: &m.Timestamp, Usage: m.Usage}}
}

// partName is how a part is called at the beginning of its chunks' types.
func partName(p session.Part) string {
	if p == session.PartReasoning {
		return "reasoning"
	}
	return "text"
}
