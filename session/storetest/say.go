package storetest

import (
	"strings"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// fresh returns turn as another request would send it: with another reply.
func fresh(t session.Turn) session.Turn {
	t.Reply = uuid.New()
	return t
}

func regenerate(of uuid.UUID) session.Turn {
	return session.Turn{Kind: session.Regenerate, Of: of, Reply: uuid.New(), Model: "n"}
}

// again is what a page says that wants another reply to a message.
func again(of session.Message) session.Turn {
	return session.Turn{User: of, Page: &session.Page{Tail: true, Anew: true}, Reply: uuid.New(), Model: "n"}
}

func edit(id uuid.UUID, content string) session.Turn {
	turn := Submit(content)
	turn.Kind, turn.User.ID = session.Edit, id
	return turn
}

var sayCases = []storeCase{
	{"submit starts a reply", func(c *Talk) {
		turn := Submit("hi")
		said := c.Start(turn)
		want := turn.User
		want.Role, want.Seq, want.Version = session.User, said.User.Seq, said.User.Version
		c.equal("user", said.User, want)
		c.equal("before", said.Before, uuid.Nil)
		c.equal("history", said.History, []session.Message{want})
		c.equal("running", said.Running, &session.Running{
			Reply: turn.Reply, User: want.Position(), Seq: said.Running.Seq, Model: "m", Fence: said.Running.Fence,
		})
		if want.Seq <= 0 || said.Running.Seq <= want.Seq {
			c.Errorf("seq %d, then %d", want.Seq, said.Running.Seq)
		}
		s := c.WantTexts(session.Position{}, "hi")
		c.equal("running", s.Running, said.Running)
		if s.UpdatedAt.Before(s.CreatedAt) {
			c.Errorf("updated at %v, created at %v", s.UpdatedAt, s.CreatedAt)
		}
	}},
	{"finish stores it whole", func(c *Talk) {
		content := "Zwölf Boxkämpfer, 拳法, 👩‍👩‍👧, \x00\n\r\"\\/\u2028{}[]%d" + strings.Repeat("é", 1<<16)
		turn := Submit(content)
		said := c.Start(turn)
		end := session.Message{FinishReason: session.FinishError, Usage: &session.Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3}, Estimate: 77, Failure: "upstream_error", Retry: 7}
		c.texts[turn.Reply].Append([]byte(content))
		if err := c.Finish(c.ctx, c.texts[turn.Reply], end); err != nil {
			c.Fatal(err)
		}
		s := c.View(session.Position{})
		want := end
		want.ID, want.Role, want.Content, want.Model = turn.Reply, session.Assistant, content, "m"
		want.Seq, want.Parent, want.Timestamp, want.Version = said.Running.Seq, said.User.Seq, s.Messages[1].Timestamp, s.Messages[1].Version
		c.equal("messages", s.Messages, []session.Message{said.User, want})
		c.equal("content", s.Messages[0].Content, content)
		if s.Running != nil {
			c.Errorf("still running: %+v", s.Running)
		}
	}},
	{"parts are stored as they are", func(c *Talk) {
		content := "\xff\x81hm\n\n漢\xff\x80yes 👍\xff\x81" + strings.Repeat("é", 1<<16) + "\xff\x80."
		turn := Submit("hi")
		c.Start(turn)
		for rest := []byte(content); len(rest) > 0; {
			n := session.RuneBoundary(rest, 5000)
			c.texts[turn.Reply].Append(rest[:n])
			rest = rest[n:]
		}
		reply := c.End(turn.Reply, content, session.FinishStop)
		c.equal("content", reply.Content, content)
		c.equal("text", reply.Text(), "yes 👍.")
		c.equal("history", c.Start(Submit("on")).History[1].Content, content)
	}},
	{"a reply without text is stored", func(c *Talk) {
		turn := Submit("hi")
		c.Start(turn)
		c.End(turn.Reply, "", session.FinishStopped)
		c.WantTexts(session.Position{}, "hi", "")
	}},
	{"finish twice is once", func(c *Talk) {
		_, reply := c.Round("hi")
		c.Round("there")
		if err := c.end(reply.ID, reply.Content, reply.FinishReason); err != nil {
			c.Fatal(err)
		}
		c.WantTexts(session.Position{}, "hi", "re: hi", "there", "re: there")
	}},
	{"finish of another reply is lost", func(c *Talk) {
		_, old := c.Round("hi")
		turn := regenerate(uuid.Nil)
		running := c.Start(turn).Running
		if err := c.end(old.ID, old.Content, session.FinishStopped); err != session.ErrLost {
			c.Errorf("finish in another way: %v, want ErrLost", err)
		}
		text := &session.Text{Ref: c.Ref, Running: &session.Running{Reply: uuid.New(), Fence: running.Fence}}
		if err := c.Finish(c.ctx, text, session.Message{FinishReason: session.FinishStop}); err != session.ErrLost {
			c.Errorf("finish of one that never was: %v, want ErrLost", err)
		}
		c.WantTexts(session.Position{}, "hi")
	}},
	{"the history is the conversation", func(c *Talk) {
		users, replies := c.said(3)
		said := c.Start(Submit("now"))
		c.equal("before", said.Before, replies[2].ID)
		c.equal("history", said.History, []session.Message{
			users[0], replies[0], users[1], replies[1], users[2], replies[2], said.User,
		})
	}},
	{"one reply at a time", func(c *Talk) {
		users, replies := c.said(1)
		turn := Submit("next")
		c.Start(turn)
		for _, t := range []session.Turn{
			Submit("other"), edit(users[0].ID, "x"), edit(turn.User.ID, "x"), edit(uuid.New(), "x"),
			regenerate(uuid.Nil), regenerate(turn.Reply), regenerate(replies[0].ID),
			again(users[0]), again(turn.User), again(Submit("x").User),
		} {
			c.refuse(t, session.ErrBusy)
		}
	}},
	{"the same message is asked once", func(c *Talk) {
		turn := Submit("hi")
		first := c.Start(turn)
		said := c.say(fresh(turn))
		c.equal("while it runs", said, session.Said{User: first.User, Running: first.Running})
		reply := c.End(turn.Reply, "yes", session.FinishStop)
		want := session.Said{User: first.User, Ended: &reply}
		c.equal("once it ended", c.say(fresh(turn)), want)
		c.Round("next")
		c.equal("later", c.say(fresh(turn)), want)
		c.Start(Submit("next but one"))
		c.equal("while another runs", c.say(fresh(turn)), want)
	}},
	{"after a regeneration the reply is the one that stands", func(c *Talk) {
		c.said(1)
		turn := Submit("hi")
		first := c.Start(turn)
		c.End(turn.Reply, "yes", session.FinishStop)
		anew := regenerate(turn.Reply)
		second := c.Start(anew)
		want := session.Said{User: first.User, Before: first.Before, Running: second.Running}
		c.equal("while it runs", c.say(fresh(turn)), want)
		reply := c.End(anew.Reply, "no", session.FinishStop)
		want.Running, want.Ended = nil, &reply
		c.equal("once it ended", c.say(fresh(turn)), want)
	}},
	{"an id is for one text", func(c *Talk) {
		turn := Submit("hi")
		c.Start(turn)
		other := fresh(turn)
		other.User.Content = "ho"
		c.refuse(other, session.ErrReused)
		c.End(turn.Reply, "yes", session.FinishStop)
		c.refuse(other, session.ErrReused)
		other.User.ID, other.User.Content = turn.Reply, "yes"
		c.refuse(other, session.ErrReused)
		other.Kind = session.Edit
		c.refuse(other, session.ErrReused)
	}},
	{"a failed reply is asked anew while it is the last", func(c *Talk) {
		c.said(1)
		turn := Submit("hi")
		first := c.Start(turn)
		c.End(turn.Reply, "y", session.FinishError)
		retry := fresh(turn)
		said := c.Start(retry)
		c.equal("user", said.User, first.User)
		c.equal("history", texts(said.History), []string{"0", "re: 0", "hi"})
		c.WantTexts(session.Position{}, "0", "re: 0", "hi")
		if said.Running.Seq <= first.Running.Seq {
			c.Errorf("seq %d was given before", said.Running.Seq)
		}
		failed := c.End(retry.Reply, "ye", session.FinishError)
		next := Submit("next")
		c.Start(next)
		c.equal("while another runs", c.say(fresh(turn)).Ended, &failed)
		c.End(next.Reply, "re: next", session.FinishStop)
		c.equal("not the last", c.say(fresh(turn)).Ended, &failed)
		c.WantTexts(session.Position{}, "0", "re: 0", "hi", "ye", "next", "re: next")
	}},
	{"a stopped reply is not asked anew", func(c *Talk) {
		turn := Submit("hi")
		c.Start(turn)
		reply := c.End(turn.Reply, "y", session.FinishStopped)
		c.equal("ended", c.say(fresh(turn)).Ended, &reply)
	}},
	{"the same turn once more", func(c *Talk) {
		users, replies := c.said(2)
		for _, turn := range []session.Turn{
			Submit("hi"), regenerate(uuid.Nil), edit(users[1].ID, "ho"), again(users[0]), edit(uuid.New(), "new"),
		} {
			first := c.Start(turn)
			c.equal("repeated", c.say(turn), first)
			reply := c.End(turn.Reply, "re", session.FinishError)
			c.equal("ended", c.say(turn), session.Said{User: first.User, Before: first.Before, Ended: &reply})
		}
		c.equal("unmoved", texts(c.View(replies[0].Position()).Messages), []string{"re", "new", "re"})
	}},
	{"edit cuts and says", func(c *Talk) {
		users, replies := c.said(3)
		turn := edit(users[1].ID, "one")
		said := c.Start(turn)
		c.equal("before", said.Before, replies[0].ID)
		c.equal("content", said.User.Content, "one")
		c.equal("history", texts(said.History), []string{"0", "re: 0", "one"})
		c.End(turn.Reply, "re: one", session.FinishStop)
		c.WantTexts(session.Position{}, "0", "re: 0", "one", "re: one")
		if said.User.Seq <= replies[2].Seq {
			c.Errorf("seq %d was given before", said.User.Seq)
		}
		c.Start(edit(users[0].ID, "zero"))
		c.WantTexts(session.Position{}, "zero")
	}},
	{"edit of an unknown id says", func(c *Talk) {
		c.said(1)
		c.Start(edit(uuid.New(), "new"))
		c.WantTexts(session.Position{}, "0", "re: 0", "new")
	}},
	{"regenerate", func(c *Talk) {
		c.refuse(regenerate(uuid.Nil), session.ErrNothing)
		users, replies := c.said(2)
		turn := regenerate(uuid.Nil)
		said := c.Start(turn)
		c.equal("user", said.User, users[1])
		c.equal("model", said.Running.Model, "n")
		c.equal("history", texts(said.History), []string{"0", "re: 0", "1"})
		if said.Running.Seq <= replies[1].Seq {
			c.Errorf("seq %d was given before", said.Running.Seq)
		}
		reply := c.End(turn.Reply, "anew", session.FinishStop)
		c.Start(regenerate(reply.ID))
		c.WantTexts(session.Position{}, "0", "re: 0", "1")
	}},
	{"regenerate of a reply happens once", func(c *Talk) {
		_, replies := c.said(2)
		c.refuse(regenerate(replies[0].ID), session.ErrNothing)
		turn := regenerate(replies[1].ID)
		c.Start(turn)
		c.equal("while it runs", c.say(fresh(turn)), session.Said{Done: true})
		c.End(turn.Reply, "anew", session.FinishStop)
		c.equal("once it ended", c.say(fresh(turn)), session.Said{Done: true})
		c.WantTexts(session.Position{}, "0", "re: 0", "1", "anew")
	}},
	{"again answers a message anew", func(c *Talk) {
		users, replies := c.said(3)
		c.refuse(again(replies[0]), session.ErrReused)
		turn := again(users[1])
		said := c.Start(turn)
		c.equal("user", said.User, users[1])
		c.equal("before", said.Before, replies[0].ID)
		c.WantTexts(session.Position{}, "0", "re: 0", "1")
		c.End(turn.Reply, "anew", session.FinishStop)
		c.WantTexts(session.Position{}, "0", "re: 0", "1", "anew")
	}},
}
