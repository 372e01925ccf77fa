package hub

import (
	"math"
	"slices"

	"github.com/google/uuid"
)

// pending is an answer to a frame that waits for its place in the conversation:
// what a stop has done, or the refusal of a message that an edit or a
// regeneration elsewhere took away before it was told. Telling the message itself
// cancels it.
type pending struct {
	seq     int64     // its place; guarded by Conn.mu
	message uuid.UUID // nil: a stop
	frame   []byte
}

// unstored is the place of a message that is being stored.
const unstored = math.MaxInt64

// errTakenAway tells of a message that was said and is gone. The refusal reads as if
// the message had arrived after the edit.
var errTakenAway = &Error{Code: CodeBusy, Text: "An edit or another reply took the place of this message before it was answered. Send it again."}

// errLost tells of a message that a failover of the store has lost.
var errLost = &Error{Code: CodeStoreUnavailable, Text: "Your message was lost before it was answered. Send it again."}

// enqueue leaves an answer to the writer, in its place.
func (c *Conn) enqueue(p *pending) {
	c.mu.Lock()
	c.pending = append(c.pending, p)
	c.mu.Unlock()
	c.setSeq(p, p.seq)
}

// setSeq notes where in the conversation an answer has its place. When the writer
// has passed that, the answer is given here: the writer may be telling a reply.
func (c *Conn) setSeq(p *pending, seq int64) {
	c.mu.Lock()
	p.seq = seq
	passed := c.lastSent >= seq
	c.mu.Unlock()
	if passed && c.cancel(p) && len(p.frame) > 0 {
		c.out.Post(p.frame)
	}
}

// cancel takes an answer back, and says whether it was still to be given.
func (c *Conn) cancel(p *pending) bool {
	return len(c.popPending(func(q *pending) bool { return q == p })) > 0
}

// acknowledged cancels what is pending for a message, however often it was sent.
func (c *Conn) acknowledged(message uuid.UUID) {
	c.popPending(func(p *pending) bool { return p.message == message })
}

// passed notes that the client has everything up to seq, and returns the answers
// whose place that is.
func (c *Conn) passed(seq int64) []*pending {
	c.mu.Lock()
	c.lastSent = seq
	c.mu.Unlock()
	return c.popPending(func(p *pending) bool { return p.seq <= seq })
}

// popPending takes the answers that match out of what is pending.
func (c *Conn) popPending(match func(*pending) bool) (popped []*pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = slices.DeleteFunc(c.pending, func(p *pending) bool {
		if !match(p) {
			return false
		}
		popped = append(popped, p)
		return true
	})
	if len(c.pending) == 0 {
		c.pending = nil
	}
	return popped
}
