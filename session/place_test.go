package session

import (
	"github.com/google/uuid"
)

// placeCases are about what Get finds behind a place.
var placeCases = []storeCase{
	{"behind each message", func(c *talk) {
		users, replies := c.said(3)
		all := []Message{users[0], replies[0], users[1], replies[1], users[2], replies[2]}
		c.equal("all", c.get(Position{}).Messages, all)
		for i, m := range all {
			for _, p := range []Position{m.Position(), {ID: m.ID}, {Seq: m.Seq}, {ID: uuid.New(), Seq: m.Seq}} {
				s := c.get(p)
				c.equal("messages", s.Messages, all[i+1:])
				c.equal("after", s.After, m.Position())
				c.equal("last", s.Last(), all[5].Position())
			}
		}
	}},
	{"behind what it never had", func(c *talk) {
		c.said(1)
		for _, p := range []Position{{}, {ID: uuid.New()}, {ID: uuid.Max}} {
			s := c.wantTexts(p, "0", "re: 0")
			c.equal("after", s.After, Position{})
		}
	}},
	{"behind everything", func(c *talk) {
		c.equal("after in an empty one", c.wantTexts(End).After, Position{})
		_, replies := c.said(2)
		c.equal("after", c.wantTexts(End).After, replies[1].Position())
	}},
	{"behind the running reply", func(c *talk) {
		c.said(1)
		said := c.start(submit("hi"))
		for _, p := range []Position{said.Running.Position(), {ID: said.Running.Reply}} {
			s := c.wantTexts(p)
			c.equal("after", s.After, said.User.Position())
			c.equal("running", s.Running, said.Running)
		}
		c.wantTexts(Position{Seq: said.User.Seq - 1}, "hi")
	}},
	{"behind a reply that was written anew", func(c *talk) {
		users, replies := c.said(2)
		turn := regenerate(uuid.Nil)
		c.start(turn)
		c.equal("after", c.wantTexts(replies[1].Position()).After, users[1].Position())
		c.finish(turn.Reply, "anew", FinishStop)
		c.equal("after", c.wantTexts(replies[1].Position(), "anew").After, users[1].Position())
		c.equal("by id", c.wantTexts(Position{ID: replies[1].ID}, "0", "re: 0", "1", "anew").After, Position{})
	}},
	{"behind what was cut away", func(c *talk) {
		users, replies := c.said(3)
		turn := again(users[0].ID)
		c.start(turn)
		c.finish(turn.Reply, "anew", FinishStop)
		c.round("then")
		for _, m := range []Message{replies[0], users[1], replies[2]} {
			s := c.wantTexts(m.Position(), "anew", "then", "re: then")
			c.equal("after", s.After, users[0].Position())
		}
	}},
	{"behind a message that was edited", func(c *talk) {
		users, replies := c.said(3)
		turn := edit(users[1].ID, "one")
		said := c.start(turn)
		c.finish(turn.Reply, "re: one", FinishStop)
		// It has the text from before, or may have.
		for _, p := range []Position{users[1].Position(), {ID: users[1].ID}, replies[2].Position()} {
			c.equal("after", c.wantTexts(p, "one", "re: one").After, replies[0].Position())
		}
		c.equal("after", c.wantTexts(said.User.Position(), "re: one").After, said.User.Position())
		c.wantTexts(Position{ID: turn.Reply})
		c.start(edit(users[0].ID, "zero"))
		c.equal("after", c.wantTexts(Position{ID: users[0].ID}, "zero").After, Position{})
	}},
	{"behind a message that was cut and is said again as an edit", func(c *talk) {
		users, replies := c.said(2)
		for _, turn := range []Turn{edit(users[0].ID, "zero"), edit(users[1].ID, "one")} {
			c.start(turn)
			c.finish(turn.Reply, "re", FinishStop)
		}
		// Who knows its old place has another message before it.
		c.wantTexts(Position{ID: users[1].ID}, "one", "re")
		c.wantTexts(replies[1].Position(), "zero", "re", "one", "re")
	}},
	{"what was read stays as it was", func(c *talk) {
		users, _ := c.said(2)
		before := c.get(Position{})
		was := texts(before.Messages)
		turn := edit(users[0].ID, "zero")
		history := c.start(turn).History
		c.finish(turn.Reply, "re: zero", FinishStop)
		c.round("more")
		c.equal("messages", texts(before.Messages), was)
		c.equal("history", texts(history), []string{"zero"})
	}},
}
