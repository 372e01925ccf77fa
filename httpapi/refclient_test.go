package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// refMessage is a message as a client holds it.
type refMessage struct {
	ID           string     `json:"id"`
	Role         string     `json:"role"`
	Content      string     `json:"content"`
	Timestamp    *time.Time `json:"timestamp"` // nil: an abort or error does not tell it
	FinishReason string     `json:"finish_reason"`

	partial bool   // its end was not seen
	text    []byte // of a partial one: its content so far
	offset  int64  // of a partial one: the last that the hub told
}

// refFrame is any frame from the hub.
type refFrame struct {
	Type         string        `json:"type"`
	ID           string        `json:"id"`
	MessageID    string        `json:"messageId"`
	Role         string        `json:"role"`
	Content      string        `json:"content"`
	Timestamp    *time.Time    `json:"timestamp"`
	After        string        `json:"after"`
	Conversation string        `json:"conversation_id"`
	Running      string        `json:"running"`
	More         bool          `json:"more"`
	Messages     []*refMessage `json:"messages"`
	Delta        string        `json:"delta"`
	Offset       *int64        `json:"offset"`
	Code         string        `json:"code"`
	Ref          string        `json:"ref"`
	Outcome      string        `json:"outcome"`
	Metadata     struct {
		Conversation string     `json:"conversation_id"`
		FinishReason string     `json:"finish_reason"`
		Timestamp    *time.Time `json:"timestamp"`
	} `json:"messageMetadata"`
}

// The contract's bounds on frames, in bytes.
const (
	refMaxDelta = 16 << 10
	refMaxReady = 256<<10 + 1<<10 // of messages, and what is around them
)

// refPage is a client that does what PROTOCOL.md tells clients to do and nothing
// else, and calls anything that the contract does not promise an error. It is
// what a page keeps while its connections come and go.
type refPage struct {
	session  string
	client   string
	messages []*refMessage
	more     bool  // there are older messages than those
	asked    int64 // the offset that it asked to resume from

	// Of the connection.
	welcome  bool   // ready was seen
	running  string // the reply that ready announced, until its start
	current  string // the reply whose chunks come
	textOpen bool
	textDone bool
}

// resume is the query with which the page comes back.
func (p *refPage) resume() url.Values {
	q := url.Values{}
	if n := len(p.messages); n > 0 {
		last := p.messages[n-1]
		q.Set("after", last.ID)
		if last.partial {
			q.Set("offset", strconv.FormatInt(last.offset, 10))
		}
	}
	if p.client != "" {
		q.Set("client", p.client)
	}
	return q
}

// connected begins a connection that asked to resume with q.
func (p *refPage) connected(q url.Values) {
	p.asked, _ = strconv.ParseInt(q.Get("offset"), 10, 64)
	p.welcome, p.running, p.current, p.textOpen, p.textDone = false, "", "", false, false
}

// find returns the index of the message that the page holds under id, or -1.
func (p *refPage) find(id string) int {
	for i := len(p.messages) - 1; i >= 0; i-- {
		if p.messages[i].ID == id {
			return i
		}
	}
	return -1
}

// last returns the newest message, or nil.
func (p *refPage) last() *refMessage {
	if len(p.messages) == 0 {
		return nil
	}
	return p.messages[len(p.messages)-1]
}

// behind drops what stands behind the message after ("": behind nothing),
// except keep when it stands right there.
func (p *refPage) behind(after, keep string) error {
	at := p.find(after)
	if after != "" && at < 0 && len(p.messages) > 0 {
		return fmt.Errorf("it follows %s, which the page does not hold", after)
	}
	n := at + 1
	if n < len(p.messages) && p.messages[n].ID == keep {
		n++
	}
	p.messages = p.messages[:n]
	return nil
}

// take does what a frame says.
func (p *refPage) take(raw []byte) (*refFrame, error) {
	f := new(refFrame)
	err := json.Unmarshal(raw, f)
	if err == nil {
		err = p.apply(f, len(raw))
	}
	if err != nil {
		err = fmt.Errorf("%w\nframe: %.500s", err, raw)
	}
	return f, err
}

func (p *refPage) apply(f *refFrame, size int) error {
	if f.Type == "ready" {
		return p.ready(f, size)
	}
	if !p.welcome {
		return errors.New("it comes before ready")
	}
	switch f.Type {
	case "message":
		return p.message(f)
	case "start":
		return p.start(f)
	case "text-start", "text-delta", "text-end", "finish", "abort":
		return p.chunk(f)
	case "error":
		if f.ID != "" {
			return p.chunk(f)
		}
		return nil
	case "stopped", "pong":
		return nil
	}
	return errors.New("its type is not in the contract")
}

