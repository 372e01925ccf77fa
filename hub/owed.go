package hub

import (
	"math"
	"slices"

	"github.com/google/uuid"
)

// answer is what a client is owed for a frame, and gets from the follower once
// it has the conversation up to behind: what a stop has done, or a message's
// acknowledgement. That one is the message itself, in its place, which is gone
// where somebody else's edit or regeneration was quicker than the follower.
type answer struct {
	behind  int64     // Seq; guarded by Conn.mu
	outcome string    // of a stop
	said    uuid.UUID // the message; nil: a stop
	ref     uuid.UUID // the id that the client gave it; nil: none
}

// unstored is what a message is behind while it is being stored.
const unstored = math.MaxInt64

// owe leaves an answer to the follower.
func (c *Conn) owe(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed = append(c.owed, a)
}

// locate notes where in the conversation a message is whose answer is owed.
func (c *Conn) locate(a *answer, seq int64) {
	c.mu.Lock()
	a.behind = seq
	c.mu.Unlock()
	if c.told.Load() >= seq {
		c.remind() // the follower has passed the place, and told it or not
	}
}

// remind has the follower look at what is owed.
func (c *Conn) remind() {
	c.poke()
	c.wakeFollower()
}

// settle takes a out of what is owed.
func (c *Conn) settle(a *answer) {
	c.take(func(b *answer) bool { return b == a })
}

// acknowledged takes what is owed for a message out, however often it was sent.
func (c *Conn) acknowledged(said uuid.UUID) {
	c.take(func(a *answer) bool { return a.said == said })
}

// due takes the answers whose place is up to seq.
func (c *Conn) due(seq int64) []*answer {
	return c.take(func(a *answer) bool { return a.behind <= seq })
}

// take takes the answers that match out of what is owed.
func (c *Conn) take(match func(*answer) bool) (taken []*answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed = slices.DeleteFunc(c.owed, func(a *answer) bool {
		if !match(a) {
			return false
		}
		taken = append(taken, a)
		return true
	})
	if len(c.owed) == 0 {
		c.owed = nil
	}
	return taken
}

// errTakenAway tells of a message that was said and is gone. It is answered as
// if it had come behind what took it.
var errTakenAway = &Error{Code: CodeBusy, Text: "An edit or another reply took the place of this message before it was answered. Send it again."}

// answer gives the answers that are due where the conversation is told up to
// seq, be it that nothing is left there.
func (f *follow) answer(seq int64) error {
	for _, a := range f.c.due(seq) {
		if a.said != uuid.Nil {
			f.buf = append(f.buf[:0], f.c.dialect.refusal(errTakenAway, a.ref)...)
			if err := f.write(); err != nil {
				return err
			}
		} else if err := f.c.dialect.stopped(f, a.outcome); err != nil {
			return err
		}
	}
	return nil
}
