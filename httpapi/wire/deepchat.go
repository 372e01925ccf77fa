package wire

import (
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// DeepChat is the dialect of the deep-chat widget (https://deepchat.dev) with its
// websocket and stream.simulation settings: deltas as {"text":…}, and at a
// reply's end a phrase. It implements hub.Dialect.
type DeepChat struct {
	EndPhrase string // not empty

	kept []byte // a delta that equals the end phrase, and waits for more text
	sent int    // how much of the reply the widget has
}

// deepText is what the widget is told of a reply.
type deepText struct {
	Text      string `json:"text"`
	Overwrite bool   `json:"overwrite,omitempty"`
}

// deepError is what it is told of a failure.
type deepError struct {
	Error string `json:"error"`
}

// Start implements reply.Encoder. If another writer continues earlier, it replaces the
// widget's text.
func (d *DeepChat) Start(out *reply.Outbox, r *reply.Reply, at *session.Cursor) error {
	if offset := at.TextOff(); offset != d.sent {
		d.kept, d.sent = d.kept[:0], offset
		put(out, deepText{Text: session.TextOf(r.String(at.Off())), Overwrite: true})
	}
	return nil
}

// Text implements reply.Encoder. A delta that the widget would take for the end is kept until
// more text comes. Reasoning is not sent.
func (d *DeepChat) Text(out *reply.Outbox, _ *reply.Reply, at *session.Cursor, p []byte) {
	if at.Part() != session.PartText {
		return
	}
	d.sent = at.TextOff()
	if len(d.kept) == 0 && string(p) != d.EndPhrase { // the token path
		out.End(append(appendText(append(out.Begin(), `{"text":"`...), p), `"}`...))
		return
	}
	if d.kept = append(d.kept, p...); string(d.kept) != d.EndPhrase {
		put(out, deepText{Text: string(d.kept)})
		d.kept = d.kept[:0]
	}
}

// End implements reply.Encoder. A text whose last delta is the end phrase is sent again as a
// whole; if all of it is the phrase, in two parts.
func (d *DeepChat) End(out *reply.Outbox, r *reply.Reply, e *session.TextEnd) error {
	if len(d.kept) > 0 {
		whole := session.TextOf(r.String(r.Safe()))
		if whole != d.EndPhrase {
			put(out, deepText{Text: whole, Overwrite: true})
		} else {
			_, half := utf8.DecodeRuneInString(whole)
			put(out, deepText{Text: whole[:half]})
			if half < len(whole) {
				put(out, deepText{Text: whole[half:]})
			}
		}
	}
	d.kept, d.sent = d.kept[:0], 0
	put(out, deepText{Text: d.EndPhrase})
	if c := endChunk(e); c.Type == "error" {
		put(out, deepError{c.ErrorText})
	}
	return nil
}

// Request implements hub.Dialect.
func (d *DeepChat) Request(b []byte) (hub.Request, error) {
	text, found, err := readDeepChat(jsonread.NewBytes(b))
	if err != nil {
		fault := err.Error()
		if _, isTyp := err.(*jsonread.TypeError); isTyp {
			fault = "a value " + fault
		}
		return hub.Request{}, hub.Invalid(`A frame must be {"messages":[{"role":"user","text":…}]}: ` + fault + ".")
	}
	if !found {
		return hub.Request{}, hub.Invalid("The frame holds no message of the user's.")
	}
	return hub.Request{Type: "message", Content: string(text)}, nil
}

// readDeepChat returns the user's last message in a frame. Of all messages it keeps
// that one, and the one that is being read, whose role may come last.
func readDeepChat(in *jsonread.Reader) (last []byte, found bool, err error) {
	var text, role []byte
	message := func() error {
		text, role = text[:0], role[:0]
		err := in.Object(func(name string) (err error) {
			if name == "text" {
				text, err = in.String(text[:0], maxFrameString)
			} else {
				role, err = in.String(role[:0], maxFrameString)
			}
			return err
		}, "text", "role")
		if err == nil && string(role) == string(session.User) {
			last, text, found = text, last, true
		}
		return err
	}
	err = in.Object(func(string) error {
		found = false
		return in.Array(message)
	}, "messages")
	if err == nil {
		err = in.End()
	}
	return last, found, err
}

// Ready implements hub.Dialect. The widget shows what it does not know as an
// error, so it is told nothing of the conversation but replies and refusals.
func (d *DeepChat) Ready(*reply.Outbox, hub.Ready) bool { return false }

// Message implements hub.Dialect.
func (d *DeepChat) Message(*reply.Outbox, session.Message, uuid.UUID) {}

// Answer implements hub.Dialect.
func (d *DeepChat) Answer(a hub.Answer) []byte {
	if a.Type != "error" {
		return nil
	}
	return AppendJSON(nil, deepError{a.Err.Text})
}