func (p *refPage) ready(f *refFrame, size int) error {
	if p.welcome {
		return errors.New("a second ready")
	}
	if size > refMaxReady {
		return fmt.Errorf("a ready of %d bytes", size)
	}
	if p.session == "" {
		p.session = f.Conversation
	}
	if f.Conversation != p.session {
		return errors.New("another conversation's ready")
	}
	p.welcome, p.running = true, f.Running
	if f.After == "" {
		p.messages, p.more = nil, f.More
	} else if p.find(f.After) < 0 {
		return errors.New("it follows what the page does not hold")
	} else if err := p.behind(f.After, ""); err != nil {
		return err
	}
	if last := p.last(); last != nil && last.partial && (f.Running != last.ID || len(f.Messages) > 0) {
		return errors.New("it leaves a part of a reply and does not go on with it")
	}
	for _, m := range f.Messages {
		if (m.Role == "assistant") != (m.FinishReason != "") || m.Timestamp == nil || p.find(m.ID) >= 0 {
			return fmt.Errorf("the message %s is odd, or comes twice", m.ID)
		}
		p.messages = append(p.messages, m)
	}
	return nil
}

func (p *refPage) message(f *refFrame) error {
	if at := p.find(f.ID); at >= 0 && p.messages[at].Content == f.Content {
		p.messages[at].Timestamp = f.Timestamp
		return nil // only an acknowledgement; or an edit that changed nothing
	}
	if p.current != "" {
		return errors.New("a message inside a reply")
	}
	if f.Role != "user" || f.Timestamp == nil {
		return errors.New("a message without what belongs to it")
	}
	if err := p.behind(f.After, ""); err != nil {
		return err
	}
	p.messages = append(p.messages, &refMessage{ID: f.ID, Role: "user", Content: f.Content, Timestamp: f.Timestamp})
	return nil
}

func (p *refPage) start(f *refFrame) error {
	if p.current != "" {
		return errors.New("a reply inside a reply")
	}
	if f.Metadata.Conversation != p.session {
		return errors.New("another conversation's reply")
	}
	if err := p.behind(f.After, f.MessageID); err != nil {
		return err
	}
	if last := p.last(); last == nil || last.ID != f.MessageID {
		p.messages = append(p.messages, &refMessage{ID: f.MessageID, Role: "assistant"})
	}
	last := p.last()
	if !last.partial {
		last.partial, last.text = true, []byte(last.Content)
	}
	p.current, p.textOpen, p.textDone = f.MessageID, false, false
	return nil
}

// chunk does what a chunk of the current reply says.
func (p *refPage) chunk(f *refFrame) error {
	if p.current == "" || f.ID != "" && f.ID != p.current {
		return errors.New("no such reply is being streamed")
	}
	m := p.last()
	switch f.Type {
	case "text-start":
		if p.textOpen || p.textDone || f.Offset == nil {
			return errors.New("text-start twice, or without its offset")
		}
		// A client cannot count the hub's bytes: it knows the beginning, and
		// the place that it named.
		if *f.Offset != 0 && *f.Offset != p.asked || *f.Offset > int64(len(m.text)) {
			return fmt.Errorf("it goes on from %d; %d was asked for", *f.Offset, p.asked)
		}
		m.text, m.offset = m.text[:*f.Offset], *f.Offset
		p.asked, p.textOpen = 0, true
		return nil
	case "text-delta":
		if !p.textOpen || p.textDone || f.Delta == "" || len(f.Delta) > refMaxDelta || f.Offset == nil {
			return fmt.Errorf("a delta of %d bytes, or out of its place", len(f.Delta))
		}
		m.text = append(m.text, f.Delta...)
		if m.offset = *f.Offset; m.offset != int64(len(m.text)) { // a page could not tell
			return fmt.Errorf("offset %d, but %d bytes came", m.offset, len(m.text))
		}
		return nil
	case "text-end":
		if !p.textOpen || p.textDone {
			return errors.New("text-end out of its place")
		}
		p.textDone = true
		return nil
	}
	if !p.textDone {
		return errors.New("an end without text-end")
	}
	switch f.Type {
	case "finish":
		m.FinishReason, m.Timestamp = f.Metadata.FinishReason, f.Metadata.Timestamp
	case "abort":
		m.FinishReason = "stopped"
	case "error":
		m.FinishReason = "error"
	}
	m.Content, m.text, m.partial = string(m.text), nil, false
	p.current = ""
	return nil
}
