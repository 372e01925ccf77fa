package hub

import (
	"context"
	"errors"
	"time"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// takeoverWait is how long a connection waits for the writer of the one that it took
// over from.
const takeoverWait = 250 * time.Millisecond

// poke tells the writer that the conversation has changed: news is a turn that has
// begun; nil: anything may have changed. It does not block.
func (c *Conn) poke(news *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.dirty {
		news = nil // two changes: catchUp reads the store
	}
	c.news, c.dirty = news, true
	c.wakeLocked()
}

// kick has the writer send what was posted. It does not block.
func (c *Conn) kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.posted = true
		c.wakeLocked()
	}
}

func (c *Conn) wakeLocked() {
	if c.writing == nil {
		c.writing = make(chan struct{})
		go c.write()
		return
	}
	c.out.Poke()
}

// join is a new connection's first writer. The reader starts after the ready frame, so
// that its answers come later.
func (c *Conn) join(j *Join) {
	if j.before != nil {
		j.before.awaitWriter()
	}
	c.tryStep(func() error { return c.ready(j) })
	go c.read()
	c.poke(nil)
	c.out.Release()
	c.write()
}

// write is the writer: it sends until the client has everything.
func (c *Conn) write() {
	c.out.Acquire()
	defer c.out.Release()
	for {
		c.mu.Lock()
		if !c.dirty && !c.posted || c.ended {
			c.out.Rest()
			close(c.writing)
			c.writing = nil
			closing := c.closing
			c.mu.Unlock()
			if closing != nil {
				c.sendClose(closing.code, closing.reason, c.out.Last)
			}
			return
		}
		look, news := c.dirty, c.news
		c.dirty, c.posted, c.news = false, false, nil
		c.mu.Unlock()
		c.tryStep(func() error {
			if look {
				return c.catchUp(news)
			}
			_, err := c.out.Flush(true)
			return err
		})
	}
}

// tryStep does a step of the writer's, whose error or panic ends the connection.
func (c *Conn) tryStep(step func() error) {
	if err := c.hub.rescue("a connection's writer", c.ref, step); err != nil {
		c.fail(err)
	}
}

// fail ends the connection because of err. Only the writer calls it.
func (c *Conn) fail(err error) {
	_, _ = c.out.Flush(true) // frames that were encoded before the error are still valid
	c.mu.Lock()
	closing := c.closing
	c.ended = true
	c.mu.Unlock()
	switch {
	case errors.Is(err, reply.ErrClosed):
		// The reader's next read fails, and ends the connection.
	case closing != nil:
		c.sendClose(closing.code, closing.reason, c.out.Last)
	case errors.Is(err, errUnread), errors.Is(err, reply.ErrCut), panicked(err):
		code, reason := c.hub.CloseFor(c.ref, err)
		c.sendClose(code, reason, c.out.Last)
	default: // the write failed: the peer takes nothing, or has left
		c.end()
	}
}

// errUnread: the conversation could not be read.
var errUnread = errors.New("hub: failed to read the conversation")

// ask asks the store. What is encoded is sent before, and answers that need no store are
// sent meanwhile: whoever has one may send it. Errors: errUnread with ask's; the Out's.
func (c *Conn) ask(ask func() error) error {
	if _, err := c.out.Flush(true); err != nil {
		return err
	}
	c.out.Release()
	defer c.out.Acquire()
	if err := ask(); err != nil {
		return errors.Join(errUnread, err)
	}
	return nil
}

// get reads the conversation behind a place.
func (c *Conn) get(after session.Position) (s session.Session, err error) {
	err = c.ask(func() (err error) {
		s, err = c.hub.sessions.Get(context.Background(), c.ref, after)
		return err
	})
	return s, err
}

// catchUp sends everything after the client's position. news is a turn that has begun,
// and saves reading the store; nil: catchUp reads it.
func (c *Conn) catchUp(news *turn) error {
	if news != nil && news.said.Before == c.pos.ID && news.said.User.Seq > c.pos.Seq { // no need to ask the store
		c.message(news.said.User)
		if err := c.reply(news.r); err != nil {
			return err
		}
	}
	for {
		s, err := c.get(c.pos)
		if err != nil {
			return err
		}
		if len(s.Messages) == 0 && s.Running == nil && s.After != c.pos {
			if s, err = c.movedBack(s); err != nil {
				return err
			}
		}
		c.setPos(s.After)
		for i, m := range s.Messages {
			if m.Role == session.User {
				c.message(m)
				continue
			}
			r := reply.Stored(c.ref, &s.Messages[i])
			r.User.ID = c.pos.ID
			if err := c.reply(r); err != nil {
				return err
			}
		}
		if s.Running == nil {
			if len(s.Messages) > 0 {
				continue
			}
			here := c.pos
			c.setPos(session.Position{ID: here.ID, Seq: max(here.Seq, s.Seq)}) // send answers whose place is on another branch
			c.setPos(here)
			_, err := c.out.Flush(true)
			return err
		}
		if err := c.running(s.Running); err != nil {
			return err
		}
	}
}

// movedBack handles a tip that has moved back to a message that the client has, and
// returns what to send next.
func (c *Conn) movedBack(s session.Session) (session.Session, error) {
	if !c.repliesOnly {
		// The last message again: by its "after" the client cuts what followed.
		return c.get(session.Position{Seq: s.After.Seq - 1})
	}
	if c.unanswered { // the client would take the reply before for its answer
		c.unanswered = false
		c.out.End(append(c.out.Begin(), c.dialect.Answer(Answer{Type: "error", Err: errLost})...))
	}
	return s, nil
}

// running sends the running reply to its end. If it has ended meanwhile, nothing is
// sent, and catchUp finds it stored.
func (c *Conn) running(expected *session.Running) error {
	var r *reply.Reply
	err := c.ask(func() (err error) {
		r, err = c.hub.Running(context.Background(), c.ref)
		return err
	})
	if err != nil {
		return err
	}
	if r == nil || r.Reply != expected.Reply {
		return nil
	}
	return c.reply(r)
}

// message sends a user's message, which also acknowledges it.
func (c *Conn) message(m session.Message) {
	c.dialect.Message(c.out, m, c.pos.ID)
	c.acknowledged(m.ID)
	c.setPos(m.Position())
	c.unanswered = true
}

// reply sends one reply to its end.
func (c *Conn) reply(r *reply.Reply) error {
	var from reply.Offset
	if c.resume != nil && c.resume.reply == r.Reply {
		from = c.resume.offset
		_, exact := r.Place(from)
		c.hub.metrics.Resumed(exact)
	}
	c.resume = nil
	end, err := r.Follow(context.Background(), c.dialect, c.out, from)
	switch {
	case err != nil:
		return err
	case errors.Is(end.Err, session.ErrLost):
		return nil // catchUp sends what took its place
	}
	c.setPos(session.Position{ID: r.Reply, Seq: r.Seq})
	c.unanswered = false
	return nil
}

// setPos notes that the client has everything up to p, and sends the pending answers up
// to there.
func (c *Conn) setPos(p session.Position) {
	c.pos = p
	for _, a := range c.passed(p.Seq) {
		if len(a.frame) > 0 {
			c.out.End(append(c.out.Begin(), a.frame...))
		}
	}
}

// awaitWriter waits a moment until the writer of a connection that was taken over has
// returned.
func (c *Conn) awaitWriter() {
	c.mu.Lock()
	writing := c.writing
	c.mu.Unlock()
	if writing == nil {
		return
	}
	limit := time.NewTimer(takeoverWait)
	defer limit.Stop()
	select {
	case <-writing:
	case <-limit.C:
	}
}
