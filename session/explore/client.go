package explore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"lumos/backend/session"
)

// client follows the conversation at a node: what it was shown, and how its reply
// ended, are what no schedule may take back.
type client struct {
	w    *World
	i    int
	n    *node
	held session.Ref // incarnation that is held at n; zero: none

	text   *session.Text // that it follows; nil: none runs, as far as it knows
	reply  string        // the reply that it was last shown
	shown  string
	epoch  int64
	ended  string // how that ended; "": it has not
	looks  bool   // a look is under way
	stale  bool   // it is to look again
	left   bool   // it has gone away
	gone   bool   // the conversation is
	joined bool
}

// watcher counts who follows a text at a node. The store need not send it any more
// where nobody does.
type watcher struct{ following atomic.Int32 }

func (*watcher) Grew(bool)        {}
func (*watcher) Ended()           {}
func (*watcher) Away()            {}
func (o *watcher) Followed() bool { return o.following.Load() > 0 }

// follow has the client follow a text; nil: none.
func (c *client) follow(t *session.Text) {
	if c.text != nil {
		c.text.Watcher(nil).(*watcher).following.Add(-1)
	}
	if c.text = t; t != nil {
		t.Watcher(new(watcher)).(*watcher).following.Add(1)
	}
}

// settle has the client do what a connection does by itself.
func (c *client) settle() (did bool) {
	if c.left || c.gone || c.w.ref.Born == "" {
		return false
	}
	if c.n.dead {
		next := c.w.alive(c.n)
		c.follow(nil)
		if next == nil {
			return false
		}
		c.n, c.held, c.looks, c.stale, c.joined = next, session.Ref{}, false, true, false
	}
	if !c.joined {
		c.joined, c.stale = true, true
		if c.held.Born == "" {
			c.held = c.w.ref
		}
	}
	did = c.read()
	if c.text == nil && c.stale && !c.looks {
		c.look()
		return true
	}
	return did
}

// look finds what runs, or how the reply that was shown has ended.
func (c *client) look() {
	c.looks, c.stale = true, false
	n, ref := c.n, c.held
	n.start(fmt.Sprint("look ", c.i), func(ctx context.Context) func() {
		err := n.m.Hold(ctx, ref)
		var text *session.Text
		if err == nil {
			text, err = n.m.Follow(ctx, ref)
		}
		var s session.Session
		if err == nil && text == nil {
			s, err = n.m.Get(ctx, ref, session.Position{})
		}
		return func() {
			if c.n != n {
				return
			}
			c.looks = false
			switch {
			case errors.Is(err, session.ErrNotFound):
				c.gone = !c.w.rolled
			case err != nil:
				c.stale = true
			case text != nil:
				c.attach(text)
			default:
				for _, m := range s.Messages {
					if m.Role == session.Assistant && short(m.ID) == c.reply {
						c.end(m)
					}
				}
			}
		}
	})
}

// attach has the client follow a text from where it is.
func (c *client) attach(t *session.Text) {
	if c.follow(t); short(t.Reply) != c.reply {
		c.reply, c.shown, c.epoch, c.ended = short(t.Reply), "", 0, ""
	}
	c.cut(session.ValidPrefix(t.Epochs, c.epoch, len(c.shown)), t.Epoch())
	if len(c.shown) > t.Safe() && c.w.rolled {
		c.shown = "" // it is told all of it again: without a failover, the same
	}
}

// cut cuts what was shown to what is told to be still part of the reply.
func (c *client) cut(keep int, epoch int64) {
	if keep < len(c.shown) && !c.w.rolled {
		c.w.fail("client %d: %q was shown, and all behind %d is taken back", c.i, c.shown, keep)
	}
	c.shown, c.epoch = c.shown[:min(keep, len(c.shown))], epoch
}

// read takes what the text has, and its end.
func (c *client) read() (did bool) {
	for c.text != nil {
		t := c.text
		end := t.End()
		got := t.String(t.Safe())
		switch {
		case len(got) > len(c.shown) && strings.HasPrefix(got, c.shown):
			c.shown, did = got, true
		case !strings.HasPrefix(c.shown, got):
			c.w.fail("client %d: %q was shown, and the text is %q", c.i, c.shown, got)
			c.shown = got
		}
		if end == nil {
			return did
		}
		did = true
		c.follow(nil)
		c.stale = true
		switch {
		case end.Next != nil:
			keep := session.ValidPrefix(end.Next.Epochs, t.Epoch(), len(c.shown))
			if len(c.shown) <= t.Safe() {
				keep = min(keep, end.Keep)
			}
			c.cut(keep, end.Next.Epoch())
			c.follow(end.Next)
		case end.Message != nil:
			if got != end.Message.Content {
				c.w.fail("client %d: the text is %q, and ended as %q", c.i, got, end.Message.Content)
			}
			c.end(*end.Message)
		case errors.Is(end.Err, session.ErrNotFound):
			c.gone = !c.w.rolled
		case !c.w.rolled:
			c.w.fail("client %d: the reply is lost", c.i)
		}
	}
	return did
}

// end is how the reply ended. An end is the same in every epoch.
func (c *client) end(m session.Message) {
	how := m.FinishReason + " " + m.Content
	switch {
	case c.w.rolled:
	case !strings.HasPrefix(m.Content, c.shown):
		c.w.fail("client %d: %q was shown, and the reply is %q", c.i, c.shown, m.Content)
	case c.ended != "" && c.ended != how:
		c.w.fail("client %d: the reply ended as %q, and then as %q", c.i, c.ended, how)
	}
	c.shown, c.ended, c.epoch = m.Content, how, 0
	if n := len(m.Epochs); n > 0 {
		c.epoch = m.Epochs[n-1].N
	}
}

// leave has the client go away.
func (c *client) leave() {
	c.left = true
	n, ref := c.n, c.held
	c.follow(nil)
	n.start(fmt.Sprint("leave ", c.i), func(context.Context) func() {
		n.m.Release(ref)
		return nil
	})
}

func (c *client) String() string {
	s := fmt.Sprint(c.i, c.n.name, c.reply, " ", c.shown, " ", c.epoch, " ", c.ended, c.looks, c.stale, c.left, c.gone, c.joined)
	if t := c.text; t != nil {
		s += fmt.Sprint(" ", t.Own(), t.Fence, " ", t.Appended(), t.Safe())
	}
	return s
}
