package session

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// remade deletes the conversation and makes it again under its id, for bob, who
// has said something and gets a reply. It returns the incarnation that is gone.
func (c *talk) remade() (before Ref) {
	c.Helper()
	before = c.ref
	if err := c.Delete(c.ctx, before); err != nil {
		c.Fatal(err)
	}
	c.ref = made(c, c.Store, Creation{ID: c.id, Owner: "bob"})
	if c.ref.ID != before.ID || c.ref.Born == before.Born {
		c.Fatalf("made again as %+v, was %+v", c.ref, before)
	}
	c.round("bob's secret")
	c.start(submit("bob's question"))
	return before
}

// incarnationCases are about a session that was deleted and made again.
var incarnationCases = []storeCase{
	{"found by its id", func(c *talk) {
		for range 2 {
			s, err := c.Find(c.ctx, c.id)
			if err != nil || s.Ref() != c.ref || s.Owner != "ann" || len(s.Messages) != 0 {
				c.Fatalf("found %+v, %v; want %+v", s, err, c.ref)
			}
			c.round("hi")
		}
		c.remade()
		if s, err := c.Find(c.ctx, c.id); err != nil || s.Ref() != c.ref || s.Owner != "bob" {
			c.Errorf("made again it is found as %+v, %v", s, err)
		}
		if _, err := c.Find(c.ctx, uuid.New()); !errors.Is(err, ErrNotFound) {
			c.Errorf("what never was: %v", err)
		}
	}},
	{"no step of the first reaches the second", func(c *talk) {
		user, reply := c.round("hi")
		turn := submit("more")
		c.start(turn)
		before := c.remade()
		now := c.get(Position{})

		c.wantAllNotFound(before, turn)
		running := now.Running
		for name, err := range map[string]error{
			"finish another's reply": c.Finish(c.ctx, before, Message{ID: running.Reply, Content: "mine", FinishReason: FinishStop}),
			"say again":              second(c.Say(c.ctx, before, turn)),
			"edit":                   second(c.Say(c.ctx, before, edit(user.ID, "other"))),
			"regenerate":             second(c.Say(c.ctx, before, regenerate(reply.ID))),
			"answer anew":            second(c.Say(c.ctx, before, again(user.ID))),
			"edit another's message": second(c.Say(c.ctx, before, edit(now.Messages[0].ID, "mine"))),
			"read another's reply":   second(c.Get(c.ctx, before, running.Position())),
		} {
			if !errors.Is(err, ErrNotFound) {
				c.Errorf("%s: %v, want ErrNotFound", name, err)
			}
		}
		if log, ok := c.Store.(Log); ok {
			c.wantLogNotFound(log, before, running.Reply)
		}
		if diff := cmp.Diff(now, c.get(Position{})); diff != "" {
			c.Errorf("the second has changed:\n%s", diff)
		}
		c.finish(running.Reply, "for bob", FinishStop)
	}},
	{"one that is not named exactly is not found", func(c *talk) {
		c.round("hi")
		for _, ref := range []Ref{{ID: c.id}, {ID: c.id, Born: uuid.New()}, {Born: c.ref.Born}, {ID: uuid.New(), Born: c.ref.Born}} {
			c.wantAllNotFound(ref, submit("hi"))
		}
	}},
	{"what the first held does not hold the second", func(c *talk) {
		if err := c.Hold(c.ctx, c.ref); err != nil {
			c.Fatal(err)
		}
		before := c.remade()
		if err := c.Hold(c.ctx, c.ref); err != nil {
			c.Fatal(err)
		}
		c.Release(before)
		c.Release(before)
		c.Release(c.ref)
		c.wantTexts(Position{}, "bob's secret", "re: bob's secret", "bob's question")
	}},
	{"a key finds its owner's session only", func(c *talk) {
		key := uuid.New()
		first := made(c, c.Store, Creation{ID: uuid.New(), Owner: "ann", Key: key})
		if err := c.Delete(c.ctx, first); err != nil {
			c.Fatal(err)
		}
		taken := made(c, c.Store, Creation{ID: first.ID, Owner: "bob"})
		next := made(c, c.Store, Creation{ID: uuid.New(), Owner: "ann", Key: key})
		if next.ID == taken.ID {
			c.Error("ann's key leads into bob's session")
		}
		c.equal("again", made(c, c.Store, Creation{ID: uuid.New(), Owner: "ann", Key: key}), next)
	}},
}

func second[T any](_ T, err error) error { return err }

// wantLogNotFound asks for every step of a Log on an incarnation that is gone.
// reply is the second's.
func (c *talk) wantLogNotFound(log Log, before Ref, reply uuid.UUID) {
	c.Helper()
	for name, err := range map[string]error{
		"stop":       second(log.Stop(c.ctx, before, Message{ID: reply, FinishReason: FinishStopped})),
		"adopt":      second(log.Adopt(c.ctx, before, uuid.New())),
		"connect":    log.Connect(c.ctx, before, Claim{Connection: uuid.New()}),
		"unfollowed": second(log.Unfollowed(c.ctx, before, reply)),
	} {
		if !errors.Is(err, ErrNotFound) {
			c.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	log.Disconnect(before, uuid.New())
}

// TestKeyOutlivesItsSession has a session expire before its idempotency key, as
// it does on Redis, and somebody else make the session's id his own.
func TestKeyOutlivesItsSession(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		for name, theirs := range map[string]Creation{
			"another owner, who chose the id": {Owner: "mallory"},
			"nobody in particular":            {Owner: ""},
			"another owner with a key":        {Owner: "mallory", Key: uuid.New()},
			"the same owner without a key":    {Owner: "ann"},
			"the same owner with another key": {Owner: "ann", Key: uuid.New()},
		} {
			t.Run(name, func(t *testing.T) {
				mine := Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()}
				first := made(t, a, mine)
				for _, name := range keyNames {
					a.raw(t, "DEL", key(first.ID, name))
				}
				theirs.ID = first.ID
				taken := made(t, b, theirs)
				if taken.ID != first.ID {
					t.Fatalf("made %v, want %v", taken, first)
				}
				found := make(chan Ref, 20)
				for i := range cap(found) {
					go func() {
						mine := mine
						mine.ID = uuid.New()
						s, err := []*node{a, b}[i%2].Create(t.Context(), mine)
						if err != nil {
							t.Error(err)
						}
						found <- s.Ref()
					}()
				}
				next := <-found
				for range cap(found) - 1 {
					if other := <-found; other != next {
						t.Errorf("one key made both %v and %v", next, other)
					}
				}
				if next.ID == first.ID {
					t.Error("the key leads into a session that it did not make")
				}
				if s, err := a.Get(t.Context(), taken, Position{}); err != nil || s.Owner != theirs.Owner {
					t.Errorf("the session that took the id: %+v, %v", s, err)
				}
			})
		}
	})
}

// TestClaimDoesNotOutliveItsSession: what an expired session leaves in Redis for
// a while, as a connection's claim, is not part of the one that takes its id.
func TestClaimDoesNotOutliveItsSession(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		id := busy(t, a, b).ID
		a.raw(t, "DEL", key(id, "session"))
		ref := made(t, b, Creation{ID: id, Owner: "bob"})
		if s, err := b.Get(t.Context(), ref, Position{}); err != nil || len(s.Messages) != 0 || s.Running != nil {
			t.Errorf("the new session holds %+v, %v", s, err)
		}
		if err := b.Connect(t.Context(), ref, Claim{Connection: uuid.New(), Mode: FromNobody}); err != nil {
			t.Errorf("nobody is connected to it: %v", err)
		}
	})
}
