package session

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// again returns turn as another request would send it: with another reply.
func (t Turn) again() Turn {
	t.Reply = uuid.New()
	return t
}

func regenerate(of uuid.UUID) Turn {
	return Turn{Kind: Regenerate, Of: of, Reply: uuid.New(), Model: "n"}
}
func again(of uuid.UUID) Turn { return Turn{Kind: Again, Of: of, Reply: uuid.New(), Model: "n"} }

func edit(id uuid.UUID, content string) Turn {
	turn := submit(content)
	turn.Kind, turn.User.ID = Edit, id
	return turn
}

var sayCases = []storeCase{
	{"submit starts a reply", func(c *talk) {
		turn := submit("hi")
		said := c.start(turn)
		want := turn.User
		want.Role, want.Seq = User, said.User.Seq
		c.equal("user", said.User, want)
		c.equal("before", said.Before, uuid.Nil)
		c.equal("history", said.History, []Message{want})
		c.equal("running", said.Running, &Running{
			Reply: turn.Reply, User: want.Position(), Seq: said.Running.Seq, Model: "m",
		})
		if want.Seq <= 0 || said.Running.Seq <= want.Seq {
			c.Errorf("seq %d, then %d", want.Seq, said.Running.Seq)
		}
		s := c.wantTexts(Position{}, "hi")
		c.equal("running", s.Running, said.Running)
		if s.UpdatedAt.Before(s.CreatedAt) {
			c.Errorf("updated at %v, created at %v", s.UpdatedAt, s.CreatedAt)
		}
	}},
	{"finish stores it whole", func(c *talk) {
		content := "Zwölf Boxkämpfer, 拳法, 👩‍👩‍👧, \x00\n\r\"\\/\u2028{}[]%d" + strings.Repeat("é", 1<<16)
		turn := submit(content)
		said := c.start(turn)
		want := Message{
			ID: turn.Reply, Role: Assistant, Content: content, FinishReason: FinishError,
			Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Model: "mistral-small",
			Usage: &Usage{1, 2, 3, 1}, Estimate: 77, Failure: "upstream_error",
			Epochs: []Epoch{{N: 1, At: 2}, {N: 3, At: 4}},
		}
		if err := c.Finish(c.ctx, c.ref, want); err != nil {
			c.Fatal(err)
		}
		want.Seq = said.Running.Seq
		s := c.get(Position{})
		c.equal("messages", s.Messages, []Message{said.User, want})
		c.equal("content", s.Messages[0].Content, content)
		if s.Running != nil {
			c.Errorf("still running: %+v", s.Running)
		}
	}},
	{"a reply without text is stored", func(c *talk) {
		turn := submit("hi")
		c.start(turn)
		c.finish(turn.Reply, "", FinishStopped)
		c.wantTexts(Position{}, "hi", "")
	}},
	{"finish twice is once", func(c *talk) {
		_, reply := c.round("hi")
		c.round("there")
		if err := c.Finish(c.ctx, c.ref, reply); err != nil {
			c.Fatal(err)
		}
		c.wantTexts(Position{}, "hi", "re: hi", "there", "re: there")
	}},
	{"finish of another reply is lost", func(c *talk) {
		_, old := c.round("hi")
		c.start(regenerate(uuid.Nil))
		for _, m := range []Message{old, {ID: uuid.New()}} {
			if err := c.Finish(c.ctx, c.ref, m); err != ErrLost {
				c.Errorf("finish: %v, want ErrLost", err)
			}
		}
		c.wantTexts(Position{}, "hi")
	}},
	{"the history is the conversation", func(c *talk) {
		users, replies := c.said(3)
		said := c.start(submit("now"))
		c.equal("before", said.Before, replies[2].ID)
		c.equal("history", said.History, []Message{
			users[0], replies[0], users[1], replies[1], users[2], replies[2], said.User,
		})
	}},
	{"one reply at a time", func(c *talk) {
		users, replies := c.said(1)
		turn := submit("next")
		c.start(turn)
		for _, t := range []Turn{
			submit("other"), edit(users[0].ID, "x"), edit(turn.User.ID, "x"), edit(uuid.New(), "x"),
			regenerate(uuid.Nil), regenerate(turn.Reply), regenerate(replies[0].ID),
			again(users[0].ID), again(turn.User.ID), again(uuid.New()),
		} {
			c.refuse(t, ErrBusy)
		}
	}},
	{"the same message is asked once", func(c *talk) {
		turn := submit("hi")
		first := c.start(turn)
		said := c.say(turn.again())
		c.equal("while it runs", said, Said{User: first.User, Running: first.Running})
		reply := c.finish(turn.Reply, "yes", FinishStop)
		want := Said{User: first.User, Ended: &reply}
		c.equal("once it ended", c.say(turn.again()), want)
		c.round("next")
		c.equal("later", c.say(turn.again()), want)
		c.start(submit("next but one"))
		c.equal("while another runs", c.say(turn.again()), want)
	}},
	{"after a regeneration the reply is the one that stands", func(c *talk) {
		c.said(1)
		turn := submit("hi")
		first := c.start(turn)
		c.finish(turn.Reply, "yes", FinishStop)
		anew := regenerate(turn.Reply)
		second := c.start(anew)
		want := Said{User: first.User, Before: first.Before, Running: second.Running}
		c.equal("while it runs", c.say(turn.again()), want)
		reply := c.finish(anew.Reply, "no", FinishStop)
		want.Running, want.Ended = nil, &reply
		c.equal("once it ended", c.say(turn.again()), want)
	}},
	{"an id is for one text", func(c *talk) {
		turn := submit("hi")
		c.start(turn)
		other := turn.again()
		other.User.Content = "ho"
		c.refuse(other, ErrReused)
		c.finish(turn.Reply, "yes", FinishStop)
		c.refuse(other, ErrReused)
		other.User.ID, other.User.Content = turn.Reply, "yes"
		c.refuse(other, ErrReused)
		other.Kind = Edit
		c.refuse(other, ErrReused)
	}},
	{"a failed reply is asked anew while it is the last", func(c *talk) {
		c.said(1)
		turn := submit("hi")
		first := c.start(turn)
		c.finish(turn.Reply, "y", FinishError)
		retry := turn.again()
		said := c.start(retry)
		c.equal("user", said.User, first.User)
		c.equal("history", texts(said.History), []string{"0", "re: 0", "hi"})
		c.wantTexts(Position{}, "0", "re: 0", "hi")
		if said.Running.Seq <= first.Running.Seq {
			c.Errorf("seq %d was given before", said.Running.Seq)
		}
		failed := c.finish(retry.Reply, "ye", FinishError)
		next := submit("next")
		c.start(next)
		c.equal("while another runs", c.say(turn.again()).Ended, &failed)
		c.finish(next.Reply, "re: next", FinishStop)
		c.equal("not the last", c.say(turn.again()).Ended, &failed)
		c.wantTexts(Position{}, "0", "re: 0", "hi", "ye", "next", "re: next")
	}},
	{"a stopped reply is not asked anew", func(c *talk) {
		turn := submit("hi")
		c.start(turn)
		reply := c.finish(turn.Reply, "y", FinishStopped)
		c.equal("ended", c.say(turn.again()).Ended, &reply)
	}},
	{"the same turn once more", func(c *talk) {
		users, replies := c.said(2)
		for _, turn := range []Turn{
			submit("hi"), regenerate(uuid.Nil), edit(users[1].ID, "ho"), again(users[0].ID), edit(uuid.New(), "new"),
		} {
			first := c.start(turn)
			c.equal("repeated", c.say(turn), first)
			reply := c.finish(turn.Reply, "re", FinishError)
			c.equal("ended", c.say(turn), Said{User: first.User, Before: first.Before, Ended: &reply})
		}
		c.equal("unmoved", texts(c.get(replies[0].Position()).Messages), []string{"re", "new", "re"})
	}},
	{"edit cuts and says", func(c *talk) {
		users, replies := c.said(3)
		turn := edit(users[1].ID, "one")
		said := c.start(turn)
		c.equal("before", said.Before, replies[0].ID)
		c.equal("content", said.User.Content, "one")
		c.equal("history", texts(said.History), []string{"0", "re: 0", "one"})
		c.finish(turn.Reply, "re: one", FinishStop)
		c.wantTexts(Position{}, "0", "re: 0", "one", "re: one")
		if said.User.Seq <= replies[2].Seq {
			c.Errorf("seq %d was given before", said.User.Seq)
		}
		c.start(edit(users[0].ID, "zero"))
		c.wantTexts(Position{}, "zero")
	}},
	{"edit of an unknown id says", func(c *talk) {
		c.said(1)
		c.start(edit(uuid.New(), "new"))
		c.wantTexts(Position{}, "0", "re: 0", "new")
	}},
	{"regenerate", func(c *talk) {
		c.refuse(regenerate(uuid.Nil), ErrNothing)
		users, replies := c.said(2)
		turn := regenerate(uuid.Nil)
		said := c.start(turn)
		c.equal("user", said.User, users[1])
		c.equal("model", said.Running.Model, "n")
		c.equal("history", texts(said.History), []string{"0", "re: 0", "1"})
		if said.Running.Seq <= replies[1].Seq {
			c.Errorf("seq %d was given before", said.Running.Seq)
		}
		reply := c.finish(turn.Reply, "anew", FinishStop)
		c.start(regenerate(reply.ID))
		c.wantTexts(Position{}, "0", "re: 0", "1")
	}},
	{"regenerate of a reply happens once", func(c *talk) {
		_, replies := c.said(2)
		c.refuse(regenerate(replies[0].ID), ErrNothing)
		turn := regenerate(replies[1].ID)
		c.start(turn)
		c.equal("while it runs", c.say(turn.again()), Said{Done: true})
		c.finish(turn.Reply, "anew", FinishStop)
		c.equal("once it ended", c.say(turn.again()), Said{Done: true})
		c.wantTexts(Position{}, "0", "re: 0", "1", "anew")
	}},
	{"again answers a message anew", func(c *talk) {
		users, replies := c.said(3)
		c.refuse(again(uuid.New()), ErrNothing)
		c.refuse(again(replies[0].ID), ErrNothing)
		turn := again(users[1].ID)
		said := c.start(turn)
		c.equal("user", said.User, users[1])
		c.equal("before", said.Before, replies[0].ID)
		c.wantTexts(Position{}, "0", "re: 0", "1")
		c.finish(turn.Reply, "anew", FinishStop)
		c.wantTexts(Position{}, "0", "re: 0", "1", "anew")
	}},
}
