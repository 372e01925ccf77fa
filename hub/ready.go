package hub

import (
	"github.com/google/uuid"

	"lumos/backend/session"
)

// maxReady bounds the contents of the messages in a ready frame, in bytes.
const maxReady = 256 << 10

// ready sends the ready frame, and sets the client's position by what it says it has.
func (c *Conn) ready(j *Join) error {
	s, err := c.get(session.Position{ID: j.After})
	if err != nil {
		return err
	}
	r := Ready{
		Conversation: c.ref.ID, CreatedAt: s.CreatedAt, Model: c.hub.cfg.ModelName, Watching: c.watch,
	}
	if s.Running != nil {
		r.Running = s.Running.Reply
	}
	known := false
	switch {
	case j.After == uuid.Nil:
	case s.Running != nil && s.Running.Reply == j.After:
		known, r.After = true, j.After
	case s.After.ID != j.After:
		// What the client has is on another branch, was edited, or is not known here:
		// it gets the conversation from the beginning.
		if s, err = c.get(session.Position{}); err != nil {
			return err
		}
		c.hub.metrics.resumed(resumeOver)
	case j.Offset < 0:
		known, r.After = true, j.After
		c.hub.metrics.resumed(resumeExact)
	default: // the reply has ended meanwhile, and is sent again as a whole
		if s, err = c.get(session.Position{Seq: s.After.Seq - 1}); err != nil {
			return err
		}
		known, r.After = s.After.ID != uuid.Nil, s.After.ID
		c.resume = nil
		c.hub.metrics.resumed(resumeWhole)
	}
	var last session.Position
	if known {
		r.Messages, last = oldest(s)
	} else {
		r.Messages, last, r.More = newest(s)
	}
	if !c.dialect.Ready(c.out, r) {
		last, c.repliesOnly = s.Last(), true
	}
	c.setPos(last)
	_, err = c.out.Flush(true)
	return err
}

// frameSize is about how many bytes a message takes in a ready frame.
func frameSize(m session.Message) int {
	n := 192 + len(m.Content)
	for _, c := range []byte(m.Content) {
		switch {
		case c == '"', c == '\\':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}

// oldest returns the first messages of s that fit into a ready frame, and the position
// after them. The others follow as frames of their own.
func oldest(s session.Session) ([]session.Message, session.Position) {
	n, size, last := 0, 0, s.After
	for _, m := range s.Messages {
		if size += frameSize(m); size > maxReady {
			break
		}
		n, last = n+1, m.Position()
	}
	return s.Messages[:n], last
}

// newest returns the last messages of s that fit into a ready frame, the position after
// them, and whether there are older ones. A last message that is too large for the frame
// follows as frames of its own.
func newest(s session.Session) ([]session.Message, session.Position, bool) {
	n, first, size := len(s.Messages), len(s.Messages), 0
	for first > 0 {
		if size += frameSize(s.Messages[first-1]); size > maxReady {
			break
		}
		first--
	}
	switch {
	case first < n || n == 0:
		return s.Messages[first:], s.Last(), first > 0
	case n == 1:
		return nil, s.After, false
	}
	return nil, s.Messages[n-2].Position(), true
}
