package wire

import (
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// ChatHub is the dialect of the contract, chathub.v1. It implements hub.Dialect.
type ChatHub struct {
	Reasoning bool // the client is told of it; otherwise its offsets count text alone

	open session.Part // that was started and not ended; 0: none
}

func put(out *reply.Outbox, v any) { out.End(AppendJSON(out.Begin(), v)) }

// Start implements reply.Encoder. A client that has some of the reply is in a part.
func (d *ChatHub) Start(out *reply.Outbox, r *reply.Reply, at *session.Cursor) error {
	start, offset := startChunk(r), d.offset(at)
	start.After, start.Epoch, start.Offset = r.User.ID, r.Epoch(), &offset
	put(out, start)
	if d.open = 0; offset > 0 {
		d.begin(out, r, d.part(at), offset)
	}
	return nil
}

// offset and part are a place as the client knows it.
func (d *ChatHub) offset(at *session.Cursor) int {
	if d.Reasoning {
		return at.Off()
	}
	return at.TextOff()
}

func (d *ChatHub) part(at *session.Cursor) session.Part {
	if d.Reasoning {
		return at.Part()
	}
	return session.PartText
}

// begin begins a part at an offset, and ends the one before.
func (d *ChatHub) begin(out *reply.Outbox, r *reply.Reply, part session.Part, offset int) {
	d.end(out, r)
	d.open = part
	put(out, chunk{Type: partName(part) + "-start", ID: r.Reply, Offset: &offset})
}

func (d *ChatHub) end(out *reply.Outbox, r *reply.Reply) {
	if d.open != 0 {
		put(out, chunk{Type: partName(d.open) + "-end", ID: r.Reply})
	}
	d.open = 0
}

// Text implements reply.Encoder. This is the token path: it allocates nothing.
func (d *ChatHub) Text(out *reply.Outbox, r *reply.Reply, at *session.Cursor, p []byte) {
	part := at.Part()
	if part == session.PartReasoning && !d.Reasoning {
		return
	}
	offset := d.offset(at)
	if part != d.open {
		d.begin(out, r, part, offset-len(p))
	}
	b := append(append(append(out.Begin(), `{"type":"`...), partName(part)...), `-delta","id":"`...)
	b = append(appendUUID(b, r.Reply), `","delta":"`...)
	b = append(appendText(b, p), `","offset":`...)
	out.End(append(strconv.AppendInt(b, int64(offset), 10), '}'))
}

// End implements reply.Encoder.
func (d *ChatHub) End(out *reply.Outbox, r *reply.Reply, e *session.TextEnd) error {
	d.end(out, r)
	put(out, endChunk(e))
	return nil
}

// messageFrame is a user's message as a connection is told of it.
type messageFrame struct {
	Type      string       `json:"type"`
	ID        uuid.UUID    `json:"id"`
	Role      session.Role `json:"role"`
	Content   string       `json:"content"`
	Timestamp time.Time    `json:"timestamp"`
	After     uuid.UUID    `json:"after,omitzero"`
}

func newMessageFrame(m session.Message, after uuid.UUID) messageFrame {
	return messageFrame{"message", m.ID, session.User, m.Content, m.Timestamp, after}
}

// Message implements hub.Dialect.
func (d *ChatHub) Message(out *reply.Outbox, m session.Message, after uuid.UUID) {
	put(out, newMessageFrame(m, after))
}

// Ready implements hub.Dialect.
func (d *ChatHub) Ready(out *reply.Outbox, r hub.Ready) bool {
	told := make([]session.Message, len(r.Messages))
	for i, m := range r.Messages {
		if told[i] = m; !d.Reasoning {
			told[i].Content = m.Text()
		}
	}
	put(out, struct {
		Type         string            `json:"type"`
		Conversation uuid.UUID         `json:"conversation_id"`
		CreatedAt    time.Time         `json:"created_at"`
		Model        string            `json:"model"`
		After        uuid.UUID         `json:"after,omitzero"`
		Running      uuid.UUID         `json:"running,omitzero"`
		Watching     bool              `json:"watching,omitempty"`
		More         bool              `json:"more,omitempty"`
		Messages     []session.Message `json:"messages"`
	}{"ready", r.Conversation, r.CreatedAt, r.Model, r.After, r.Running, r.Watching, r.More, told})
	return true
}

// Answer implements hub.Dialect.
func (d *ChatHub) Answer(a hub.Answer) []byte {
	switch a.Type {
	case "message":
		return AppendJSON(nil, newMessageFrame(a.Message, a.After))
	case "stopped":
		return AppendJSON(nil, struct {
			Type    string `json:"type"`
			Outcome string `json:"outcome"`
		}{a.Type, a.Outcome})
	case "error":
		return AppendJSON(nil, chunk{Type: a.Type, ErrorText: a.Err.Text, Code: a.Err.Code, Ref: a.Ref, RetryAfter: hub.Seconds(a.Err.RetryAfter)})
	}
	return AppendJSON(nil, chunk{Type: a.Type})
}

// Request implements hub.Dialect. A frame that does not begin with { is the text of a message.
func (d *ChatHub) Request(b []byte) (hub.Request, error) {
	if len(b) == 0 || b[0] != '{' {
		return hub.Request{Type: "message", Content: string(b)}, nil
	}
	r, content, fault := readFrame(jsonread.NewBytes(b))
	if fault != "" {
		return hub.Request{ID: r.ID}, hub.Invalid("The frame is not the JSON of a known frame: " + fault + ".")
	}
	switch r.Type {
	case "message":
		if content == nil {
			return r, hub.Invalid(`A message frame needs "content", a string.`)
		}
		r.Content = *content
	case "stop", "regenerate", "ping":
	case "":
		return r, hub.Invalid(`A frame needs "type": message, stop, regenerate or ping.`)
	default:
		return r, hub.Invalid("This type of frame is not known: only message, stop, regenerate and ping are.")
	}
	return r, nil
}

// readFrame reads a frame's fields; of repeated ones the last counts. fault says what is wrong;
// "": nothing. The id is read also if another field is wrong, so that the refusal can name it.
func readFrame(in *jsonread.Reader) (r hub.Request, content *string, fault string) {
	err := in.Object(func(name string) error {
		kind, err := in.Kind()
		if err != nil {
			return err
		}
		var text []byte
		if name == "edit" {
			r.Edit, err = in.Bool()
		} else {
			text, err = in.String(nil, maxFrameString)
		}
		var wrong error
		switch typ, isTyp := err.(*jsonread.TypeError); {
		case isTyp:
			wrong, err = typ, in.Skip()
		case err != nil:
			return err
		case name == "edit":
		case name == "type":
			r.Type = string(text)
		case name == "content":
			content = nil
			if said := string(text); kind != jsonread.Null {
				content = &said
			}
		case name == "id":
			r.ID, wrong = frameID(string(text))
		case name == "of":
			r.Of, wrong = frameID(string(text))
		default:
			r.Behind = nil
			if kind != jsonread.Null {
				var id uuid.UUID // the nil UUID is the beginning
				id, wrong = hub.ParseID(string(text))
				r.Behind = &id
			}
		}
		if wrong != nil && fault == "" {
			fault = "the field " + name + " is wrong: it " + wrong.Error()
		}
		return err
	}, "type", "id", "of", "content", "behind", "edit")
	if err == nil {
		err = in.End()
	}
	if err != nil {
		return hub.Request{}, nil, err.Error()
	}
	return r, content, fault
}

// maxFrameString is more than a whole frame may have, in bytes.
const maxFrameString = 1 << 30

// frameID reads an id in a frame. The nil UUID is refused: it would count as absent, and a
// frame that is sent twice would be done twice.
func frameID(text string) (uuid.UUID, error) {
	id, err := hub.ParseID(text)
	if err == nil && id == uuid.Nil {
		err = errors.New("must not be the nil UUID")
	}
	return id, err
}
