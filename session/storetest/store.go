// Package storetest holds every implementation of session.Backend to the same
// table: what the steps of a conversation return, and what they leave in the store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// Sessions is what the table asks of a store: a *session.Manager, or something
// around one that has it opened anew between the steps.
type Sessions interface {
	Create(context.Context, session.Creation) (session.Session, error)
	Check(ctx context.Context, id uuid.UUID, owner string) (session.Session, error)
	Get(context.Context, session.Ref, session.Position) (session.Session, error)
	Say(context.Context, session.Ref, session.Turn) (session.Said, error)
	Finish(context.Context, *session.Text, session.Message) error
	Take(ctx context.Context, ref session.Ref, reply uuid.UUID) (session.Said, string, error)
	Follow(context.Context, session.Ref) (*session.Text, error)
	Stop(ctx context.Context, ref session.Ref, reply uuid.UUID) error
	Connect(context.Context, session.Ref, session.Claim) error
	Delete(context.Context, session.Ref) error
	Hold(context.Context, session.Ref) error
	Release(session.Ref)
	Ready(context.Context) error
}

// Run holds a store to the contract of session.Backend. newStore returns an empty
// one that lives until the test ends, with the package's default time to live.
func Run(t *testing.T, newStore func(t *testing.T) Sessions) {
	for _, table := range [][]storeCase{createCases, incarnationCases, sayCases, placeCases, raceCases} {
		for _, c := range table {
			t.Run(c.name, func(t *testing.T) {
				c.run(NewTalk(t, newStore(t)))
			})
		}
	}
}

// storeCase is one row: what is done to a fresh conversation.
type storeCase struct {
	name string
	run  func(c *Talk)
}

// Talk is one conversation under test. Its steps fail the test where they fail.
type Talk struct {
	*testing.T
	Sessions
	Ref session.Ref
	ctx context.Context

	mu    sync.Mutex
	texts map[uuid.UUID]*session.Text // of the replies that were started
}

// NewTalk makes a conversation of ann's.
func NewTalk(t *testing.T, s Sessions) *Talk {
	ref := Made(t, s, session.Creation{ID: uuid.New(), Owner: "ann"})
	return &Talk{T: t, Sessions: s, Ref: ref, ctx: t.Context(), texts: map[uuid.UUID]*session.Text{}}
}

