package hub

import (
	"math"
	"slices"

	"github.com/google/uuid"
)

// pending is an answer that is sent once the writer has reached its place: a stop's
// outcome, or the refusal of a message that an edit or a regeneration elsewhere removed
// before it was sent. Sending the message itself cancels that.
type pending struct {
	seq     int64     // Seq of its place; guarded by Conn.mu
	message uuid.UUID // that it refuses; nil: it answers a stop
	frame   []byte
}

// unstored is the Seq of a message that is still being stored.
const unstored = math.MaxInt64

// errTakenAway refuses a message that was stored and then removed by an edit: as if it
// had arrived after the edit.
var errTakenAway = &Error{Code: CodeBusy, Text: "An edit or another reply took the place of this message before it was answered. Send it again."}

// errLost tells of a message that a failover of the store has lost.
var errLost = &Error{Code: CodeStoreUnavailable, Text: "Your message was lost before it was answered. Send it again."}

// enqueue has an answer sent once the writer has reached p.seq.
func (c *Conn) enqueue(p *pending) {
	c.mu.Lock()
	c.pending = append(c.pending, p)
	c.mu.Unlock()
	c.setSeq(p, p.seq)
}

// setSeq sets an answer's place. If the writer is past it, the answer is sent here, since
// the writer may be busy with a reply.
func (c *Conn) setSeq(p *pending, seq int64) {
	c.mu.Lock()
	p.seq = seq
	passed := c.lastSentSeq >= seq
	c.mu.Unlock()
	if passed && c.cancel(p) && len(p.frame) > 0 {
		c.out.Post(p.frame)
	}
}

// cancel removes an answer, and reports whether it was still pending.
func (c *Conn) cancel(p *pending) bool {
	return len(c.popPending(func(q *pending) bool { return q == p })) > 0
}

// acknowledged cancels what is pending for a message, however often it was sent.
func (c *Conn) acknowledged(message uuid.UUID) {
	c.popPending(func(p *pending) bool { return p.message == message })
}

// passed notes that the client has everything up to seq, and pops the answers up to
// there.
func (c *Conn) passed(seq int64) []*pending {
	c.mu.Lock()
	c.lastSentSeq = seq
	c.mu.Unlock()
	return c.popPending(func(p *pending) bool { return p.seq <= seq })
}

// popPending removes and returns the pending answers that match.
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
