package hub

import (
	"context"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// handle does what one frame asks for.
func (c *Conn) handle(frame []byte) {
	r, err := c.dialect.Request(frame)
	if err != nil {
		c.refuse(err, r.ID)
		return
	}
	if c.watch && r.Type != "ping" {
		c.refuse(errWatching, r.ID)
		return
	}
	switch r.Type {
	case "message":
		t := session.Turn{User: session.Message{ID: r.ID, Content: r.Content}, Behind: r.Behind}
		if r.Edit {
			t.Kind = session.Edit
		}
		c.say(t)
	case "regenerate":
		c.regenerate(r)
	case "stop":
		c.stop(r)
	case "ping":
		c.post(Answer{Type: "pong"})
	}
}

var errWatching = &Error{Code: CodeWatching, Text: "This connection only watches. Connect without watch=1 to say something."}

func (c *Conn) regenerate(r Request) {
	if !c.admitted(r.ID) {
		return
	}
	if _, _, err := c.hub.Say(context.Background(), c.from, c.ref, session.Turn{Kind: session.Regenerate, Of: r.Of}); err != nil {
		c.refuse(err, r.ID)
		return
	}
	c.outages = 0
}

func (c *Conn) stop(r Request) {
	outcome, at, err := c.hub.Stop(context.Background(), c.ref, r.ID)
	if err != nil {
		c.refuse(err, r.ID)
		return
	}
	c.outages = 0
	c.enqueue(&pending{seq: at.Seq, frame: c.dialect.Answer(Answer{Type: "stopped", Outcome: outcome})})
}

func (c *Conn) say(t session.Turn) {
	ref := t.User.ID
	if !c.admitted(ref) {
		return
	}
	if ref == uuid.Nil {
		t.User.ID = uuid.New()
	}
	p := &pending{seq: unstored, message: t.User.ID, frame: c.dialect.Answer(Answer{Type: "error", Err: errTakenAway, Ref: ref})}
	c.enqueue(p)
	seen := c.sentSeq()
	r, said, err := c.hub.Say(context.Background(), c.from, c.ref, t)
	if err != nil {
		c.cancel(p)
		c.refuse(err, ref)
		return
	}
	c.outages = 0
	if !said.Started {
		seen = c.sentSeq()
	}
	// The writer announces a new message in order. A known one is acknowledged here,
	// even if its failed reply is retried.
	if said.User.Seq <= seen {
		c.cancel(p)
		c.post(Answer{Type: "message", Message: said.User, After: said.Before})
		return
	}
	c.setSeq(p, said.User.Seq)
	if !said.Started || r.End() != nil {
		c.poke(nil) // the writer may have passed the message meanwhile, on another branch
	}
}

func (c *Conn) sentSeq() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastSentSeq
}

// admitted tells whether the client may say something now. A client that keeps
// exceeding the limit is disconnected.
func (c *Conn) admitted(ref uuid.UUID) bool {
	err := c.hub.admitMessage(context.Background(), c.from)
	if err == nil {
		c.refused = 0
		return true
	}
	c.refuse(err, ref)
	if Classify(err).Code != CodeRateLimited {
		return false // the store's outage is not the client's doing
	}
	if c.refused++; c.refused >= floodLimit {
		c.Close(ClosePolicy, "messages kept coming too fast")
	}
	return false
}

// refuse answers a frame that was not carried out. After outageLimit outages in a row it
// closes the connection, so that the client may reconnect to another node.
func (c *Conn) refuse(err error, ref uuid.UUID) {
	e := Classify(err)
	if e.Code == CodeInternal && !panicked(err) {
		c.hub.log.Error("a frame failed", "session", ShortID(c.ref.ID), "error", err)
	}
	c.post(Answer{Type: "error", Err: e, Ref: ref})
	switch e.Code {
	case CodeNotFound:
		c.closeWhenIdle(c.hub.CloseFor(c.ref, err))
	case CodeStoreUnavailable:
		if c.outages++; c.outages >= outageLimit {
			c.Close(c.hub.CloseFor(c.ref, err))
		}
	case CodeRateLimited: // the limiter answered, not the store: outages stays as it is
	default:
		c.outages = 0
	}
}

// post sends an answer that has no place in the conversation.
func (c *Conn) post(a Answer) {
	if b := c.dialect.Answer(a); len(b) > 0 {
		c.out.Post(b)
	}
}
