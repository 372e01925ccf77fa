package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// testStore holds a Store to its contract. newStore returns an empty one that
// lives until the test ends, with the package's default time to live.
func testStore(t *testing.T, newStore func(t *testing.T) Store) {
	for _, table := range [][]storeCase{createCases, incarnationCases, sayCases, placeCases, raceCases} {
		for _, c := range table {
			t.Run(c.name, func(t *testing.T) {
				c.run(newTalk(t, newStore(t)))
			})
		}
	}
}

// storeCase is one row: what is done to a fresh conversation.
type storeCase struct {
	name string
	run  func(c *talk)
}

// talk is one conversation under test.
type talk struct {
	*testing.T
	Store
	ctx context.Context
	id  uuid.UUID
	ref Ref
}

func newTalk(t *testing.T, s Store) *talk {
	ref := made(t, s, Creation{ID: uuid.New(), Owner: "ann"})
	return &talk{T: t, Store: s, ctx: t.Context(), id: ref.ID, ref: ref}
}

// made makes a session, or finds it.
func made(t testing.TB, s Store, c Creation) Ref {
	t.Helper()
	session, err := s.Create(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return session.Ref()
}

// submit is the turn that says content, with fresh ids.
func submit(content string) Turn {
	return Turn{
		User:  Message{ID: uuid.New(), Content: content, Timestamp: Now()},
		Reply: uuid.New(), Model: "m",
	}
}

// say does a turn that must succeed.
func (c *talk) say(turn Turn) Said {
	c.Helper()
	said, err := c.Store.Say(c.ctx, c.ref, turn)
	if err != nil {
		c.Fatal(err)
	}
	return said
}

// start does a turn that must start a reply.
func (c *talk) start(turn Turn) Said {
	c.Helper()
	said := c.say(turn)
	if !said.Started || said.Running == nil || said.Running.Reply != turn.Reply {
		c.Fatalf("say = %+v, want reply %v started", said, turn.Reply)
	}
	return said
}

// refuse does a turn that must fail with want and change nothing.
func (c *talk) refuse(turn Turn, want error) {
	c.Helper()
	before := c.get(Position{})
	said, err := c.Store.Say(c.ctx, c.ref, turn)
	if !errors.Is(err, want) || said.Started {
		c.Fatalf("say = %+v, %v, want %v", said, err, want)
	}
	if diff := cmp.Diff(before, c.get(Position{})); diff != "" {
		c.Fatalf("a refused turn changed the session:\n%s", diff)
	}
}

// finish ends the reply with content and reason, and returns it as stored.
func (c *talk) finish(reply uuid.UUID, content, reason string) Message {
	c.Helper()
	m := Message{ID: reply, Role: Assistant, Content: content, Timestamp: Now(), FinishReason: reason, Model: "m"}
	if err := c.Store.Finish(c.ctx, c.ref, m); err != nil {
		c.Fatal(err)
	}
	all := c.get(Position{}).Messages
	return all[len(all)-1]
}

// round says content and ends its reply well.
func (c *talk) round(content string) (user, reply Message) {
	c.Helper()
	turn := submit(content)
	said := c.start(turn)
	return said.User, c.finish(turn.Reply, "re: "+content, FinishStop)
}

func (c *talk) get(after Position) Session {
	c.Helper()
	s, err := c.Store.Get(c.ctx, c.ref, after)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// wantTexts compares the contents of the messages behind after.
func (c *talk) wantTexts(after Position, want ...string) Session {
	c.Helper()
	s := c.get(after)
	if diff := cmp.Diff(append([]string{}, want...), texts(s.Messages)); diff != "" {
		c.Fatalf("messages behind %v (-want +got):\n%s", after, diff)
	}
	return s
}

func (c *talk) equal(what string, got, want any) {
	c.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func texts(messages []Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Content
	}
	return out
}

var createCases = []storeCase{
	{"a new session is empty", func(c *talk) {
		s := c.get(Position{})
		c.equal("session", s, Session{
			ID: c.id, Born: c.ref.Born, Owner: "ann", CreatedAt: s.CreatedAt, UpdatedAt: s.CreatedAt, Messages: []Message{},
		})
		if age := time.Since(s.CreatedAt); age < 0 || age > time.Minute || s.CreatedAt.Location() != time.UTC {
			c.Errorf("created at %v", s.CreatedAt)
		}
	}},
	{"created again it is found", func(c *talk) {
		c.round("hi")
		s, err := c.Create(c.ctx, Creation{ID: c.id, Owner: "bob"})
		if err != nil {
			c.Fatal(err)
		}
		c.equal("session", s, c.get(Position{}))
	}},
	{"a key makes one session per owner", func(c *talk) {
		key := uuid.New()
		create := func(owner string) Ref {
			return made(c, c.Store, Creation{ID: uuid.New(), Owner: owner, Key: key})
		}
		first := create("ann")
		c.equal("again", create("ann"), first)
		seen := map[Ref]bool{first: true}
		for _, owner := range []string{"bob", "", "ann ", "ann " + key.String()} {
			seen[create(owner)] = true
		}
		c.equal("sessions", len(seen), 5)
		if err := c.Delete(c.ctx, first); err != nil {
			c.Fatal(err)
		}
		if again := create("ann"); seen[again] {
			c.Error("the key found a session that was deleted")
		}
	}},
	{"what is deleted is gone", func(c *talk) {
		turn := submit("hi")
		c.start(turn)
		if err := c.Delete(c.ctx, c.ref); err != nil {
			c.Fatal(err)
		}
		c.wantAllNotFound(c.ref, turn)
		c.ref = made(c, c.Store, Creation{ID: c.id})
		if s := c.wantTexts(Position{}); s.Running != nil || s.Owner != "" {
			c.Errorf("made again it holds %+v", s)
		}
		c.round("made again")
	}},
	{"what never was is not found", func(c *talk) { c.wantAllNotFound(Ref{ID: uuid.New()}, submit("hi")) }},
	{"hold and release", func(c *talk) {
		for range 2 {
			if err := c.Hold(c.ctx, c.ref); err != nil {
				c.Fatal(err)
			}
		}
		c.Release(c.ref)
		c.Release(c.ref)
		c.Release(c.ref) // once too often
		c.Release(Ref{ID: uuid.New()})
		c.get(Position{})
		if err := c.Hold(c.ctx, c.ref); err != nil {
			c.Fatal(err)
		}
		if err := c.Delete(c.ctx, c.ref); err != nil {
			c.Fatal(err)
		}
		c.Release(c.ref)
	}},
	{"it is ready", func(c *talk) {
		if err := c.Ready(c.ctx); err != nil {
			c.Fatal(err)
		}
	}},
}

func (c *talk) wantAllNotFound(ref Ref, turn Turn) {
	c.Helper()
	_, get := c.Store.Get(c.ctx, ref, Position{})
	_, say := c.Store.Say(c.ctx, ref, turn)
	for name, err := range map[string]error{
		"get": get, "say": say,
		"finish": c.Store.Finish(c.ctx, ref, Message{ID: turn.Reply}),
		"delete": c.Store.Delete(c.ctx, ref),
		"hold":   c.Store.Hold(c.ctx, ref),
	} {
		if !errors.Is(err, ErrNotFound) {
			c.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

// said does n rounds: "0" and "re: 0", "1" and "re: 1" and so on.
func (c *talk) said(n int) (users, replies []Message) {
	c.Helper()
	for i := range n {
		user, reply := c.round(fmt.Sprint(i))
		users, replies = append(users, user), append(replies, reply)
	}
	return users, replies
}
