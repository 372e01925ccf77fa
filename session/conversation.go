package session

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/google/uuid"
)

// Conversation is a session as the store has it. Only a Change changes it, whether from a
// step here, a file or another node. Its cell's lock guards it; slices and pointers that
// were handed out stay valid, and what they show does not change.
//
// Its messages form a tree that only grows. Clients see the path from the beginning to the
// head's Tip.
type Conversation struct {
	Head
	messages []Message           // in the order in which they were stored; only appended to
	byID     map[uuid.UUID][]int // indexes in messages; several if a message was edited

	// Derived from Tip.
	path     []Message // may share the memory of messages
	branched bool      // some message is not on the path, or was not at some time
}

// Head is all of a conversation but its messages. Its JSON is part of the stores' format.
type Head struct {
	Version string    `json:"v,omitempty"`    // random name of the last change: a failover could give a number twice
	Born    string    `json:"born,omitempty"` // see Ref
	Owner   string    `json:"own,omitempty"`  // the token's subject; "": none, and the id is the key
	Key     uuid.UUID `json:"key,omitzero"`   // idempotency key that made the session; nil: none
	Created time.Time `json:"made,omitzero"`
	Updated time.Time `json:"used"` // when something was last said or finished
	Seq     int64     `json:"seq"`  // the last Seq that was given to a message
	Tip     int64     `json:"tip"`  // Seq of the last message of the path; 0: none
	Count   int       `json:"n"`    // of messages: a log of another length is damage
	Bytes   int64     `json:"size"` // of the contents of all messages
	Running *Running  `json:"run,omitempty"`
	Conn    *Claimed  `json:"conn,omitempty"` // the connection that has the conversation; nil: none
}

// Running names the reply that is being written. It is replaced, never changed.
type Running struct {
	Reply uuid.UUID `json:"id,omitzero"` // the id of the message that it will become
	User  Position  `json:"user"`        // the message that it answers: the path's last
	Seq   int64     `json:"seq"`
	Model string    `json:"model,omitempty"`

	Epochs   []Epoch `json:"epochs,omitempty"` // one for each time that it was taken over
	Fence    string  `json:"fence,omitempty"`  // who may write it, see newFence; "": it was yielded
	Deaths   int     `json:"deaths,omitempty"` // how many of its writers have died
	Stopping bool    `json:"stop,omitempty"`   // its writer, or the node that takes it over, only ends it
	Client   string  `json:"client,omitempty"` // against whose limits it counts; "": none
}

// Position returns the place right after the reply.
func (r *Running) Position() Position { return Position{ID: r.Reply, Seq: r.Seq} }

// Claimed names the connection that has a conversation.
type Claimed struct {
	Node       string    `json:"node"`
	Connection uuid.UUID `json:"id"`
	Client     uuid.UUID `json:"client,omitzero"`   // nil: not told
	Arrived    int64     `json:"arrived,omitempty"` // Unix nanoseconds by the node's clock
}

// Change is all that can happen to a conversation, and the journal's record of
// it. One without Born deletes it. A nil Change means that nothing is missing.
type Change struct {
	Head
	Add []Message // each with its Parent and the change's Version

	// Had, if not negative, is the length in bytes of the running reply's stored text
	// that the step saw: with another length the change is a conflict. Has is how much
	// of the text stays; where the change ends the reply, the length of its message.
	Had, Has int
}

// End is after every message: a view from there has no messages.
var End = Position{Seq: math.MaxInt64}

// apply makes the change.
func (c *Conversation) apply(ch *Change) {
	c.Head = ch.Head
	if c.byID == nil && len(ch.Add) > 0 {
		c.byID = make(map[uuid.UUID][]int)
	}
	for _, m := range ch.Add {
		c.byID[m.ID] = append(c.byID[m.ID], len(c.messages))
		c.messages = append(c.messages, m)
	}
	c.walk(len(ch.Add))
}

