package session

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// A step returns its result and the change that is still missing for it to be done. If it
// was done before, no change is missing: so a step may be repeated.

// TurnKind says how a turn changes the conversation before it is answered.
type TurnKind int

const (
	// Submit adds the user message. One whose id is known with the same text is not
	// asked again unless its reply failed and is the last message.
	Submit TurnKind = iota
	// Edit adds the user message as a sibling of the one with the same id. With the text
	// that this one has, it is a Submit.
	Edit
	// Regenerate starts a sibling of the last reply (which Turn.Of, when set, must name).
	Regenerate
)

// Turn is one thing said, and the reply to come.
type Turn struct {
	Kind  TurnKind
	User  Message   // for Submit and Edit: id (not nil), content and time
	Of    uuid.UUID // for Regenerate: the reply
	Reply uuid.UUID // the id that the reply gets, if one is started
	Model string
	// Client is the client against whose limits the reply counts.
	Client string
	// Most and MostBytes bound the messages on the path and the bytes of the
	// conversation, this turn included; 0: any number.
	Most      int
	MostBytes int64
	// Behind is the message that User is to follow, on whatever branch; nil: the
	// path's last. The nil UUID is the beginning.
	Behind *uuid.UUID
	// Page is what a page shows around User, in place of Behind; nil: not known.
	Page *Page
}

// Said is what became of a Turn.
type Said struct {
	User    Message   // as it is stored
	Before  uuid.UUID // the message before User; nil: User is the first
	Started bool      // the reply Turn.Reply is running now, and the caller must write it
	// Done: a Regenerate named a reply that is no longer on the path, so it was done
	// before.
	Done    bool
	Running *Running  // the reply to User that is running, Started or not
	Ended   *Message  // the reply to User, if it ended
	History []Message // with Started: the conversation up to and including User
	Text    *Text     // with Started: what the reply is written to
}

// maxDeaths is how many writers of one reply may die before it is ended.
const maxDeaths = 3

// change begins a change.
func (c *Conversation) change() *Change {
	ch := &Change{Head: c.Head, Had: -1}
	ch.Version = randomName()
	return ch
}

// nextSeq returns a new Seq: the time in microseconds, but always larger than the last, also
// if the clock steps back. After a failover the time keeps it from being given twice.
func (ch *Change) nextSeq() int64 {
	ch.Seq = max(time.Now().UnixMicro(), ch.Seq+1)
	return ch.Seq
}

// add adds a message to the path.
func (ch *Change) add(m Message) {
	m.Version = ch.Version
	ch.Add = append(ch.Add, m)
	ch.Count++
	ch.Bytes += int64(len(m.Content))
	ch.Tip, ch.Updated = m.Seq, Now()
}

// randomName returns a unique name for a change, session or fence.
func randomName() string { return rand.Text()[:16] }

// create makes a session where there is none.
func create(owner string, key uuid.UUID) *Change {
	now := Now()
	return &Change{Had: -1, Head: Head{
		Version: randomName(), Born: randomName(), Owner: owner, Key: key, Created: now, Updated: now,
	}}
}

// deletion leaves a grave. Its version derives from the one that it deletes, so that a
// repeated deletion is recognised.
func (c *Conversation) deletion() *Change {
	return &Change{Head: Head{Version: c.Version + "-"}, Had: -1}
}

// say is one turn. Errors: ErrBusy, ErrReused, ErrNothing, ErrLong, ErrChanged.
func (c *Conversation) say(t Turn, fence string) (Said, *Change, error) {
	if said, ok := c.repeated(t.Reply, fence); ok {
		return said, nil, nil
	}
	if t.Kind == Regenerate {
		return c.regenerate(t, fence)
	}
	at := c.place(t)
	m, same, err := c.named(t, at)
	known := m.Seq != 0
	switch {
	case err != nil:
		return Said{}, nil, err
	case c.ownEnd(t):
		return Said{}, nil, ErrChanged
	case same && t.Page != nil && t.Page.Anew:
		return c.answerAgain(m, t, fence)
	case same:
		return c.known(m, t, fence)
	case known && (t.Kind == Edit || t.Page != nil):
		at.after = m.Parent
	case known:
		return Said{}, nil, ErrReused
	case at.changed:
		return Said{}, nil, ErrChanged
	}
	if c.Running != nil {
		return Said{}, nil, ErrBusy
	}
	if c.tooLong(t, at.after) {
		return Said{}, nil, ErrLong
	}
	ch := c.change()
	t.User.Role, t.User.Seq, t.User.Parent = User, ch.nextSeq(), at.after
	ch.add(t.User)
	return Said{}, c.start(ch, t.User, t, fence), nil
}