// Made makes a session, or finds it.
func Made(t testing.TB, s Sessions, c session.Creation) session.Ref {
	t.Helper()
	made, err := s.Create(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return made.Ref()
}

// Submit is the turn that says content, with fresh ids.
func Submit(content string) session.Turn {
	return session.Turn{
		User:  session.Message{ID: uuid.New(), Content: content, Timestamp: session.Now()},
		Reply: uuid.New(), Model: "m",
	}
}

// say does a turn that must succeed.
func (c *Talk) say(turn session.Turn) session.Said {
	c.Helper()
	said, err := c.Say(c.ctx, c.Ref, turn)
	if err != nil {
		c.Fatal(err)
	}
	return said
}

// Start does a turn that must start a reply.
func (c *Talk) Start(turn session.Turn) session.Said {
	c.Helper()
	said := c.say(turn)
	if !said.Started || said.Running == nil || said.Running.Reply != turn.Reply {
		c.Fatalf("say = %+v, want reply %v started", said, turn.Reply)
	}
	return said
}

// refuse does a turn that must fail with want and change nothing.
func (c *Talk) refuse(turn session.Turn, want error) {
	c.Helper()
	before := c.View(session.Position{})
	said, err := c.Say(c.ctx, c.Ref, turn)
	if !errors.Is(err, want) || said.Started {
		c.Fatalf("say = %+v, %v, want %v", said, err, want)
	}
	if diff := cmp.Diff(before, c.View(session.Position{})); diff != "" {
		c.Fatalf("a refused turn changed the session:\n%s", diff)
	}
}

// Say notes the text of a reply that was started.
func (c *Talk) Say(ctx context.Context, ref session.Ref, turn session.Turn) (session.Said, error) {
	said, err := c.Sessions.Say(ctx, ref, turn)
	if said.Started {
		c.mu.Lock()
		c.texts[turn.Reply] = said.Text
		c.mu.Unlock()
		said.Text = nil // what is compared below
	}
	return said, err
}

// end writes content to a reply that was started, and ends it.
func (c *Talk) end(reply uuid.UUID, content, reason string) error {
	c.mu.Lock()
	text := c.texts[reply]
	c.mu.Unlock()
	if text.Appended() == 0 {
		text.Append([]byte(content))
	}
	return c.Finish(c.ctx, text, session.Message{FinishReason: reason})
}

// End ends the reply with content and reason, and returns it as stored.
func (c *Talk) End(reply uuid.UUID, content, reason string) session.Message {
	c.Helper()
	if err := c.end(reply, content, reason); err != nil {
		c.Fatal(err)
	}
	c.mu.Lock()
	text := c.texts[reply]
	c.mu.Unlock()
	if got := text.String(text.Safe()); got != content && text.End() != nil { // where the store was not opened anew meanwhile
		c.Fatalf("followers of the reply are shown %q and its end", got)
	}
	all := c.View(session.Position{}).Messages
	return all[len(all)-1]
}

// Round says content and ends its reply well.
func (c *Talk) Round(content string) (user, reply session.Message) {
	c.Helper()
	turn := Submit(content)
	said := c.Start(turn)
	return said.User, c.End(turn.Reply, "re: "+content, session.FinishStop)
}

// View returns the session with the messages after a place.
func (c *Talk) View(after session.Position) session.Session {
	c.Helper()
	s, err := c.Sessions.Get(c.ctx, c.Ref, after)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// WantTexts compares the contents of the messages that follow after.
func (c *Talk) WantTexts(after session.Position, want ...string) session.Session {
	c.Helper()
	s := c.View(after)
	if diff := cmp.Diff(append([]string{}, want...), texts(s.Messages)); diff != "" {
		c.Fatalf("messages behind %v (-want +got):\n%s", after, diff)
	}
	return s
}

func (c *Talk) equal(what string, got, want any) {
	c.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func texts(messages []session.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Content
	}
	return out
}

var createCases = []storeCase{
	{"a new session is empty", func(c *Talk) {
		s := c.View(session.Position{})
		c.equal("session", s, session.Session{
			ID: c.Ref.ID, Born: c.Ref.Born, Owner: "ann", CreatedAt: s.CreatedAt, UpdatedAt: s.CreatedAt, Messages: []session.Message{},
		})
		if age := time.Since(s.CreatedAt); age < 0 || age > time.Minute || s.CreatedAt.Location() != time.UTC {
			c.Errorf("created at %v", s.CreatedAt)
		}
	}},
	{"created again it is found", func(c *Talk) {
		c.Round("hi")
		s, err := c.Create(c.ctx, session.Creation{ID: c.Ref.ID, Owner: "bob"})
		if err != nil {
			c.Fatal(err)
		}
		c.equal("session", s, c.View(session.Position{}))
	}},
	{"a key makes one session per owner", func(c *Talk) {
		key := uuid.New()
		create := func(owner string) session.Ref {
			return Made(c, c.Sessions, session.Creation{ID: uuid.New(), Owner: owner, Key: key})
		}
		first := create("ann")
		c.equal("again", create("ann"), first)
		seen := map[session.Ref]bool{first: true}
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
	{"what is deleted is gone", func(c *Talk) {
		turn := Submit("hi")
		c.Start(turn)
		if err := c.Delete(c.ctx, c.Ref); err != nil {
			c.Fatal(err)
		}
		c.WantAllNotFound(c.Ref, turn)
		c.Ref = Made(c, c.Sessions, session.Creation{ID: c.Ref.ID})
		if s := c.WantTexts(session.Position{}); s.Running != nil || s.Owner != "" {
			c.Errorf("made again it holds %+v", s)
		}
		c.Round("made again")
	}},
	{"what never was is not found", func(c *Talk) { c.WantAllNotFound(session.Ref{ID: uuid.New()}, Submit("hi")) }},
	{"hold and release", func(c *Talk) {
		for range 2 {
			if err := c.Hold(c.ctx, c.Ref); err != nil {
				c.Fatal(err)
			}
		}
		c.Release(c.Ref)
		c.Release(c.Ref)
		c.Release(c.Ref) // once too often
		c.Release(session.Ref{ID: uuid.New()})
		c.View(session.Position{})
		if err := c.Hold(c.ctx, c.Ref); err != nil {
			c.Fatal(err)
		}
		if err := c.Delete(c.ctx, c.Ref); err != nil {
			c.Fatal(err)
		}
		c.Release(c.Ref)
	}},
	{"it is ready", func(c *Talk) {
		if err := c.Ready(c.ctx); err != nil {
			c.Fatal(err)
		}
	}},
}

func (c *Talk) WantAllNotFound(ref session.Ref, turn session.Turn) {
	c.Helper()
	_, get := c.Sessions.Get(c.ctx, ref, session.Position{})
	_, say := c.Say(c.ctx, ref, turn)
	for name, err := range map[string]error{
		"get": get, "say": say,
		"delete": c.Sessions.Delete(c.ctx, ref),
		"hold":   c.Sessions.Hold(c.ctx, ref),
	} {
		if !errors.Is(err, session.ErrNotFound) {
			c.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

// said does n rounds: "0" and "re: 0", "1" and "re: 1" and so on.
func (c *Talk) said(n int) (users, replies []session.Message) {
	c.Helper()
	for i := range n {
		user, reply := c.Round(fmt.Sprint(i))
		users, replies = append(users, user), append(replies, reply)
	}
	return users, replies
}
