package session

import (
	"hash/crc32"
	"slices"

	"github.com/google/uuid"
)

// Page is what a page shows around the user message of a Turn. The page decides
// where that message stands: behind the last message before it that is known, on
// whatever branch. What is not known was refused, or is the page's own, and
// counts as not there; where the page seems to show more of a conversation than
// is known of it, the Turn is ErrChanged.
type Page struct {
	Before []Shown // what stands before the message, oldest first
	Older  bool    // there is more in front of Before
	Last   Shown   // what stands last, behind the message; of no Role: the message does
	Tail   bool    // the page does not tell: the message follows the tip
	Anew   bool    // the message, if it is known, is to get another reply
}

// Shown is one message that a page shows.
type Shown struct {
	ID      uuid.UUID // nil: an id that no message can have
	Role    Role
	Text    Sum
	Thought Sum // of the texts of its reasoning
}

// Sum tells one text from another without keeping it.
type Sum struct {
	Bytes int
	CRC   uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Add returns the Sum of a text with p behind it.
func (s Sum) Add(p []byte) Sum {
	return Sum{Bytes: s.Bytes + len(p), CRC: crc32.Update(s.CRC, castagnoli, p)}
}

// Answered tells whether the page shows an answer to something that the user said.
func (p *Page) Answered() bool {
	asked := false
	for _, s := range p.Before {
		if asked && s.Role == Assistant {
			return true
		}
		asked = asked || s.Role == User
	}
	return p.Older || p.Last.Role == Assistant
}

// place is where a new user message goes.
type place struct {
	after   int64 // Seq of the message that it follows; 0: the beginning
	named   bool  // the turn names that message
	changed bool  // but what the client shows there is not what is stored
}

// place finds where a Submit or an Edit is to stand, if it is new.
func (c *Conversation) place(t Turn) place {
	switch {
	case t.Page != nil && !t.Page.Tail:
		return c.placeOn(t.Page)
	case t.Page != nil, t.Behind == nil:
		return place{after: c.Tip}
	case *t.Behind == uuid.Nil:
		return place{named: true}
	}
	seq, ok := c.seqOf(Shown{ID: *t.Behind}, nil)
	return place{after: seq, named: ok, changed: !ok}
}

// placeOn finds it by what the page shows before the message.
func (c *Conversation) placeOn(p *Page) place {
	tip := c.Tip
	if c.Running != nil {
		tip = c.Running.Seq
	}
	answered := false // by something that is not known
	for i, s := range slices.Backward(p.Before) {
		if seq, ok := c.seqOf(s, p.Before[:i]); ok {
			return place{after: seq, named: true, changed: answered && seq != tip}
		}
		answered = answered || s.Role == Assistant
	}
	return place{changed: p.Answered()}
}

// ownEnd tells whether the page ends with an answer to something other than what is said:
// the SDK would write the reply into it.
func (c *Conversation) ownEnd(t Turn) bool {
	if t.Page == nil || t.Page.Last.Role != Assistant {
		return false
	}
	i, ok := c.find(c.answeredOn(t.Page))
	return !ok || c.messages[i].ID != t.User.ID || c.messages[i].Content != t.User.Content
}

// seqOf returns the message that a page shows behind others, or the running reply. A
// message of the user's may have several instances under its id. Those with the page's text
// count, and all where the page shows a text that was refused; of these the ones that follow
// what the page shows before. Where that is none, a refused text counts as not there.
func (c *Conversation) seqOf(s Shown, before []Shown) (seq int64, ok bool) {
	if seq, ok := c.only(s.ID); ok && (s.Role != User || len(before) == 0) {
		return seq, true
	}
	known := c.byID[s.ID]
	same := c.among(known, func(m Message) bool { return s.Text == (Sum{}).Add([]byte(m.Content)) })
	if len(same) > 0 {
		known = same
	}
	for _, b := range slices.Backward(before) {
		after, ok := c.only(b.ID)
		if !ok {
			continue
		}
		if follow := c.among(known, func(m Message) bool { return c.follows(m, after) }); len(follow) > 0 || len(same) == 0 {
			known = follow
		}
		break
	}
	for _, i := range known {
		seq = c.messages[i].Seq
		if _, on := c.onPath(seq); on {
			break
		}
	}
	return seq, len(known) > 0
}

// only returns the one message with this id, or the running reply; !ok: there is none,
// or there are several.
func (c *Conversation) only(id uuid.UUID) (seq int64, ok bool) {
	switch known := c.byID[id]; {
	case c.Running != nil && c.Running.Reply == id:
		return c.Running.Seq, true
	case len(known) == 1:
		return c.messages[known[0]].Seq, true
	}
	return 0, false
}

// among returns those of the messages with these indexes that are right.
func (c *Conversation) among(known []int, right func(Message) bool) (some []int) {
	for _, i := range known {
		if right(c.messages[i]) {
			some = append(some, i)
		}
	}
	return some
}

// answeredOn returns the user message whose reply the page shows last; 0: none.
func (c *Conversation) answeredOn(p *Page) int64 {
	switch {
	case p == nil || p.Last.Role != Assistant:
		return 0
	case c.Running != nil && c.Running.Reply == p.Last.ID:
		return c.Running.User.Seq
	}
	if m := c.reply(p.Last.ID); m != nil {
		return m.Parent
	}
	return 0
}

// named finds the user message that a Submit or an Edit says once more: of its id, the
// one whose reply the page shows, else behind what it is to follow, with the same text
// if there is one. The zero
// Message: there is none. A turn that tells nothing of branches means the path.
// Errors: ErrReused, where the id is a reply's.
func (c *Conversation) named(t Turn, at place) (found Message, same bool, err error) {
	best, answered := -1, c.answeredOn(t.Page)
	for _, i := range c.byID[t.User.ID] {
		m := c.messages[i]
		if m.Role != User {
			return Message{}, false, ErrReused
		}
		_, on := c.onPath(m.Seq)
		if m.Seq == answered {
			return m, m.Content == t.User.Content, nil
		}
		if at.named && !c.follows(m, at.after) || !on && t.Kind == Submit && t.Page == nil && t.Behind == nil {
			continue
		}
		rank := 0
		if on {
			rank = 1
		}
		if at.named && m.Parent == at.after {
			rank += 2
		}
		if m.Content == t.User.Content {
			rank += 4
		}
		if rank >= best { // of equals the newest
			best, found, same = rank, m, m.Content == t.User.Content
		}
	}
	return found, same, nil
}

// follows tells whether the message seq is among those before m; 0 is before all.
func (c *Conversation) follows(m Message, seq int64) bool {
	for m.Parent > seq {
		if _, on := c.onPath(m.Seq); on { // no need to walk
			_, on = c.onPath(seq)
			return on || seq == 0
		}
		i, ok := c.find(m.Parent)
		if !ok {
			return false
		}
		m = c.messages[i]
	}
	return m.Parent == seq
}

// known answers a message that was said before. A page moves the tip to the reply;
// otherwise what was said twice moves nothing.
func (c *Conversation) known(m Message, t Turn, fence string) (Said, *Change, error) {
	reply, shown := c.replyTo(m, t.Page)
	if r := c.Running; r != nil && r.User.Seq == m.Seq && !shown {
		return Said{User: m, Before: c.before(m), Running: r}, nil, nil
	}
	_, on := c.onPath(m.Seq)
	stays, there := on && t.Page == nil, reply.Seq == c.Tip && c.Running == nil
	anew := reply.FinishReason == FinishError && !shown && (!stays || there)
	switch {
	case !anew && (stays || there):
		return c.ended(reply), nil, nil
	case c.Running != nil:
		return Said{}, nil, ErrBusy
	case anew:
		return Said{}, c.start(c.change(), m, t, fence), nil
	}
	ch := c.change()
	ch.Tip = reply.Seq
	return Said{}, ch, nil
}

// replyTo returns a reply to a message that runs no more: the one that the page
// shows, else the one on the path, else the newest. As long as a message has none,
// its reply runs.
func (c *Conversation) replyTo(m Message, p *Page) (found Message, shown bool) {
	onPath := false
	for _, reply := range c.messages {
		if reply.Parent != m.Seq || reply.Role != Assistant {
			continue
		}
		if p != nil && reply.ID == p.Last.ID {
			return reply, true
		}
		if _, on := c.onPath(reply.Seq); on || !onPath {
			found, onPath = reply, on
		}
	}
	return found, false
}
