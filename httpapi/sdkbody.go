package httpapi

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

const (
	// maxSDKID bounds an id that the AI SDK or a page has made, in bytes.
	maxSDKID = 1 << 10
	// leastShown and leastShownIDs are how many messages of the list, and bytes of
	// their ids, are kept at least, and half of what is kept at most, to find the message
	// that the user's follows. That is nearly always the one right before it.
	leastShown    = 1 << 10
	leastShownIDs = 64 << 10
)

// sdkRequest is what is taken of the body that the AI SDK's
// DefaultChatTransport posts (https://ai-sdk.dev/docs/ai-sdk-ui/transport).
type sdkRequest struct {
	id, trigger, messageID string
	listed                 bool       // there is a list of messages
	user                   sdkMessage // the user's last one, or the one that is sent alone
	hasUser                bool
	list                   shownList // the user's and the assistant's
}

// sdkMessage is one of its messages. An id or a text that is longer than allowed is cut after
// the first byte too many.
type sdkMessage struct {
	id, text []byte
	role     session.Role // "": none that counts
	sum      session.Sum  // of all of its text
	thought  session.Sum  // of all of its reasoning
	fault    error        // what is wrong with its parts
}

// shownList is the newest of a list of messages, each in a few bytes.
type shownList struct {
	ids   []byte
	shown []shownMessage
	user  int  // how many stand before the user's last one
	older bool // there were more, which are forgotten
}

type shownMessage struct {
	end     int // of its id, in ids
	role    session.Role
	sum     session.Sum
	thought session.Sum
}

// add notes the next message of the list.
func (l *shownList) add(m *sdkMessage) {
	id := m.id
	if len(id) > maxSDKID {
		id = nil // no message has it
	}
	if len(l.shown) == 2*leastShown || len(l.ids)+len(id) > 2*leastShownIDs {
		l.forget()
	}
	if m.role == session.User {
		l.user = len(l.shown)
	}
	l.ids = append(l.ids, id...)
	l.shown = append(l.shown, shownMessage{len(l.ids), m.role, m.sum, m.thought})
}

// forget drops the oldest, down to what is kept at least.
func (l *shownList) forget() {
	n := max(len(l.shown)-leastShown, 1)
	for len(l.ids)-l.shown[n-1].end > leastShownIDs {
		n++
	}
	gone := l.shown[n-1].end
	l.ids = l.ids[:copy(l.ids, l.ids[gone:])]
	l.shown = l.shown[:copy(l.shown, l.shown[n:])]
	for i := range l.shown {
		l.shown[i].end -= gone
	}
	l.user, l.older = max(l.user-n, 0), true
}

// begin is where the id of the i-th begins, in ids.
func (l *shownList) begin(i int) int {
	if i == 0 {
		return 0
	}
	return l.shown[i-1].end
}

// page is the list around the user's last message.
func (l *shownList) page(conversation uuid.UUID) *session.Page {
	first := max(l.user-leastShown, 0) // more is kept now and then, and not looked at
	for first < l.user && l.begin(l.user)-l.begin(first) > leastShownIDs {
		first++
	}
	p := &session.Page{Before: make([]session.Shown, 0, l.user-first), Older: l.older || first > 0}
	begin := l.begin(first)
	for i, m := range l.shown {
		if i < first {
			continue
		}
		s := session.Shown{Role: m.role, Text: m.sum, Thought: m.thought}
		if id := l.ids[begin:m.end]; len(id) > 0 {
			s.ID = sdkID(conversation, string(id))
		}
		begin = m.end
		switch {
		case i < l.user:
			p.Before = append(p.Before, s)
		case i > l.user:
			p.Last = s
		}
	}
	return p
}

// sdkReader reads such a body as a stream. Of all messages it keeps the ids, the
// user's last, and beside it the one that is being read. Whether that is the
// user's is known at its end.
type sdkReader struct {
	sdkRequest
	in   *jsonread.Reader
	most int // bytes of a message's text
	this sdkMessage
	word []byte // a string that is looked at and not kept

	addText func(p []byte) // takes a piece of the message's text; made once
}

// readSDK reads the request's body.
func (s *server) readSDK(w http.ResponseWriter, r *http.Request) (*sdkRequest, error) {
	in := sdkReader{most: s.Hub.MaxMessageBytes()}
	return &in.sdkRequest, readBody(w, r, s.maxHistoryBody(), false, in.read)
}

// maxHistoryBody bounds a request of the AI SDK's, in bytes: it repeats the whole
// conversation every time, with files and what tools have put out.
func (s *server) maxHistoryBody() int {
	return max(4*s.Hub.MaxSessionBytes(), maxBody(s.Hub.MaxMessageBytes()))
}

