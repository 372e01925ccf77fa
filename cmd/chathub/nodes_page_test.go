package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// frame is any frame of httpapi/PROTOCOL.md, in either direction.
type frame struct {
	Type         string     `json:"type"`
	ID           string     `json:"id,omitempty"`
	Of           string     `json:"of,omitempty"`
	Content      string     `json:"content,omitempty"`
	Role         string     `json:"role,omitempty"`
	MessageID    string     `json:"messageId,omitempty"`
	Conversation string     `json:"conversation_id,omitempty"`
	After        string     `json:"after,omitempty"`
	Running      string     `json:"running,omitempty"`
	Messages     []*message `json:"messages,omitempty"`
	Delta        string     `json:"delta,omitempty"`
	Offset       *int       `json:"offset,omitempty"`
	Epoch        int64      `json:"epoch,omitempty"`
	Code         string     `json:"code,omitempty"`
	Ref          string     `json:"ref,omitempty"`
	Outcome      string     `json:"outcome,omitempty"`
	ErrorText    string     `json:"errorText,omitempty"`
	Metadata     struct {
		FinishReason string `json:"finish_reason,omitempty"`
	} `json:"messageMetadata,omitzero"`
}

// message is one as a page holds it, and as a session's JSON has it.
type message struct {
	ID           string `json:"id"`
	Role         string `json:"role"`
	Content      string `json:"content"`
	Reasoning    string `json:"reasoning"`
	FinishReason string `json:"finish_reason"`

	parts   []part // of a reply that came as a stream
	thought bool   // they came with what was thought
	partial bool   // its end was not seen
	offset  int    // of a partial one: the last that was told
	epoch   int64  // in which that was so
}

// part is what a model says, or thinks, in one piece. Neighbours differ in kind.
type part struct {
	thought bool
	at      int // offset of its first byte
	text    string
}

// joined returns what was said, and what was thought.
func joined(parts []part) (said, thought string) {
	var thoughts []string
	for _, p := range parts {
		if p.thought {
			thoughts = append(thoughts, p.text)
		} else {
			said += p.text
		}
	}
	return said, strings.Join(thoughts, "\n\n")
}

// keep drops what is at an offset or behind it.
func (m *message) keep(offset int) {
	n := 0
	for _, p := range m.parts {
		if p.at < offset {
			p.text = p.text[:min(len(p.text), offset-p.at)]
			m.parts[n] = p
			n++
		}
	}
	m.parts, m.offset = m.parts[:n], offset
	m.Content, m.Reasoning = joined(m.parts)
}

// page is a client that does what the contract tells clients to do and nothing
// else, and calls what it does not promise an error. It outlives its
// connections. One goroutine uses it.
type page struct {
	session  string
	client   string
	thinks   bool // it wants reasoning, too
	messages []*message
	wire     *wire         // nil: away
	within   time.Duration // how long it takes for a connection to come about; 0: patience

	welcome bool
	current *message // whose chunks come
	opened  string   // the kind of its part whose start was seen, and no end yet: text, reasoning; "": none is
}

// violation is an error of what came over a connection: the hub broke the contract.
type violation struct{ error }

func (v violation) Unwrap() error { return v.error }

func newID() string { return uuid.NewString() }

