package hub

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

// request is a frame from the client.
type request struct {
	Type    string
	ID, Of  uuid.UUID
	Content *string
}

var (
	errNoUUID  = errors.New("must be a UUID in the 36-character form")
	errNilUUID = errors.New("must not be the nil UUID")
)

// ParseID reads a UUID in the 36-character form, which is the only one that
// the contract knows.
func ParseID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errNoUUID
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
	r, fault := readRequest(jsonread.NewBytes(frame))
	if fault != "" {
		return request{ID: r.ID}, &Error{Code: CodeInvalid, Text: "The frame is not the JSON of a known frame: " + fault + "."}
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

// readRequest reads a frame's fields, of a name that comes again the last one.
// The fault says what is wrong; "": nothing. A field that is wrong does not keep
// the id from being read, so that the refusal can name it.
func readRequest(in *jsonread.Reader) (r request, fault string) {
	err := in.Object(func(name string) error {
		kind, err := in.Kind()
		if err != nil {
			return err
		}
		text, err := in.String(nil, maxFrameString)
		var wrong error
		var typ *jsonread.TypeError
		switch {
		case errors.As(err, &typ):
			wrong, err = typ, in.Skip()
		case name == "type":
			r.Type = string(text)
		case name == "content":
			content := string(text)
			if r.Content = &content; kind == jsonread.Null {
				r.Content = nil
			}
		case name == "id":
			r.ID, wrong = frameID(string(text))
		default:
			r.Of, wrong = frameID(string(text))
		}
		if wrong != nil && fault == "" {
			fault = "the field " + name + " is wrong: it " + wrong.Error()
		}
		return err
	}, "type", "id", "of", "content")
	if err == nil {
		err = in.End()
	}
	if err != nil {
		return request{}, err.Error()
	}
	return r, fault
}

// maxFrameString is more than a whole frame may have, in bytes.
const maxFrameString = 1 << 30

// frameID reads an id in a frame. The nil UUID is none: as if it were left out,
// what is sent twice would be done twice.
func frameID(text string) (uuid.UUID, error) {
	id, err := ParseID(text)
	switch {
	case err != nil:
		return uuid.Nil, errNoUUID
	case id == uuid.Nil:
		return uuid.Nil, errNilUUID
	}
	return id, nil
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
