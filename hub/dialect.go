package hub

import (
	"errors"
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

// Dialect is how a connection's client speaks. The hub has two: ChatHub and
// DeepChat.
type Dialect interface {
	// request reads a frame. The error is a *Error.
	request(frame []byte) (request, error)
	// refusal is the frame that tells why one was not obeyed.
	refusal(e *Error, ref uuid.UUID) []byte

	// silent tells whether the client is told nothing of what was said before.
	silent() bool
	// What the follower sends; f.send and f.write put it on its way.
	ready(f *follow, r ready) error
	said(f *follow, m said) error
	start(f *follow, r *Reply, offset int) error
	delta(f *follow, r *Reply, delta []byte, offset int) error
	end(f *follow, r *Reply, e *End) error
	stopped(f *follow, outcome string) error
	pong() []byte
}

// ChatHub is the dialect of the contract, chathub.v1.
type ChatHub struct{}

func (ChatHub) silent() bool { return false }

func (ChatHub) request(frame []byte) (request, error) { return parseRequest(frame) }

func (ChatHub) refusal(e *Error, ref uuid.UUID) []byte {
	return errorFrame(e, ref).AppendJSON(nil)
}

func (ChatHub) ready(f *follow, r ready) error { return f.send(r) }
func (ChatHub) said(f *follow, m said) error   { return f.send(m) }
func (ChatHub) pong() []byte                   { return []byte(`{"type":"pong"}`) }

func (ChatHub) start(f *follow, r *Reply, offset int) error {
	start, text := StartChunk(r), TextStartChunk(r)
	start.After, start.Epoch, text.Offset = optional(f.after), r.Epoch(), &offset
	if err := f.send(start); err != nil {
		return err
	}
	return f.send(text)
}

func (ChatHub) delta(f *follow, r *Reply, delta []byte, offset int) error {
	f.buf = AppendDelta(f.buf[:0], r.ID, delta, offset)
	return f.write()
}

func (ChatHub) end(f *follow, r *Reply, e *End) error {
	end := EndChunk(e)
	if end.Type == "error" {
		end.Code, end.ID = e.Message.Failure, r.ID
		end.RetryAfter = Seconds(e.Failure().RetryAfter)
	}
	if err := f.send(TextEndChunk(r)); err != nil {
		return err
	}
	return f.send(end)
}

func (ChatHub) stopped(f *follow, outcome string) error {
	return f.send(stopped{Type: "stopped", Outcome: outcome})
}

// DeepChat is the dialect of the deep-chat widget (https://deepchat.dev) with
// its websocket and stream.simulation settings: deltas as {"text":…}, and at
// the end of a reply a phrase.
type DeepChat struct {
	EndPhrase string // not empty
}

// deepText is what the widget is told of a reply.
type deepText struct {
	Text      string `json:"text"`
	Overwrite bool   `json:"overwrite,omitempty"`
}

type deepError struct {
	Error string `json:"error"`
}

func (DeepChat) silent() bool { return true }

func (DeepChat) request(frame []byte) (request, error) {
	in := jsonread.NewBytes(frame)
	m, err := readDeepChat(in)
	if err == nil {
		err = in.End()
	}
	if err != nil {
		fault := err.Error()
		var typ *jsonread.TypeError
		if errors.As(err, &typ) {
			fault = "a value " + fault
		}
		return request{}, &Error{Code: CodeInvalid, Text: `A frame must be {"messages":[{"role":"user","text":…}]}: ` + fault + "."}
	}
	if !m.found {
		return request{}, &Error{Code: CodeInvalid, Text: "The frame holds no message of the user's."}
	}
	text := string(m.text)
	return request{Type: "message", Content: &text}, nil
}

// deepMessage is the user's last message in a frame of the widget's.
type deepMessage struct {
	text  []byte
	found bool
}

// readDeepChat reads a frame. Of all messages it keeps one, and the one that is
// being read, whose role may come last.
func readDeepChat(in *jsonread.Reader) (m deepMessage, err error) {
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
			m.text, text, m.found = text, m.text, true
		}
		return err
	}
	err = in.Object(func(string) error {
		m.found = false
		return in.Array(message)
	}, "messages")
	return m, err
}

func (DeepChat) refusal(e *Error, _ uuid.UUID) []byte {
	return appendJSON(nil, deepError{e.Text})
}

// The widget shows whatever it does not know as an error: so it is told nothing
// of these.
func (DeepChat) ready(*follow, ready) error    { return nil }
func (DeepChat) said(*follow, said) error      { return nil }
func (DeepChat) stopped(*follow, string) error { return nil }
func (DeepChat) pong() []byte                  { return nil }

// start comes again when another node goes on with the reply. What the widget
// has behind offset is taken back.
func (d DeepChat) start(f *follow, r *Reply, offset int) error {
	if offset == f.passed && !f.stale {
		return nil
	}
	f.kept, f.passed, f.stale = f.kept[:0], offset, true
	return d.again(f, r)
}

// delta keeps back what the widget would take for the end, until more has come.
func (d DeepChat) delta(f *follow, r *Reply, delta []byte, offset int) error {
	f.passed = offset
	if f.stale {
		return d.again(f, r)
	}
	f.kept = append(f.kept, delta...)
	if string(f.kept) == d.EndPhrase {
		return nil
	}
	text := string(f.kept)
	f.kept = f.kept[:0]
	return f.send(deepText{Text: text})
}

// again sends the text up to f.passed in place of what the widget has. Where that
// cannot be yet, the next delta or the end does it: a copy may lack that text
// still, an empty one is ignored by the widget, and the end phrase would end it.
func (d DeepChat) again(f *follow, r *Reply) error {
	text, ok := r.prefix(f.passed)
	if !ok || text == "" || text == d.EndPhrase {
		return nil
	}
	f.stale = false
	return f.send(deepText{Text: text, Overwrite: true})
}

func (d DeepChat) end(f *follow, r *Reply, e *End) error {
	if f.stale || len(f.kept) > 0 {
		if err := d.last(f, r); err != nil {
			return err
		}
	}
	f.kept, f.passed, f.stale = f.kept[:0], 0, false
	if err := f.send(deepText{Text: d.EndPhrase}); err != nil {
		return err
	}
	if end := EndChunk(e); end.Type == "error" {
		return f.send(deepError{end.ErrorText})
	}
	return nil
}

// last sends the whole text at the reply's end. One that is the end phrase goes in
// two parts, and an empty one as a space, which the widget does not ignore.
func (d DeepChat) last(f *follow, r *Reply) error {
	whole := r.content()
	if whole == "" {
		whole = " "
	}
	if whole != d.EndPhrase {
		return f.send(deepText{Text: whole, Overwrite: true})
	}
	_, half := utf8.DecodeRuneInString(whole)
	if err := f.send(deepText{Text: whole[:half], Overwrite: f.stale}); err != nil || half == len(whole) {
		return err
	}
	return f.send(deepText{Text: whole[half:]})
}