// repeated returns the result of a turn that was started before: the reply has this id.
func (c *Conversation) repeated(reply uuid.UUID, fence string) (Said, bool) {
	if r := c.Running; r != nil && r.Reply == reply {
		path := c.pathTo(r.User.Seq)
		user := path[len(path)-1]
		said := Said{User: user, Before: c.before(user), Running: r}
		if r.Fence == fence {
			said.Started, said.History = true, path
		}
		return said, true
	}
	if m := c.reply(reply); m != nil {
		return c.ended(*m), true
	}
	return Said{}, false
}

// ended is the result of a turn whose reply has ended.
func (c *Conversation) ended(reply Message) Said {
	i, _ := c.find(reply.Parent)
	user := c.messages[i]
	return Said{User: user, Before: c.before(user), Ended: &reply}
}

func (c *Conversation) tooLong(t Turn, parent int64) bool {
	had := len(c.path)
	if parent != c.Tip {
		had = len(c.pathTo(parent))
	}
	return t.Most > 0 && had+2 > t.Most || t.MostBytes > 0 && c.Bytes+int64(len(t.User.Content)) > t.MostBytes
}

func (c *Conversation) regenerate(t Turn, fence string) (Said, *Change, error) {
	last := len(c.path) - 1
	if t.Of != uuid.Nil && (c.Running == nil || c.Running.Reply != t.Of) {
		at := last
		for at >= 0 && c.path[at].ID != t.Of {
			at--
		}
		switch {
		case at < 0:
			return Said{Done: true}, nil, nil
		case c.Running == nil && at < last:
			return Said{}, nil, ErrNothing
		}
	}
	switch {
	case c.Running != nil:
		return Said{}, nil, ErrBusy
	case last < 1, c.path[last].Role != Assistant:
		return Said{}, nil, ErrNothing
	}
	return c.answerAgain(c.path[last-1], t, fence)
}

func (c *Conversation) answerAgain(m Message, t Turn, fence string) (Said, *Change, error) {
	switch {
	case c.Running != nil:
		return Said{}, nil, ErrBusy
	case t.MostBytes > 0 && c.Bytes >= t.MostBytes:
		return Said{}, nil, ErrLong
	}
	return Said{}, c.start(c.change(), m, t, fence), nil
}

// start has the reply to user begin.
func (c *Conversation) start(ch *Change, user Message, t Turn, fence string) *Change {
	ch.Tip, ch.Updated = user.Seq, Now()
	ch.Running = &Running{
		Reply: t.Reply, User: user.Position(), Seq: ch.nextSeq(), Model: t.Model, Fence: fence, Client: t.Client,
	}
	return ch
}

// finish makes the running reply the message m. had is how long its stored text
// is. Errors: ErrLost.
func (c *Conversation) finish(m Message, fence string, had int) (*Change, error) {
	r := c.Running
	if r == nil || r.Reply != m.ID {
		if s := c.reply(m.ID); s != nil && s.FinishReason == m.FinishReason && s.Content == m.Content {
			return nil, nil
		}
		return nil, ErrLost
	}
	if r.Fence != fence {
		return nil, ErrLost
	}
	ch := c.change()
	m.Role, m.Seq, m.Parent, m.Epochs = Assistant, r.Seq, r.User.Seq, r.Epochs
	ch.add(m)
	ch.Running, ch.Had, ch.Has = nil, had, len(m.Content)
	return ch, nil
}

// stop marks the running reply, so that its writer ends it.
func (c *Conversation) stop(reply uuid.UUID) *Change {
	if c.Running == nil || c.Running.Reply != reply || c.Running.Stopping {
		return nil
	}
	ch, r := c.change(), *c.Running
	r.Stopping = true
	ch.Running = &r
	return ch
}

// take gives the right to write the running reply to fence; died: its writer's node is held
// dead. had is the length of the stored text in bytes, and has how much of it is kept.
func (c *Conversation) take(fence string, died bool, had, has int) *Change {
	r := c.Running
	ch, next := c.change(), *r
	next.Epochs = append(r.Epochs[:len(r.Epochs):len(r.Epochs)], Epoch{N: newEpoch(r.Epoch()), At: has})
	next.Fence = fence
	if died {
		next.Deaths++
	}
	ch.Running, ch.Had, ch.Has = &next, had, has
	return ch
}

// newEpoch returns a name that is never given again, not even after a failover that has lost
// the last one: milliseconds and 12 random bits. It stays below 2^53.
func newEpoch(last int64) int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	some := int64(binary.LittleEndian.Uint16(b[:]) & 4095)
	return max(time.Now().UnixMilli()*4096+some, last+1+some)
}

// yield gives up the right to write the reply.
func (c *Conversation) yield(reply uuid.UUID, fence string) *Change {
	if c.Running == nil || c.Running.Reply != reply || c.Running.Fence != fence {
		return nil
	}
	ch, r := c.change(), *c.Running
	r.Fence = ""
	ch.Running = &r
	return ch
}
