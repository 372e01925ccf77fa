package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// refMessage is a message as a client holds it.
type refMessage struct {
	ID           string     `json:"id"`
	Role         string     `json:"role"`
	Content      string     `json:"content"`
	Timestamp    *time.Time `json:"timestamp"` // nil: an abort or error does not tell it
	FinishReason string     `json:"finish_reason"`
	Reasoning    string     `json:"reasoning"`

	partial bool      // its end was not seen
	parts   []refPart // of a partial one: what there is so far
	offset  int64     // of a partial one: the last that the hub told
}

// refPart is a part of a reply as a client holds it.
type refPart struct {
	kind  string // text or reasoning
	begin int64  // the offset of its first byte
	body  []byte
}

// partsOf returns the text of all parts of a kind.
func partsOf(parts []refPart, kind, between string) string {
	var all []string
	for _, p := range parts {
		if p.kind == kind {
			all = append(all, string(p.body))
		}
	}
	return strings.Join(all, between)
}

// text is what a partial message says so far.
func (m *refMessage) text() string { return partsOf(m.parts, "text", "") }

// cut keeps what stands before an offset.
func (m *refMessage) cut(offset int64) error {
	for i, p := range m.parts {
		keep := offset - p.begin
		if keep <= 0 {
			m.parts = m.parts[:i]
			break
		}
		if keep < int64(len(p.body)) {
			m.parts[i].body = p.body[:keep:keep]
			m.parts = m.parts[:i+1]
			break
		}
	}
	if offset > m.offset {
		return fmt.Errorf("it goes on from %d, but %d is held", offset, m.offset)
	}
	m.offset = offset
	return nil
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
	thinks   bool  // it is told of reasoning

	// Of the connection.
	welcome bool   // ready was seen
	running string // the reply that ready announced, until its start
	current string // the reply whose chunks come
	open    string // the kind of the part that was started
	onward  bool   // start has just come: a part may be gone on with
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
	if p.thinks {
		q.Set("reasoning", "1")
	}
	return q
}

// connected begins a connection that asked to resume with q.
func (p *refPage) connected(q url.Values) {
	p.asked, _ = strconv.ParseInt(q.Get("offset"), 10, 64)
	p.welcome, p.running, p.current, p.open, p.onward = false, "", "", "", false
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
	case "reasoning-start", "reasoning-delta", "reasoning-end":
		if !p.thinks {
			return errors.New("it was not asked for")
		}
		return p.chunk(f)
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
		if !p.thinks && m.Reasoning != "" || (m.Role == "assistant") != (m.FinishReason != "") || m.Timestamp == nil || p.find(m.ID) >= 0 {
			return fmt.Errorf("the message %s is odd, or comes twice", m.ID)
		}
		p.messages = append(p.messages, m)
	}
	return nil
}

func (p *refPage) message(f *refFrame) error {
	if at := p.find(f.ID); at >= 0 && p.messages[at].Content == f.Content && (at == 0 || p.messages[at-1].ID == f.After) {
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
		last.partial, last.parts, last.offset = true, nil, 0
	}
	// A client cannot count the hub's bytes: it knows the beginning, and the place
	// that it named.
	if f.Offset == nil || *f.Offset != 0 && *f.Offset != p.asked {
		return fmt.Errorf("it goes on from %v; %d was asked for", f.Offset, p.asked)
	}
	p.current, p.open, p.onward, p.asked = f.MessageID, "", *f.Offset > 0, 0
	return last.cut(*f.Offset)
}

// chunk does what a chunk of the current reply says.
func (p *refPage) chunk(f *refFrame) error {
	if p.current == "" || f.ID != "" && f.ID != p.current {
		return errors.New("no such reply is being streamed")
	}
	m := p.last()
	switch f.Type {
	case "text-start", "reasoning-start":
		kind, n := strings.TrimSuffix(f.Type, "-start"), len(m.parts)
		switch {
		case p.open != "" || f.Offset == nil:
			return errors.New("a part inside a part, or without its offset")
		case p.onward && *f.Offset != m.offset:
			return fmt.Errorf("it goes on from %d, not %d", *f.Offset, m.offset)
		case p.onward && n > 0 && m.parts[n-1].kind == kind:
		case n > 0 && m.parts[n-1].kind == kind:
			return errors.New("neighbours of one kind")
		case !p.onward && *f.Offset != m.offset+p.mark(kind, m.offset):
			return fmt.Errorf("a part at %d behind %d", *f.Offset, m.offset)
		default:
			m.parts = append(m.parts, refPart{kind: kind, begin: *f.Offset})
		}
		m.offset, p.open, p.onward = *f.Offset, kind, false
		return nil
	case "text-delta", "reasoning-delta":
		if p.open != strings.TrimSuffix(f.Type, "-delta") || f.Delta == "" || len(f.Delta) > refMaxDelta || f.Offset == nil {
			return fmt.Errorf("a delta of %d bytes, or out of its place", len(f.Delta))
		}
		last := &m.parts[len(m.parts)-1]
		last.body = append(last.body, f.Delta...)
		if m.offset = *f.Offset; m.offset != last.begin+int64(len(last.body)) {
			return fmt.Errorf("offset %d, but %d bytes came behind %d", m.offset, len(last.body), last.begin)
		}
		return nil
	case "text-end", "reasoning-end":
		if p.open != strings.TrimSuffix(f.Type, "-end") {
			return errors.New("the end of a part out of its place")
		}
		p.open = ""
		return nil
	}
	if p.open != "" {
		return errors.New("an end inside a part")
	}
	switch f.Type {
	case "finish":
		m.FinishReason, m.Timestamp = f.Metadata.FinishReason, f.Metadata.Timestamp
	case "abort":
		m.FinishReason = "stopped"
	case "error":
		m.FinishReason = "error"
	}
	m.Content, m.Reasoning, m.parts, m.partial = m.text(), partsOf(m.parts, "reasoning", "\n\n"), nil, false
	p.current = ""
	return nil
}

// mark is how long the mark of a part is that begins at an offset: 0 for a text that
// is the first, and where reasoning is left out.
func (p *refPage) mark(kind string, offset int64) int64 {
	if !p.thinks || kind == "text" && offset == 0 {
		return 0
	}
	return 2
}
