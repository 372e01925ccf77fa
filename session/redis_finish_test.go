package session

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// TestFinishAmidAppends ends replies whose last text is on its way to Redis:
// that it comes too late is no loss of the right to write.
func TestFinishAmidAppends(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	for range 200 {
		r, written := a.begin(t)
		written.write("one ")
		written.keeps(t, 4)
		written.write("two")
		if err := a.Finish(t.Context(), r.conversation, Message{ID: r.id, Content: "one two", FinishReason: FinishStop}); err != nil {
			t.Fatal(err)
		}
		if _, _, lost := written.now(); lost {
			t.Fatal("the writer is told that it lost its reply")
		}
	}
	if log := a.log.String(); strings.Contains(log, "no longer") {
		t.Errorf("told as %s", log)
	}
}

// TestFinishAgain runs the script twice, as after an answer that was lost: what
// was stored is told as stored, although others have cut it by then, and one
// has even given its id to a message.
func TestFinishAgain(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"miniredis": miniredis.RunT(t).Addr(), "redis": startRedis(t).addr} {
		t.Run(name, func(t *testing.T) {
			a := newNode(t, RedisConfig{URL: "redis://" + addr})
			r, _ := a.begin(t)
			lease, _ := a.writing(r.id)
			m := Message{ID: r.id, Role: Assistant, Content: "one", FinishReason: FinishStop, Timestamp: Now()}
			want := func(status, lease, content string) {
				t.Helper()
				got, _, err := a.step(t.Context(), finishScript, r.conversation, stamp(Now()), r.id.String(), lease,
					kindOf(m), headerOf(m), "0", content, strconv.Itoa(len(content)))
				if err != nil || got != status {
					t.Errorf("%q: %s, %v; want %s", content, got, err, status)
				}
			}
			want("ok", lease, "one")
			want("ok", lease, "one")
			for _, id := range []uuid.UUID{r.said.User.ID, r.id} {
				turn := edit(id, "edited")
				if said, err := a.Say(t.Context(), r.conversation, turn); err != nil || !said.Started {
					t.Fatalf("edit: %+v, %v", said, err)
				}
				want("ok", lease, "one")
				want("lost", lease, "another")
				want("lost", "", "one")
				if err := a.Finish(t.Context(), r.conversation, Message{ID: turn.Reply, FinishReason: FinishStop}); err != nil {
					t.Fatal(err)
				}
				want("ok", lease, "one")
			}
		})
	}
}

// TestSayComesLate: a turn that arrives a second time, from a connection that
// was given up, when its reply has ended and others have cut it, is not begun
// anew.
func TestSayComesLate(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	for _, turn := range []Turn{submit("hi"), regenerate(uuid.Nil), edit(uuid.New(), "e")} {
		r, _ := a.begin(t)
		finish := func(reply uuid.UUID) {
			t.Helper()
			if err := a.Finish(t.Context(), r.conversation, Message{ID: reply, FinishReason: FinishStop, Timestamp: Now()}); err != nil {
				t.Fatal(err)
			}
		}
		finish(r.id)
		for _, next := range []Turn{turn, edit(r.said.User.ID, "from the start")} {
			if said, err := a.Say(t.Context(), r.conversation, next); err != nil || !said.Started {
				t.Fatalf("say: %+v, %v", said, err)
			}
			finish(next.Reply)
		}
		before, err := a.Get(t.Context(), r.conversation, Position{})
		if err != nil {
			t.Fatal(err)
		}
		if said, err := a.Say(t.Context(), r.conversation, turn); !errors.Is(err, ErrBusy) {
			t.Errorf("%v: %+v, %v", turn.Kind, said, err)
		}
		after, err := a.Get(t.Context(), r.conversation, Position{})
		if diff := cmp.Diff(before, after); err != nil || diff != "" {
			t.Errorf("%v: %v, the session has changed:\n%s", turn.Kind, err, diff)
		}
	}
}

// TestYieldAmidFinish: who yields text that another node has the right to write
// by now does not offer it for ever, although it is Finish that is to tell.
func TestYieldAmidFinish(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + miniredis.RunT(t).Addr()})
	r, written := a.begin(t)
	a.ending(r.id, true)
	for _, taken := range [][]string{
		{"HSET", key(r.conversation, "reply"), "lease", "another"}, {"SET", key(r.conversation, "turn"), "another"},
	} {
		if err := a.raw(t, taken...).Error(); err != nil {
			t.Fatal(err)
		}
	}
	written.write("too late")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Yield(ctx, r.conversation, r.id); err != nil {
		t.Error(err)
	}
}
