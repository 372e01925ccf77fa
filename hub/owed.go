package hub

import (
	"math"
	"slices"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// answer is what a client is owed for a frame, and gets from the follower once
// it has the conversation up to behind: what a stop has done, or a message's
// acknowledgement. That one is the message itself, in its place, which is gone
// where somebody else's edit or regeneration was quicker than the follower.
type answer struct {
	behind  int64     // Seq
	outcome string    // of a stop
	said    uuid.UUID // the message; nil: a stop
	ref     uuid.UUID // the id that the client gave it; nil: none
}

// unstored is what a message is behind while it is being stored.
const unstored = math.MaxInt64

// owe leaves an answer to the follower.
func (c *Conn) owe(a answer) {
	c.mu.Lock()
	c.owed = append(c.owed, a)
	c.mu.Unlock()
	if a.behind != unstored {
		c.settle()
	}
}

// settle has the follower look at what is owed.
func (c *Conn) settle() {
	c.poke()
	c.wakeFollower()
}

// stored notes where the message is that is owed, unless it has been told by
// now.
func (c *Conn) stored(said session.Message) {
	c.mu.Lock()
	i := c.owes(said.ID)
	if i >= 0 {
		c.owed[i].behind = said.Seq
	}
	c.mu.Unlock()
	if i >= 0 {
		c.settle()
	}
}

// acknowledged notes that a message needs no other answer.
func (c *Conn) acknowledged(said uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.owes(said); i >= 0 {
		c.owed = slices.Delete(c.owed, i, i+1)
	}
	c.dropOwed()
}

// owes returns where in c.owed a message is, or -1. c.mu is held.
func (c *Conn) owes(said uuid.UUID) int {
	return slices.IndexFunc(c.owed, func(a answer) bool { return a.said == said })
}

// due takes the answers whose place has come. It is the follower's.
func (c *Conn) due() []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []answer
	c.owed = slices.DeleteFunc(c.owed, func(a answer) bool {
		if a.behind > c.pos.Seq {
			return false
		}
		due = append(due, a)
		return true
	})
	c.dropOwed()
	return due
}

// dropOwed keeps no memory for nothing. c.mu is held.
func (c *Conn) dropOwed() {
	if len(c.owed) == 0 {
		c.owed = nil
	}
}

// settle gives the answers that are due. A message that was taken away before
// it could be told is answered as if it had come behind what took it.
func (f *follow) settle() error {
	for _, a := range f.c.due() {
		if a.said != uuid.Nil {
			f.buf = append(f.buf[:0], f.c.dialect.refusal(Classify(session.ErrBusy), requestID(a.ref))...)
			if err := f.write(); err != nil {
				return err
			}
		} else if err := f.c.dialect.stopped(f, a.outcome); err != nil {
			return err
		}
	}
	return nil
}
