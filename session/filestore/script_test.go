package filestore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// told is a conversation as anybody can see it.
type told struct {
	Messages []string
	Running  string
	Text     string
}

// dump returns all that a store has.
func dump(t testing.TB, s *Store) map[string]told {
	t.Helper()
	all := map[string]told{}
	err := s.Each(context.Background(), func(id uuid.UUID, c *session.Conversation, text *session.Text) error {
		one := told{}
		for _, m := range c.Messages() {
			one.Messages = append(one.Messages, fmt.Sprintf("%s %s %s", m.Role, m.FinishReason, m.Content))
		}
		if r := c.Running; r != nil {
			one.Running = fmt.Sprintf("%v stopping=%v", r.Reply, r.Stopping)
			one.Text = text.String(text.Safe())
		}
		all[id.String()] = one
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// script is a store with what its steps need to remember.
type script struct {
	*Store
	refs  map[string]session.Ref
	texts map[string]*session.Text
	turns map[string]session.Turn
}

type step struct {
	name string
	do   func(s *script) error
}

func name(s string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(s)) }

func create(who string) step {
	return step{"create " + who, func(s *script) error {
		got, err := s.Create(context.Background(), session.Creation{ID: name(who), Owner: "ann", Key: name("key of " + who)})
		s.refs[who] = got.Ref()
		return err
	}}
}

func say(who, content string) step {
	return step{"say to " + who, func(s *script) error {
		turn := session.Turn{
			User:  session.Message{ID: name("user " + who + content), Content: content, Timestamp: session.Now()},
			Reply: name("reply " + who + content), Model: "m",
		}
		return s.turn(who, turn)
	}}
}

func editOf(who, old, content string) step {
	return step{"edit " + who, func(s *script) error {
		turn := session.Turn{
			Kind: session.Edit, User: session.Message{ID: name("user " + who + old), Content: content, Timestamp: session.Now()},
			Reply: name("reply " + who + content), Model: "m",
		}
		return s.turn(who, turn)
	}}
}

func (s *script) turn(who string, turn session.Turn) error {
	said, err := s.Say(context.Background(), s.refs[who], turn)
	if err == nil && !said.Started {
		return fmt.Errorf("not started: %+v", said)
	}
	s.texts[who], s.turns[who] = said.Text, turn
	return err
}

func write(who, p string) step {
	return step{"append to " + who, func(s *script) error {
		t := s.texts[who]
		if !strings.HasSuffix(t.String(t.Appended()), p) {
			t.Append([]byte(p))
		}
		return s.flush(t)
	}}
}

// flush is what the Manager's queue does in the background.
func (s *script) flush(t *session.Text) error {
	if s.b.Append(context.Background(), []*session.Text{t}); t.Safe() < t.Appended() {
		return session.ErrUnavailable
	}
	return nil
}

func finish(who, rest string) step {
	return step{"finish " + who, func(s *script) error {
		t := s.texts[who]
		if !strings.HasSuffix(t.String(t.Appended()), rest) {
			t.Append([]byte(rest))
		}
		return s.Finish(context.Background(), t, session.Message{
			FinishReason: session.FinishStop, Usage: &session.Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3},
		})
	}}
}

func stop(who string) step {
	return step{"stop " + who, func(s *script) error {
		return s.Stop(context.Background(), s.refs[who], s.turns[who].Reply)
	}}
}

func yieldUp(who string) step {
	return step{"yield " + who, func(s *script) error { return s.Yield(context.Background(), s.texts[who]) }}
}

func take(who string) step {
	return step{"take " + who, func(s *script) error {
		said, _, err := s.Take(context.Background(), s.refs[who], s.turns[who].Reply)
		s.texts[who] = said.Text
		return err
	}}
}

func remove(who string) step {
	return step{"delete " + who, func(s *script) error {
		return s.Delete(context.Background(), s.refs[who])
	}}
}

var (
	syncNow = step{"sync", func(s *script) error { return s.b.j.sync() }}
	markNow = step{"mark", func(s *script) error { s.b.j.mark(); return s.b.j.health() }}
	compact = step{"compact", func(s *script) error { return s.b.compact(context.Background()) }}
	touch   = step{"touch", func(s *script) error {
		for _, e := range s.b.j.entries {
			e.used -= 2 * touchEvery
		}
		_, err := s.b.Touch(context.Background(), []session.Use{{ID: name("a"), At: time.Now()}, {ID: name("b"), At: time.Now()}})
		return err
	}}
)

// steps say, write, finish, delete, and have segments begin and go.
var steps = []step{
	create("a"), say("a", "hi"), write("a", "Hello"), write("a", ", w\u00f6rld"),
	create("b"), say("b", "yes"), write("b", "no"), syncNow, markNow,
	write("a", " and more"), finish("a", ""),
	say("a", "again"), write("a", strings.Repeat("long ", 100)), finish("a", " end"),
	create("c"), remove("c"), compact,
	write("b", " no"), touch, yieldUp("b"), take("b"), write("b", " never"), syncNow,
	editOf("a", "again", "other"), write("a", "well"), stop("a"), finish("a", ""),
	remove("a"), create("d"), say("d", "deep"), syncNow, write("d", "down"), compact,
	finish("b", " ever"), create("a"), say("a", "anew"), write("a", "ok"), write("d", " there"), compact,
	finish("a", ""), remove("d"), say("b", "last"), write("b", "words"),
}
