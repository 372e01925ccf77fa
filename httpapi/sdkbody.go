package httpapi

import (
	"net/http"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

const (
	// maxSDKID bounds an id that the AI SDK or a page has made, in bytes.
	maxSDKID = 1 << 10
)

// sdkRequest is what is taken of the body that the AI SDK's
// DefaultChatTransport posts (https://ai-sdk.dev/docs/ai-sdk-ui/transport).
type sdkRequest struct {
	id, trigger, messageID string
	messages               int        // how many there are
	user                   sdkMessage // the user's last one
	hasUser                bool
}

// sdkMessage is one of its messages. An id or a text that is longer than
// allowed is cut behind the first byte too many.
type sdkMessage struct {
	id, text []byte
	fault    error // what is wrong with its parts
}

// sdkReader reads such a body as a stream. Of all messages it keeps the user's
// last, and beside it the one that is being read. Whether that is the user's is
// known at its end.
type sdkReader struct {
	sdkRequest
	in   *jsonread.Reader
	most int // bytes of a message's text
	this sdkMessage
	word []byte // a string that is looked at and not kept
}

// readSDK reads the request's body.
func (s *server) readSDK(w http.ResponseWriter, r *http.Request) (*sdkRequest, error) {
	in := sdkReader{most: s.Hub.MaxMessageBytes()}
	return &in.sdkRequest, readBody(w, r, s.maxHistoryBody(), false, in.read)
}

// maxHistoryBody bounds a request of the AI SDK's, in bytes: it repeats the whole
// conversation every time, with files and what tools have put out.
func (s *server) maxHistoryBody() int {
	return max(4*s.Hub.MaxSessionBytes(), maxBody(s.MaxMessageBytes))
}

func (s *sdkReader) read(in *jsonread.Reader) error {
	s.in = in
	return in.Object(func(name string) error {
		var err error
		switch name {
		case "id":
			s.id, err = s.short()
		case "trigger":
			s.trigger, err = s.short()
		case "messageId":
			s.messageID, err = s.short()
		case "messages":
			s.messages, s.hasUser = 0, false
			err = in.Array(s.message)
		}
		return fieldError("", name, err)
	}, "id", "trigger", "messageId", "messages")
}

// short reads a string as long as an id may be.
func (s *sdkReader) short() (string, error) {
	var err error
	s.word, err = s.in.String(s.word[:0], maxSDKID)
	return string(s.word), err
}

// message reads one of the messages.
func (s *sdkReader) message() error {
	s.messages++
	s.this = sdkMessage{id: s.this.id[:0], text: s.this.text[:0]}
	user := false
	err := s.in.Object(func(name string) error {
		var err error
		switch name {
		case "id":
			s.this.id, err = s.in.String(s.this.id[:0], maxSDKID)
		case "role":
			s.word, err = s.in.String(s.word[:0], maxSDKID)
			user = string(s.word) == string(session.User)
		case "parts":
			s.this.text, s.this.fault = s.this.text[:0], nil
			return s.excuse("messages.", name, s.in.Array(s.part))
		}
		return fieldError("messages.", name, err)
	}, "id", "role", "parts")
	if err == nil && user {
		s.user, s.this, s.hasUser = s.this, s.user, true
	}
	return err
}

// part reads one part of a message. A text counts if the part is one of type
// text, which may be known only behind it.
func (s *sdkReader) part() error {
	begin, isText := len(s.this.text), false
	err := s.in.Object(func(name string) error {
		var err error
		if name == "text" {
			s.this.text, err = s.in.String(s.this.text[:begin], s.most)
		} else {
			s.word, err = s.in.String(s.word[:0], maxSDKID)
			isText = string(s.word) == "text"
		}
		return s.excuse("messages.parts.", name, err)
	}, "type", "text")
	if !isText {
		s.this.text = s.this.text[:begin]
	}
	return s.excuse("messages.", "parts", err)
}

// excuse notes a value of the wrong type in a message's parts and reads past
// it: only those of the user's last message matter.
func (s *sdkReader) excuse(in, name string, err error) error {
	if _, wrong := err.(*jsonread.TypeError); !wrong {
		return err
	}
	if s.this.fault == nil { // a sentence for each of a million would be dear
		s.this.fault = fieldError(in, name, err)
	}
	return s.in.Skip()
}

// turn is what the request asks of the conversation. The hub's own history
// counts: of the messages only the last that the user wrote is taken.
func (in *sdkRequest) turn(conversation uuid.UUID) (session.Turn, error) {
	m := &in.user
	switch {
	case !in.hasUser:
		return session.Turn{}, invalid(`"messages" holds no message of the user's.`)
	case m.fault != nil:
		return session.Turn{}, m.fault
	case len(m.id) == 0:
		return session.Turn{}, invalid("The user's message has no id.")
	case len(m.id) > maxSDKID:
		return session.Turn{}, invalid("The id of the user's message is too long.")
	}
	id := sdkID(conversation, string(m.id))
	if id == uuid.Nil {
		return session.Turn{}, invalid("The nil UUID is no message's id.")
	}
	switch in.trigger {
	case "regenerate-message":
		return session.Turn{Kind: session.Again, Of: id}, nil
	case "submit-message":
		t := session.Turn{User: session.Message{ID: id, Content: string(m.text)}}
		if in.messageID == string(m.id) {
			t.Kind = session.Edit
		}
		return t, nil
	}
	return session.Turn{}, invalid(`"trigger" must be submit-message or regenerate-message.`)
}

// sdkID returns the UUID that a message's id stands for: the SDK makes ids of
// its own, which are none.
func sdkID(conversation uuid.UUID, id string) uuid.UUID {
	if known, err := hub.ParseID(id); err == nil {
		return known
	}
	return uuid.NewSHA1(conversation, []byte(id))
}