// walk updates path for the Tip. added is how many messages are new.
func (c *Conversation) walk(added int) {
	n := len(c.messages)
	switch {
	case c.tip() == c.Tip && added == 0:
		return
	case !c.branched && c.isChain(n-added) && (n == 0 || c.messages[n-1].Seq == c.Tip):
		c.path = c.messages[:n:n]
		return
	case c.branched && added == 1 && c.messages[n-1].Seq == c.Tip && c.messages[n-1].Parent == c.tip():
		c.path = append(c.path, c.messages[n-1])
		return
	}
	c.branched, c.path = true, c.pathTo(c.Tip)
}

// tip is the Seq of the path's last message; 0: it is empty.
func (c *Conversation) tip() int64 {
	if n := len(c.path); n > 0 {
		return c.path[n-1].Seq
	}
	return 0
}

// isChain tells whether the messages from index n on each follow the one before.
func (c *Conversation) isChain(n int) bool {
	for i := n; i < len(c.messages); i++ {
		parent := int64(0)
		if i > 0 {
			parent = c.messages[i-1].Seq
		}
		if c.messages[i].Parent != parent {
			return false
		}
	}
	return true
}

// find returns the index of the message with this Seq.
func (c *Conversation) find(seq int64) (int, bool) {
	return sort.Find(len(c.messages), func(i int) int { return cmp.Compare(seq, c.messages[i].Seq) })
}

// onPath returns the index in the path of the message with this Seq.
func (c *Conversation) onPath(seq int64) (int, bool) {
	return sort.Find(len(c.path), func(i int) int { return cmp.Compare(seq, c.path[i].Seq) })
}

// reply returns the stored reply with this id; nil: there is none.
func (c *Conversation) reply(id uuid.UUID) *Message {
	for _, i := range c.byID[id] {
		if m := &c.messages[i]; m.Role == Assistant {
			return m
		}
	}
	return nil
}

// before returns the id of the message that m follows; nil: m is a first one.
func (c *Conversation) before(m Message) uuid.UUID {
	if i, ok := c.find(m.Parent); ok {
		return c.messages[i].ID
	}
	return uuid.Nil
}

// pathTo returns the messages from the beginning up to the one with this Seq.
func (c *Conversation) pathTo(seq int64) []Message {
	if n, ok := c.onPath(seq); ok {
		return c.path[: n+1 : n+1]
	}
	var path []Message
	for i, ok := c.find(seq); ok; i, ok = c.find(c.messages[i].Parent) {
		path = append(path, c.messages[i])
	}
	slices.Reverse(path)
	return path
}

// empty tells whether nothing was said in it.
func (c *Conversation) empty() bool { return len(c.messages) == 0 && c.Running == nil }

// view returns the session with the messages after a place.
func (c *Conversation) view(id uuid.UUID, after Position) Session {
	n := c.indexAfter(after)
	s := Session{
		ID: id, CreatedAt: c.Created, UpdatedAt: c.Updated, Owner: c.Owner, Born: c.Born, Running: c.Running, Seq: c.Head.Seq,
		Messages: c.path[n:len(c.path):len(c.path)],
	}
	if n > 0 {
		s.After = c.path[n-1].Position()
	}
	if s.Messages == nil {
		s.Messages = []Message{}
	}
	return s
}

// indexAfter returns the index in the path of the first message that a client at p lacks:
// the one after the last message that the path and the way to p have in common.
func (c *Conversation) indexAfter(p Position) int {
	if c.Running != nil && c.Running.Reply == p.ID {
		return len(c.path)
	}
	known := c.byID[p.ID]
	if p.Seq == 0 && len(known) > 0 {
		if len(known) == 1 {
			return c.common(c.messages[known[0]].Seq)
		}
		// The client may have any of several texts of this id, so it is given all that
		// follows what they have in common.
		n := len(c.path)
		for _, i := range known {
			n = min(n, c.common(c.messages[i].Parent))
		}
		return n
	}
	if i, ok := c.find(p.Seq); ok && c.messages[i].ID == p.ID {
		return c.common(p.Seq)
	}
	// p is not known: a failover has lost it, or it never was. Older messages were there.
	return sort.Search(len(c.path), func(i int) bool { return c.path[i].Seq > p.Seq })
}

