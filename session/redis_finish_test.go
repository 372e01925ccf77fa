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
// was given up, when its reply has ended and others have cut it, begins nothing
// and gets the answer that it would get as another turn.
func TestSayComesLate(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	say := func(t *testing.T, c Ref, turn Turn) uuid.UUID {
		t.Helper()
		if said, err := a.Say(t.Context(), c, turn); err != nil || !said.Started {
			t.Fatalf("say: %+v, %v", said, err)
		}
		return turn.Reply
	}
	finish := func(t *testing.T, c Ref, reply uuid.UUID) {
		t.Helper()
		if err := a.Finish(t.Context(), c, Message{ID: reply, FinishReason: FinishStop, Timestamp: Now()}); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(t *testing.T, c Ref, reply uuid.UUID) {
		t.Helper()
		if _, err := a.Stop(t.Context(), c, Message{ID: reply, FinishReason: FinishStopped, Timestamp: Now()}); err != nil {
			t.Fatal(err)
		}
	}
	// Each begins behind a first round, which user and reply name.
	for name, do := range map[string]func(t *testing.T, c Ref, user, reply uuid.UUID) (late Turn, want func(Said, error) bool){
		"submit": func(t *testing.T, c Ref, user, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late := submit("hi")
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, edit(user, "from the start")))
			return late, isErr(ErrBusy)
		},
		"submit, stopped before its first token": func(t *testing.T, c Ref, user, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late := submit("hi")
			stop(t, c, say(t, c, late))
			finish(t, c, say(t, c, edit(user, "from the start")))
			return late, isErr(ErrBusy)
		},
		"submit whose message stands": func(t *testing.T, c Ref, _, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late, anew := submit("hi"), regenerate(uuid.Nil)
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, anew))
			return late, func(s Said, err error) bool { return err == nil && s.Ended != nil && s.Ended.ID == anew.Reply }
		},
		"submit whose message is being answered anew": func(t *testing.T, c Ref, _, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late, anew := submit("hi"), regenerate(uuid.Nil)
			finish(t, c, say(t, c, late))
			say(t, c, anew)
			return late, func(s Said, err error) bool {
				return err == nil && !s.Started && s.Running != nil && s.Running.Reply == anew.Reply
			}
		},
		"edit": func(t *testing.T, c Ref, user, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late := edit(user, "edited")
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, edit(user, "from the start")))
			return late, isErr(ErrBusy)
		},
		"regenerate": func(t *testing.T, c Ref, user, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late := regenerate(uuid.Nil)
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, regenerate(uuid.Nil)))
			return late, isErr(ErrBusy)
		},
		"regenerate of one that is gone": func(t *testing.T, c Ref, _, reply uuid.UUID) (Turn, func(Said, error) bool) {
			late := regenerate(reply)
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, regenerate(late.Reply)))
			return late, func(s Said, err error) bool { return err == nil && s.Done }
		},
		"whose reply's id a message has": func(t *testing.T, c Ref, user, _ uuid.UUID) (Turn, func(Said, error) bool) {
			late := regenerate(uuid.Nil)
			finish(t, c, say(t, c, late))
			finish(t, c, say(t, c, edit(user, "from the start")))
			finish(t, c, say(t, c, edit(late.Reply, "I have the reply's id")))
			if m, err := a.Stop(t.Context(), c, Message{ID: late.Reply}); !errors.Is(err, ErrLost) {
				t.Errorf("stop: %+v, %v", m, err)
			}
			return late, isErr(ErrBusy)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := a.begin(t)
			c := r.conversation
			finish(t, c, r.id)
			late, want := do(t, c, r.said.User.ID, r.id)
			before := a.session(t, c)
			if said, err := a.Say(t.Context(), c, late); !want(said, err) {
				t.Errorf("%+v, %v", said, err)
			}
			if diff := cmp.Diff(before, a.session(t, c)); diff != "" {
				t.Errorf("the session has changed:\n%s", diff)
			}
		})
	}
}

func isErr(want error) func(Said, error) bool {
	return func(_ Said, err error) bool { return errors.Is(err, want) }
}

// TestYieldAmidFinish: who yields text that another node has the right to write
// by now does not offer it for ever, although it is Finish that is to tell.
func TestYieldAmidFinish(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + miniredis.RunT(t).Addr()})
	r, written := a.begin(t)
	a.ending(r.id, true)
	for _, taken := range [][]string{
		{"HSET", key(r.conversation.ID, "reply"), "lease", "another"}, {"SET", key(r.conversation.ID, "turn"), "another"},
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
