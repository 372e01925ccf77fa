package hub

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// request is a frame from the client.
type request struct {
	Type    string    `json:"type"`
	ID      requestID `json:"id"`
	Of      requestID `json:"of"`
	Content *string   `json:"content"`
}

// requestID is an optional UUID in the 36-character form, in either case.
type requestID uuid.UUID

func (r requestID) uuid() uuid.UUID { return uuid.UUID(r) }

func (r *requestID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	id, err := ParseID(s)
	*r = requestID(id)
	return err
}

// ParseID reads a UUID in the 36-character form, which is the only one that
// the contract knows.
func ParseID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errors.New("not a UUID in the 36-character form")
	}
	return uuid.Parse(s)
}

// parseRequest reads a frame. What does not begin with { is a message for
// which somebody typed the text. An error is a *Error; the request's ID is set
// as far as it could be read.
func parseRequest(frame []byte) (request, error) {
	if len(frame) == 0 || frame[0] != '{' {
		text := string(frame)
		return request{Type: "message", Content: &text}, nil
	}
	var r request
	if err := json.Unmarshal(frame, &r); err != nil {
		return request{ID: idOf(frame)}, &Error{Code: CodeInvalid, Text: "The frame is not the JSON of a known frame: " + jsonFault(err)}
	}
	switch r.Type {
	case "message":
		if r.Content == nil {
			return r, &Error{Code: CodeInvalid, Text: `A message frame needs "content", a string.`}
		}
	case "stop", "regenerate", "ping":
	case "":
		return r, &Error{Code: CodeInvalid, Text: `A frame needs "type": message, stop, regenerate or ping.`}
	default:
		return r, &Error{Code: CodeInvalid, Text: "This type of frame is not known: only message, stop, regenerate and ping are."}
	}
	return r, nil
}

// idOf finds the id of a frame that is otherwise wrong, so that the error can
// name it.
func idOf(frame []byte) requestID {
	var r struct{ ID requestID }
	if json.Unmarshal(frame, &r) != nil {
		return requestID{}
	}
	return r.ID
}

// jsonFault says what is wrong with JSON without repeating it.
func jsonFault(err error) string {
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &typ):
		return "the field " + typ.Field + " has the wrong type."
	case errors.As(err, &syntax):
		return strings.TrimSuffix(syntax.Error(), ".") + "."
	}
	return err.Error() + "."
}

// ready is the first frame of a connection.
type ready struct {
	Type         string            `json:"type"`
	Conversation uuid.UUID         `json:"conversation_id"`
	CreatedAt    time.Time         `json:"created_at"`
	Model        string            `json:"model"`
	After        *uuid.UUID        `json:"after,omitempty"`
	Running      *uuid.UUID        `json:"running,omitempty"`
	More         bool              `json:"more,omitempty"`
	Messages     []json.RawMessage `json:"messages"`
}

// said is a user message as the connection is told of it.
type said struct {
	Type      string       `json:"type"`
	ID        uuid.UUID    `json:"id"`
	Role      session.Role `json:"role"`
	Content   string       `json:"content"`
	Timestamp time.Time    `json:"timestamp"`
	After     *uuid.UUID   `json:"after,omitempty"`
}

func saidFrame(m session.Message, after uuid.UUID) said {
	return said{
		Type: "message", ID: m.ID, Role: session.User, Content: m.Content,
		Timestamp: m.Timestamp, After: optional(after),
	}
}

// stopped answers a stop.
type stopped struct {
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
}

// The outcomes of a stop.
const (
	OutcomeStopped        = "stopped"
	OutcomeNothingRunning = "nothing_running"
)

// errorFrame refuses a frame; ref is the id that it had.
func errorFrame(e *Error, ref uuid.UUID) Chunk {
	return Chunk{Type: "error", ErrorText: e.Text, Code: e.Code, Ref: optional(ref), RetryAfter: Seconds(e.RetryAfter)}
}

// Seconds returns d in whole seconds, rounded up, as Retry-After has it.
func Seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func optional(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
