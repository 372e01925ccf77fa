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

// Conversation is a session as the store has it. Nothing but a Change changes
// it, wherever that comes from: a step taken here, a file, another node. It
// belongs to its cell's lock; what was handed out of it stays as it was.
//
// Its messages form a tree that only grows. What everybody sees is the path from
// the beginning to the head's Tip.
type Conversation struct {
	Head
	messages []Message           // in the order in which they were stored; only appended to
	byID     map[uuid.UUID][]int // indexes of messages; several where one was edited

	// Derived from Tip. The path shares the memory of messages as long as nothing
	// stands beside it.
	path     []Message
	branched bool
}

// Head is all of a conversation that is not its messages. A store keeps it as
// it is; the fields' names in it are part of the format.
type Head struct {
	Version string    `json:"v,omitempty"`    // random name of the last change: safe across a failover, as a number is not
	Born    string    `json:"born,omitempty"` // see Ref
	Owner   string    `json:"own,omitempty"`  // the token's subject; "": nobody's
	Key     uuid.UUID `json:"key,omitzero"`   // idempotency key that made the session; nil: none
	Created time.Time `json:"made,omitzero"`
	Updated time.Time `json:"used"` // when something was last said or finished
	Seq     int64     `json:"seq"`  // the last that was given
	Tip     int64     `json:"tip"`  // Seq of the last message of the path; 0: none
	Count   int       `json:"n"`    // messages that there are: a log of another length is damage
	Bytes   int64     `json:"size"` // of all contents together
	Running *Running  `json:"run,omitempty"`
	Conn    *Claimed  `json:"conn,omitempty"` // the one connection; nil: none
}

// Running names the reply that is being written. It is replaced, never changed.
type Running struct {
	Reply uuid.UUID `json:"id,omitzero"` // the id of the message that it will become
	User  Position  `json:"user"`        // the message that it answers: the path's last
	Seq   int64     `json:"seq"`
	Model string    `json:"model,omitempty"`

	Epochs   []Epoch `json:"epochs,omitempty"` // who took it over, in order
	Fence    string  `json:"fence,omitempty"`  // who may write it, see newFence; "": it was yielded
	Deaths   int     `json:"deaths,omitempty"` // of its writers
	Stopping bool    `json:"stop,omitempty"`   // whoever writes or takes it only ends it
	Client   string  `json:"client,omitempty"` // whose limits it counts against; "": nobody's
}

// Position returns the place right behind the reply.
func (r *Running) Position() Position { return Position{ID: r.Reply, Seq: r.Seq} }

// Claimed is the connection that has a conversation.
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

	// Had, if it is not negative, is how long the running reply's stored text was
	// when the step looked, and Has how much of it stays: where the text has
	// another length, the change is a conflict. Behind a reply's end, Has bytes
	// of the text are the content of the message in Add.
	Had, Has int
}

// End is behind every message: a view from there has none.
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

// walk brings the path to the tip; added is how many messages are new.
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
	c.branched = true
	var path []Message
	for seq := c.Tip; seq != 0; {
		i, ok := c.find(seq)
		if !ok {
			break // damage; Load has refused it
		}
		path = append(path, c.messages[i])
		seq = c.messages[i].Parent
	}
	slices.Reverse(path)
	c.path = path
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

// onPath returns the place of a message on the path.
func (c *Conversation) onPath(seq int64) (int, bool) {
	return sort.Find(len(c.path), func(i int) int { return cmp.Compare(seq, c.path[i].Seq) })
}

// lookup returns the message that an id means: the one on the path, else the
// newest.
func (c *Conversation) lookup(id uuid.UUID) (m Message, ok bool) {
	known := c.byID[id]
	for _, i := range slices.Backward(known) {
		if _, on := c.onPath(c.messages[i].Seq); on {
			return c.messages[i], true
		}
	}
	if len(known) == 0 {
		return Message{}, false
	}
	return c.messages[known[len(known)-1]], true
}

// reply returns the stored reply of an id; nil: there is none.
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

// view returns the session with the messages behind a place.
func (c *Conversation) view(id uuid.UUID, after Position) Session {
	n := c.behind(after)
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

// behind returns the index in the path of the first message behind a place: the
// path behind the last message that the place has in common with it.
func (c *Conversation) behind(p Position) int {
	if c.Running != nil && c.Running.Reply == p.ID {
		return len(c.path)
	}
	known := c.byID[p.ID]
	if p.Seq == 0 && len(known) > 0 {
		if len(known) == 1 {
			return c.common(c.messages[known[0]].Seq)
		}
		// Its text may be any of several, so the client may have any of these
		// places: what is common to all of them is what is before the message.
		n := len(c.path)
		for _, i := range known {
			n = min(n, c.common(c.messages[i].Parent))
		}
		return n
	}
	if i, ok := c.find(p.Seq); ok && c.messages[i].ID == p.ID {
		return c.common(p.Seq)
	}
	// What it named is not known (a failover has lost it, or it is none): all that
	// is older was there then.
	return sort.Search(len(c.path), func(i int) bool { return c.path[i].Seq > p.Seq })
}

// common returns how many messages of the path are among a message and its
// ancestors.
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

// Epoch begins when a writer takes a reply over from another.
type Epoch struct {
	N  int64 `json:"n"`  // names it; grows, below 2^53
	At int   `json:"at"` // where it began, in bytes of the reply
}

// firstEpoch names a first writer's epoch where a client had to be told of one.
const firstEpoch = 1

// Epoch names the latest epoch of the reply; 0: its first writer's.
func (r *Running) Epoch() int64 {
	if n := len(r.Epochs); n > 0 {
		return r.Epochs[n-1].N
	}
	return 0
}

// ValidPrefix returns how much of the first offset bytes of a reply, as they
// were in an epoch, is still part of it: less where another writer resumed
// earlier, and nothing of an epoch that a failover has lost.
func ValidPrefix(epochs []Epoch, epoch int64, offset int) int {
	known := epoch <= firstEpoch
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

// Grave is what a deletion leaves for a while, so that a creation that comes late
// does not undo it. Only its version counts.
func Grave(version string) *Conversation { return &Conversation{Head: Head{Version: version}} }

// Known tells a Backend what the Manager has of a conversation: its version, how
// many messages, and the version that added the last of them. A nil one is "".
func (c *Conversation) Known() (version string, messages int, last string) {
	if c == nil {
		return "", 0, ""
	}
	if n := len(c.messages); n > 0 {
		return c.Version, n, c.messages[n-1].Version
	}
	return c.Version, 0, ""
}

// With returns the conversation that has c's first n messages and those of a log
// behind them, under this head. c stays as it is. Errors: as for NewConversation.
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

func version(c *Conversation) string {
	if c == nil {
		return ""
	}
	return c.Version
}
