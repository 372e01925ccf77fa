package storetest

import (
	"github.com/google/uuid"

	"lumos/backend/session"
)

// placeCases are about what Get finds after a place.
var placeCases = []storeCase{
	{"behind each message", func(c *Talk) {
		users, replies := c.said(3)
		all := []session.Message{users[0], replies[0], users[1], replies[1], users[2], replies[2]}
		c.equal("all", c.View(session.Position{}).Messages, all)
		for i, m := range all {
			for _, p := range []session.Position{m.Position(), {ID: m.ID}, {Seq: m.Seq}, {ID: uuid.New(), Seq: m.Seq}} {
				s := c.View(p)
				c.equal("messages", s.Messages, all[i+1:])
				c.equal("after", s.After, m.Position())
				c.equal("last", s.Last(), all[5].Position())
			}
		}
	}},
	{"behind what it never had", func(c *Talk) {
		c.said(1)
		for _, p := range []session.Position{{}, {ID: uuid.New()}, {ID: uuid.Max}} {
			s := c.WantTexts(p, "0", "re: 0")
			c.equal("after", s.After, session.Position{})
		}
	}},
	{"behind everything", func(c *Talk) {
		c.equal("after in an empty one", c.WantTexts(session.End).After, session.Position{})
		_, replies := c.said(2)
		c.equal("after", c.WantTexts(session.End).After, replies[1].Position())
	}},
	{"behind the running reply", func(c *Talk) {
		c.said(1)
		said := c.Start(Submit("hi"))
		for _, p := range []session.Position{said.Running.Position(), {ID: said.Running.Reply}} {
			s := c.WantTexts(p)
			c.equal("after", s.After, said.User.Position())
			c.equal("running", s.Running, said.Running)
		}
		c.WantTexts(session.Position{Seq: said.User.Seq - 1}, "hi")
	}},
	{"behind a reply that was written anew", func(c *Talk) {
		users, replies := c.said(2)
		turn := regenerate(uuid.Nil)
		c.Start(turn)
		c.equal("after", c.WantTexts(replies[1].Position()).After, users[1].Position())
		c.End(turn.Reply, "anew", session.FinishStop)
		c.equal("after", c.WantTexts(replies[1].Position(), "anew").After, users[1].Position())
		c.equal("by id", c.WantTexts(session.Position{ID: replies[1].ID}, "anew").After, users[1].Position())
	}},
	{"behind what was cut away", func(c *Talk) {
		users, replies := c.said(3)
		turn := again(users[0])
		c.Start(turn)
		c.End(turn.Reply, "anew", session.FinishStop)
		c.Round("then")
		for _, m := range []session.Message{replies[0], users[1], replies[2]} {
			s := c.WantTexts(m.Position(), "anew", "then", "re: then")
			c.equal("after", s.After, users[0].Position())
		}
	}},
	{"behind a message that was edited", func(c *Talk) {
		users, replies := c.said(3)
		turn := edit(users[1].ID, "one")
		said := c.Start(turn)
		c.End(turn.Reply, "re: one", session.FinishStop)
		// It has the text from before, or may have.
		for _, p := range []session.Position{users[1].Position(), {ID: users[1].ID}, replies[2].Position()} {
			c.equal("after", c.WantTexts(p, "one", "re: one").After, replies[0].Position())
		}
		c.equal("after", c.WantTexts(said.User.Position(), "re: one").After, said.User.Position())
		c.WantTexts(session.Position{ID: turn.Reply})
		c.Start(edit(users[0].ID, "zero"))
		c.equal("after", c.WantTexts(session.Position{ID: users[0].ID}, "zero").After, session.Position{})
	}},
	{"behind a message on another branch that is edited", func(c *Talk) {
		users, replies := c.said(2)
		for _, turn := range []session.Turn{edit(users[0].ID, "zero"), edit(users[1].ID, "one")} {
			c.Start(turn)
			c.End(turn.Reply, "re", session.FinishStop)
		}
		// The edit stands beside it, so the tip is back on its branch.
		c.WantTexts(session.Position{}, "0", "re: 0", "one", "re")
		c.WantTexts(session.Position{ID: users[1].ID}, "one", "re")
		c.WantTexts(replies[1].Position(), "one", "re")
	}},
	{"what was read stays as it was", func(c *Talk) {
		users, _ := c.said(2)
		before := c.View(session.Position{})
		was := texts(before.Messages)
		turn := edit(users[0].ID, "zero")
		history := c.Start(turn).History
		c.End(turn.Reply, "re: zero", session.FinishStop)
		c.Round("more")
		c.equal("messages", texts(before.Messages), was)
		c.equal("history", texts(history), []string{"zero"})
	}},
}
