package hub

import (
	"encoding/json"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// maxReady bounds the messages in a ready frame, in bytes of JSON.
const maxReady = 256 << 10

// begin sends ready, and finds where the client stands.
func (f *follow) begin(j *Join) error {
	if j.before != nil {
		j.before.yield()
	}
	c := f.c
	s, err := f.get(session.Position{ID: j.After})
	if err != nil {
		return err
	}
	if c.dialect.silent() {
		f.at(s.Last())
		return nil
	}
	r := ready{Type: "ready", Conversation: c.conversation.ID, CreatedAt: s.CreatedAt, Model: c.hub.cfg.ModelName}
	if j.Offset >= 0 {
		f.resume, f.offset, f.epoch = j.After, j.Offset, j.Epoch
	}
	known := false
	switch {
	case j.After == uuid.Nil:
	case s.Running != nil && s.Running.Reply == j.After:
		known, r.After = true, &j.After
	case s.After.ID != j.After:
		if s.After.ID != uuid.Nil { // it was edited, and what is before it is not here
			s, err = f.get(session.Position{})
			if err != nil {
				return err
			}
		}
		c.hub.metrics.resumed(resumeOver)
	case j.Offset < 0:
		known, r.After = true, &j.After
		c.hub.metrics.resumed(resumeExact)
	default: // a reply that has ended comes again, whole
		s, err = f.get(session.Position{Seq: s.After.Seq - 1})
		if err != nil {
			return err
		}
		known, r.After = s.After.ID != uuid.Nil, optional(s.After.ID)
		f.resume, f.offset = uuid.Nil, 0
		c.hub.metrics.resumed(resumeWhole)
	}
	if s.Running != nil {
		r.Running = &s.Running.Reply
	}
	var last session.Position
	if known {
		r.Messages, last = oldest(s)
	} else {
		r.Messages, last, r.More = newest(s)
	}
	if err := f.send(r); err != nil {
		return err
	}
	f.at(last)
	return f.flush()
}

// oldest returns the first messages of s that go into a ready frame, and the
// place behind them. The others follow as frames of their own.
func oldest(s session.Session) ([]json.RawMessage, session.Position) {
	messages, last, size := []json.RawMessage{}, s.After, 0
	for _, m := range s.Messages {
		b := appendJSON(nil, m)
		if size += len(b) + 1; size > maxReady {
			break
		}
		messages, last = append(messages, b), m.Position()
	}
	return messages, last
}

// newest returns the last messages of s that go into a ready frame, the place
// behind them, and whether there are older ones. A last message too large for
// the frame follows it, as frames of its own.
func newest(s session.Session) ([]json.RawMessage, session.Position, bool) {
	n, first, size := len(s.Messages), len(s.Messages), 0
	messages := make([]json.RawMessage, n)
	for first > 0 {
		b := appendJSON(nil, s.Messages[first-1])
		if size += len(b) + 1; size > maxReady {
			break
		}
		first--
		messages[first] = b
	}
	if first < n || n == 0 {
		return messages[first:], s.Last(), first > 0
	}
	if n == 1 {
		return messages[first:], s.After, false
	}
	return messages[first:], s.Messages[n-2].Position(), true
}