// common returns how many messages the path shares with the way to the message seq.
func (c *Conversation) common(seq int64) int {
	for seq != 0 {
		if n, ok := c.onPath(seq); ok {
			return n + 1
		}
		i, ok := c.find(seq)
		if !ok {
			break
		}
		seq = c.messages[i].Parent
	}
	return 0
}

// Epoch is the part of a reply from where one writer took it over from another.
type Epoch struct {
	N  int64 `json:"n"`  // its name; grows, and stays below 2^53
	At int   `json:"at"` // where it begins, in bytes of the reply
}

// Epoch names the latest epoch of the reply; 0: its first writer's.
func (r *Running) Epoch() int64 {
	if n := len(r.Epochs); n > 0 {
		return r.Epochs[n-1].N
	}
	return 0
}

// ValidPrefix returns how much of a reply's first offset bytes, as they were in an epoch,
// is still part of it: less if a later writer resumed earlier, and 0 if a failover has
// lost the epoch.
func ValidPrefix(epochs []Epoch, epoch int64, offset int) int {
	known := epoch <= 1 // 0 and 1 both name the first writer's
	for _, e := range epochs {
		if known {
			offset = min(offset, e.At)
		}
		known = known || e.N == epoch
	}
	if !known {
		return 0
	}
	return offset
}

// NewConversation returns the conversation that a store has in this head and log.
// Errors: they do not fit together.
func NewConversation(h Head, log []Message) (*Conversation, error) {
	c := new(Conversation)
	if len(log) > 0 {
		c.messages, c.byID = make([]Message, 0, len(log)), make(map[uuid.UUID][]int, len(log))
	}
	if h.Count != len(log) {
		return nil, fmt.Errorf("its head counts %d messages, its log has %d", h.Count, len(log))
	}
	for i := 1; i < len(log); i++ {
		if log[i].Seq <= log[i-1].Seq || log[i].Parent >= log[i].Seq {
			return nil, fmt.Errorf("message %d of its log is out of order", i)
		}
	}
	c.apply(&Change{Head: h, Add: log})
	if c.tip() != h.Tip {
		return nil, errors.New("its tip is not in its log")
	}
	return c, nil
}

// Grave is what a deletion leaves for a while, so that a delayed creation does not undo
// it. It has nothing but a version.
func Grave(version string) *Conversation { return &Conversation{Head: Head{Version: version}} }

// Known tells a Backend what the Manager has of a conversation: its version, how many
// messages, and the version that added the last one. All are zero for nil.
func (c *Conversation) Known() (version string, messages int, last string) {
	if c == nil {
		return "", 0, ""
	}
	if n := len(c.messages); n > 0 {
		return c.Version, n, c.messages[n-1].Version
	}
	return c.Version, 0, ""
}

// With returns a conversation with this head, c's first n messages, and then those of log.
// c does not change. Errors: as for NewConversation.
func (c *Conversation) With(h Head, n int, log []Message) (*Conversation, error) {
	switch {
	case n == 0:
		return NewConversation(h, log)
	case n < len(c.messages) || len(log) > 0:
		return NewConversation(h, append(c.messages[:n:n], log...))
	case n != h.Count:
		return nil, fmt.Errorf("its head counts %d messages, its log has %d", h.Count, n)
	}
	next := *c // a connection has come or gone: that costs nothing in a long conversation
	if next.apply(&Change{Head: h}); next.tip() != h.Tip {
		return nil, errors.New("its tip is not in its log")
	}
	return &next, nil
}

// Messages returns all messages that there are, in the order of their Seq.
func (c *Conversation) Messages() []Message { return c.messages }