func (s *sdkReader) read(in *jsonread.Reader) error {
	s.in = in
	s.addText = func(p []byte) {
		s.this.sum, s.this.thought = s.this.sum.Add(p), s.this.thought.Add(p)
		s.this.text = append(s.this.text, p[:min(len(p), max(s.most+1-len(s.this.text), 0))]...)
	}
	alone, hasAlone := sdkMessage{}, false
	err := in.Object(func(name string) error {
		kind, err := in.Kind()
		if err != nil {
			return err
		}
		switch name {
		case "id":
			s.id, err = s.short()
		case "trigger":
			s.trigger, err = s.short()
		case "messageId":
			s.messageID, err = s.short()
		case "message":
			hasAlone = kind != jsonread.Null
			if err = s.message(name + "."); err == nil {
				alone, s.this = s.this, alone
			}
		case "messages":
			s.listed, s.hasUser = kind != jsonread.Null, false
			s.list = shownList{ids: s.list.ids[:0], shown: s.list.shown[:0]}
			err = in.Array(s.listedMessage)
		}
		return fieldError("", name, err)
	}, "id", "trigger", "messageId", "message", "messages")
	if !s.listed && hasAlone {
		s.user, s.hasUser = alone, alone.role == session.User
	}
	return err
}

// short reads a string as long as an id may be.
func (s *sdkReader) short() (string, error) {
	var err error
	s.word, err = s.in.String(s.word[:0], maxSDKID)
	return string(s.word), err
}

// listedMessage reads one of the messages.
func (s *sdkReader) listedMessage() error {
	if err := s.message("messages."); err != nil {
		return err
	}
	switch s.this.role {
	case session.User:
		s.list.add(&s.this)
		s.user, s.this, s.hasUser = s.this, s.user, true
	case session.Assistant:
		s.list.add(&s.this)
	}
	return nil
}

// message reads a message into s.this.
func (s *sdkReader) message(where string) error {
	s.this = sdkMessage{id: s.this.id[:0], text: s.this.text[:0]}
	return s.in.Object(func(name string) error {
		var err error
		switch name {
		case "id":
			s.this.id, err = s.in.String(s.this.id[:0], maxSDKID)
		case "role":
			s.word, err = s.in.String(s.word[:0], maxSDKID)
			s.this.role = ""
			for _, role := range []session.Role{session.User, session.Assistant} {
				if string(s.word) == string(role) {
					s.this.role = role
				}
			}
		case "parts":
			s.this.text, s.this.sum, s.this.thought, s.this.fault = s.this.text[:0], session.Sum{}, session.Sum{}, nil
			return s.excuse(where, name, s.in.Array(s.part))
		}
		return fieldError(where, name, err)
	}, "id", "role", "parts")
}

// errOtherPart: a message of the user's may have more than text for the page, but
// the model would not be told of it.
var errOtherPart = hub.Invalid(`A message may have parts of type "text" and "data-…" alone: files and others would be lost on the way to the model.`)

// part reads one part of a message. What its text counts as depends on its type, which may
// follow the text.
func (s *sdkReader) part() error {
	begin, before, thought, fault := len(s.this.text), s.this.sum, s.this.thought, s.this.fault
	var isText, isReasoning, isData bool
	err := s.in.Object(func(name string) error {
		var err error
		if name == "text" {
			s.this.text, s.this.sum, s.this.thought = s.this.text[:begin], before, thought
			err = s.in.Pieces(s.addText)
		} else {
			s.word, err = s.in.String(s.word[:0], maxSDKID)
			isText, isReasoning, isData = string(s.word) == "text", string(s.word) == "reasoning", strings.HasPrefix(string(s.word), "data-")
		}
		return s.excuse("messages.parts.", name, err)
	}, "type", "text")
	if !isReasoning {
		s.this.thought = thought
	}
	if !isText {
		s.this.text, s.this.sum = s.this.text[:begin], before
		if isData { // its fields are the page's own, whatever their names
			s.this.fault = fault
		} else if s.this.fault == nil {
			s.this.fault = errOtherPart
		}
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

// turn returns what the request asks of the conversation. Of the list only the place of the
// user's message counts: what was said before is as the hub has it.
func (in *sdkRequest) turn(conversation uuid.UUID) (session.Turn, error) {
	m := &in.user
	switch {
	case !in.hasUser:
		return session.Turn{}, hub.Invalid(`There is no message of the user's in "messages", and none as "message".`)
	case m.fault != nil:
		return session.Turn{}, m.fault
	case len(m.id) == 0:
		return session.Turn{}, hub.Invalid("The user's message has no id.")
	case len(m.id) > maxSDKID:
		return session.Turn{}, hub.Invalid("The id of the user's message is too long.")
	}
	id := sdkID(conversation, string(m.id))
	if id == uuid.Nil {
		return session.Turn{}, hub.Invalid("The nil UUID is no message's id.")
	}
	page := &session.Page{Tail: true}
	if in.listed {
		page = in.list.page(conversation)
	}
	switch in.trigger {
	case "submit-message", "":
	case "regenerate-message":
		page.Anew = true
	default:
		return session.Turn{}, hub.Invalid(`"trigger" must be submit-message or regenerate-message.`)
	}
	return session.Turn{User: session.Message{ID: id, Content: string(m.text)}, Page: page}, nil
}

// sdkID returns the UUID that a message's id stands for: the SDK makes ids of
// its own, which are none.
func sdkID(conversation uuid.UUID, id string) uuid.UUID {
	if known, err := hub.ParseID(id); err == nil {
		return known
	}
	return uuid.NewSHA1(conversation, []byte(id))
}