// query is how the page comes back.
func (p *page) query() url.Values {
	q := url.Values{}
	if m := p.last(); m != nil {
		q.Set("after", m.ID)
		if m.partial {
			q.Set("offset", strconv.Itoa(m.offset))
			if m.epoch != 0 {
				q.Set("epoch", strconv.FormatInt(m.epoch, 10))
			}
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

func (p *page) last() *message {
	if len(p.messages) == 0 {
		return nil
	}
	return p.messages[len(p.messages)-1]
}

func (p *page) find(id string) int {
	for i := len(p.messages) - 1; i >= 0; i-- {
		if p.messages[i].ID == id {
			return i
		}
	}
	return -1
}

// connected begins a connection.
func (p *page) connected() {
	p.welcome, p.current, p.opened = false, nil, ""
}

// take does what a frame says.
func (p *page) take(raw []byte) (frame, error) {
	var f frame
	err := json.Unmarshal(raw, &f)
	if err == nil {
		err = p.apply(f)
	}
	if err != nil {
		err = violation{fmt.Errorf("%w\nframe: %.400s", err, raw)}
	}
	return f, err
}

func (p *page) apply(f frame) error {
	if (f.Type == "ready") == p.welcome {
		return errors.New("ready is not the first frame, or comes twice")
	}
	switch f.Type {
	case "ready":
		return p.ready(f)
	case "message":
		return p.said(f)
	case "start":
		return p.start(f)
	case "text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta", "reasoning-end", "finish", "abort":
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

func (p *page) ready(f frame) error {
	p.welcome = true
	if p.session == "" {
		p.session = f.Conversation
	}
	if f.Conversation != p.session {
		return errors.New("another conversation's ready")
	}
	if f.After == "" {
		p.messages = nil
	} else if err := p.behind(f.After, ""); err != nil {
		return err
	}
	if m := p.last(); m != nil && m.partial && (f.Running != m.ID || len(f.Messages) > 0) {
		return errors.New("it leaves a part of a reply and does not go on with it")
	}
	for _, m := range f.Messages {
		if (m.Role == "assistant") != (m.FinishReason != "") || p.find(m.ID) >= 0 {
			return fmt.Errorf("the message %s is odd, or comes twice", m.ID)
		}
		p.messages = append(p.messages, m)
	}
	return nil
}

// behind drops what stands behind a message, except keep when it stands right
// there.
func (p *page) behind(after, keep string) error {
	at := p.find(after)
	if after != "" && at < 0 && len(p.messages) > 0 {
		return errors.New("it follows what the page does not hold")
	}
	n := at + 1
	if n < len(p.messages) && p.messages[n].ID == keep {
		n++
	}
	p.messages = p.messages[:n]
	return nil
}

func (p *page) said(f frame) error {
	if at := p.find(f.ID); at >= 0 {
		if p.messages[at].Content != f.Content {
			return errors.New("acknowledged with another text")
		}
		return nil
	}
	if p.current != nil || f.Role != "user" {
		return errors.New("a message inside a reply, or nobody's")
	}
	if err := p.behind(f.After, ""); err != nil {
		return err
	}
	p.messages = append(p.messages, &message{ID: f.ID, Role: "user", Content: f.Content})
	return nil
}

// start begins a reply, or goes on with the current one under another writer.
func (p *page) start(f frame) error {
	if p.current != nil && p.current.ID != f.MessageID {
		return errors.New("a reply inside a reply")
	}
	if err := p.behind(f.After, f.MessageID); err != nil {
		return err
	}
	m := p.last()
	if m == nil || m.ID != f.MessageID {
		m = &message{ID: f.MessageID, Role: "assistant"}
		p.messages = append(p.messages, m)
	}
	if m.parts == nil && m.Content != "" { // it was stored, and is gone on with
		m.parts, m.offset = []part{{text: m.Content}}, len(m.Content)
	}
	if f.Offset == nil || *f.Offset < 0 || *f.Offset > m.offset {
		return fmt.Errorf("start beyond the offset %d that the page has", m.offset)
	}
	m.keep(*f.Offset)
	m.thought, m.partial, m.epoch, m.FinishReason = p.thinks, true, f.Epoch, ""
	p.current, p.opened = m, ""
	return nil
}

func (p *page) chunk(f frame) error {
	m := p.current
	if m == nil || f.ID != "" && f.ID != m.ID {
		return errors.New("no such reply is being streamed")
	}
	kind, what, _ := strings.Cut(f.Type, "-")
	switch what {
	case "start":
		return p.begin(f, kind)
	case "delta":
		last := len(m.parts) - 1
		if p.opened != kind || f.Delta == "" || f.Offset == nil || m.offset+len(f.Delta) != *f.Offset {
			return fmt.Errorf("a delta that does not follow the offset %d that the page has", m.offset)
		}
		m.parts[last].text, m.offset = m.parts[last].text+f.Delta, *f.Offset
		m.Content, m.Reasoning = joined(m.parts)
		return nil
	case "end":
		if p.opened != kind {
			return fmt.Errorf("%s out of its place", f.Type)
		}
		p.opened = ""
		return nil
	}
	if p.opened != "" {
		return fmt.Errorf("an end without %s-end", p.opened)
	}
	switch f.Type {
	case "finish":
		m.FinishReason = f.Metadata.FinishReason
	case "abort":
		m.FinishReason = "stopped"
	case "error":
		m.FinishReason = "error"
	}
	m.partial, p.current = false, nil
	return nil
}

// begin begins a part of the current reply, or goes on with its last one.
func (p *page) begin(f frame, kind string) error {
	const mark = 2 // bytes in front of a part, but of text at the beginning
	m, thought := p.current, kind == "reasoning"
	if p.opened != "" || f.Offset == nil || *f.Offset != m.offset && *f.Offset != m.offset+mark || thought && !p.thinks {
		return fmt.Errorf("%s twice, unwanted, or not behind the offset %d that the page has", f.Type, m.offset)
	}
	p.opened = kind
	n := len(m.parts)
	switch same := n > 0 && m.parts[n-1].thought == thought; {
	case same && *f.Offset != m.offset, !p.thinks && *f.Offset != m.offset:
		return fmt.Errorf("%s behind a part of its kind", f.Type)
	case !same:
		m.parts = append(m.parts, part{thought: thought, at: *f.Offset})
	}
	m.offset = *f.Offset
	return nil
}

// differs says what a page holds otherwise than the conversation; "": nothing.
func differs(held, stored []*message) string {
	if len(held) != len(stored) {
		return fmt.Sprintf("it holds %d messages of %d", len(held), len(stored))
	}
	for i, h := range held {
		s := stored[i]
		if h.ID != s.ID || h.Role != s.Role || h.FinishReason != s.FinishReason || h.partial {
			return fmt.Sprintf("message %d is %s %s %q, stored is %s %s %q", i, h.Role, h.ID, h.FinishReason, s.Role, s.ID, s.FinishReason)
		}
		if h.Content != s.Content {
			return fmt.Sprintf("message %d: %s", i, textDiff(h.Content, s.Content))
		}
		if h.thought && h.Reasoning != s.Reasoning {
			return fmt.Sprintf("reasoning of message %d: %s", i, textDiff(h.Reasoning, s.Reasoning))
		}
	}
	return ""
}

// textDiff says where two texts part.
func textDiff(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	from := max(0, n-20)
	return fmt.Sprintf("the text has %d bytes of %d, and differs at byte %d: %q, want %q",
		len(got), len(want), n, got[from:min(len(got), n+20)], want[from:min(len(want), n+20)])
}
