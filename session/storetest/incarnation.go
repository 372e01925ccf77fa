package storetest

import (
	"errors"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// remade deletes the conversation and makes it again under its id, for bob, who
// has said something and gets a reply. It returns the incarnation that is gone.
func (c *Talk) remade() (before session.Ref) {
	c.Helper()
	before = c.Ref
	if err := c.Delete(c.ctx, before); err != nil {
		c.Fatal(err)
	}
	c.Ref = Made(c, c.Sessions, session.Creation{ID: c.Ref.ID, Owner: "bob"})
	if c.Ref.ID != before.ID || c.Ref.Born == before.Born {
		c.Fatalf("made again as %+v, was %+v", c.Ref, before)
	}
	c.Round("bob's secret")
	c.Start(Submit("bob's question"))
	return before
}

// incarnationCases are about a session that was deleted and made again.
var incarnationCases = []storeCase{
	{"found by its id", func(c *Talk) {
		for range 2 {
			s, err := c.Check(c.ctx, c.Ref.ID, "ann")
			if err != nil || s.Ref() != c.Ref || s.Owner != "ann" || len(s.Messages) != 0 {
				c.Fatalf("found %+v, %v; want %+v", s, err, c.Ref)
			}
			c.Round("hi")
		}
		c.remade()
		if s, err := c.Check(c.ctx, c.Ref.ID, "bob"); err != nil || s.Ref() != c.Ref || s.Owner != "bob" {
			c.Errorf("made again it is found as %+v, %v", s, err)
		}
		if _, err := c.Check(c.ctx, uuid.New(), "ann"); !errors.Is(err, session.ErrNotFound) {
			c.Errorf("what never was: %v", err)
		}
	}},
	{"no step of the first reaches the second", func(c *Talk) {
		user, reply := c.Round("hi")
		turn := Submit("more")
		c.Start(turn)
		before := c.remade()
		now := c.View(session.Position{})

		c.WantAllNotFound(before, turn)
		running := now.Running
		for name, err := range map[string]error{
			"stop":                   c.Stop(c.ctx, before, running.Reply),
			"connect":                c.Connect(c.ctx, before, session.Claim{Connection: uuid.New()}),
			"follow":                 second(c.Follow(c.ctx, before)),
			"take":                   third(c.Take(c.ctx, before, running.Reply)),
			"say again":              second(c.Say(c.ctx, before, turn)),
			"edit":                   second(c.Say(c.ctx, before, edit(user.ID, "other"))),
			"regenerate":             second(c.Say(c.ctx, before, regenerate(reply.ID))),
			"answer anew":            second(c.Say(c.ctx, before, again(user))),
			"edit another's message": second(c.Say(c.ctx, before, edit(now.Messages[0].ID, "mine"))),
			"read another's reply":   second(c.Get(c.ctx, before, running.Position())),
		} {
			if !errors.Is(err, session.ErrNotFound) {
				c.Errorf("%s: %v, want ErrNotFound", name, err)
			}
		}
		if diff := cmp.Diff(now, c.View(session.Position{})); diff != "" {
			c.Errorf("the second has changed:\n%s", diff)
		}
		c.End(running.Reply, "for bob", session.FinishStop)
	}},
	{"one that is not named exactly is not found", func(c *Talk) {
		c.Round("hi")
		for _, ref := range []session.Ref{{ID: c.Ref.ID}, {ID: c.Ref.ID, Born: "another"}, {Born: c.Ref.Born}, {ID: uuid.New(), Born: c.Ref.Born}} {
			c.WantAllNotFound(ref, Submit("hi"))
		}
	}},
	{"what the first held does not hold the second", func(c *Talk) {
		if err := c.Hold(c.ctx, c.Ref); err != nil {
			c.Fatal(err)
		}
		before := c.remade()
		if err := c.Hold(c.ctx, c.Ref); err != nil {
			c.Fatal(err)
		}
		c.Release(before)
		c.Release(before)
		c.Release(c.Ref)
		c.WantTexts(session.Position{}, "bob's secret", "re: bob's secret", "bob's question")
	}},
	{"a key finds its owner's session only", func(c *Talk) {
		key := uuid.New()
		first := Made(c, c.Sessions, session.Creation{ID: uuid.New(), Owner: "ann", Key: key})
		if err := c.Delete(c.ctx, first); err != nil {
			c.Fatal(err)
		}
		taken := Made(c, c.Sessions, session.Creation{ID: first.ID, Owner: "bob"})
		next := Made(c, c.Sessions, session.Creation{ID: uuid.New(), Owner: "ann", Key: key})
		if next.ID == taken.ID {
			c.Error("ann's key leads into bob's session")
		}
		c.equal("again", Made(c, c.Sessions, session.Creation{ID: uuid.New(), Owner: "ann", Key: key}), next)
	}},
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
