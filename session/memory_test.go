package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Sessions { return session.NewMemory(session.Config{}) })
}

// sweeping runs f in a bubble, on a store that sweeps; gone tells what went.
func sweeping(t *testing.T, max int, f func(t *testing.T, m *session.Manager, gone map[session.Ref]int)) {
	synctest.Test(t, func(t *testing.T) {
		m, gone := session.NewMemory(session.Config{Sessions: max}), make(map[session.Ref]int)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		m.Watch(&listener{gone: func(ref session.Ref) { gone[ref]++ }})
		go func() { done <- m.Run(ctx) }()
		f(t, m, gone)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets d go by, and the sweeper come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func newSession(t testing.TB, s *session.Manager) session.Ref {
	t.Helper()
	return storetest.Made(t, s, session.Creation{ID: uuid.New(), Key: uuid.New()})
}

func found(t *testing.T, s *session.Manager, ref session.Ref) bool {
	t.Helper()
	_, err := s.Get(t.Context(), ref, session.End)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestExpiry(t *testing.T) {
	const ttl = session.DefaultTTL
	// Each runs on a conversation with one round in it.
	tests := []struct {
		name  string
		spend func(c *storetest.Talk)
		alive bool
	}{
		{"untouched", func(c *storetest.Talk) { pass(ttl + time.Second) }, false},
		{"not yet", func(c *storetest.Talk) { pass(ttl - time.Second) }, true},
		{"slides with get", func(c *storetest.Talk) { pass(ttl - time.Second); c.View(session.End); pass(ttl - time.Second) }, true},
		{"slides with say", func(c *storetest.Talk) {
			pass(ttl - time.Second)
			c.Round("x")
			pass(ttl - time.Second)
		}, true},
		{"slides with create", func(c *storetest.Talk) {
			pass(ttl - time.Second)
			if _, err := c.Create(c.Context(), session.Creation{ID: c.Ref.ID, Owner: "ann"}); err != nil {
				c.Fatal(err)
			}
			pass(ttl - time.Second)
		}, true},
		{"a running reply", func(c *storetest.Talk) { c.Start(storetest.Submit("x")); pass(3 * ttl) }, true},
		{"a reply that ran long", func(c *storetest.Talk) {
			turn := storetest.Submit("x")
			c.Start(turn)
			pass(3 * ttl)
			c.End(turn.Reply, "y", session.FinishStop)
			pass(ttl - time.Second)
		}, true},
		{"held", func(c *storetest.Talk) { hold(c); pass(3 * ttl) }, true},
		{"held twice, released once", func(c *storetest.Talk) {
			hold(c)
			hold(c)
			c.Release(c.Ref)
			pass(3 * ttl)
		}, true},
		{"released not long ago", func(c *storetest.Talk) {
			hold(c)
			pass(3 * ttl)
			c.Release(c.Ref)
			pass(ttl - time.Second)
		}, true},
		{"released", func(c *storetest.Talk) {
			hold(c)
			pass(3 * ttl)
			c.Release(c.Ref)
			pass(ttl + time.Second)
		}, false},
		{"held by a connection from before it was deleted", func(c *storetest.Talk) {
			hold(c)
			if err := c.Delete(c.Context(), c.Ref); err != nil {
				c.Fatal(err)
			}
			before := c.Ref
			c.Ref = storetest.Made(c, c.Sessions, session.Creation{ID: c.Ref.ID})
			hold(c)
			c.Release(before)
			pass(3 * ttl)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sweeping(t, 0, func(t *testing.T, m *session.Manager, gone map[session.Ref]int) {
				c := storetest.NewTalk(t, m)
				c.Round("hi")
				tt.spend(c)
				if got := found(t, m, c.Ref); got != tt.alive {
					t.Errorf("alive: %v", got)
				}
				pass(time.Minute) // the sweeper comes by
				want := map[bool]int{true: 0, false: 1}[tt.alive]
				if gone[c.Ref] != want || m.Stored() != 1-want {
					t.Errorf("told gone %d times, %d stored", gone[c.Ref], m.Stored())
				}
			})
		})
	}
}

func hold(c *storetest.Talk) {
	c.Helper()
	if err := c.Hold(c.Context(), c.Ref); err != nil {
		c.Fatal(err)
	}
}

func TestEmptySessionsLiveFiveMinutes(t *testing.T) {
	sweeping(t, 0, func(t *testing.T, m *session.Manager, gone map[session.Ref]int) {
		empty, held, spoken := storetest.NewTalk(t, m), storetest.NewTalk(t, m), storetest.NewTalk(t, m)
		hold(held)
		spoken.Round("hi")
		pass(session.EmptyTTL - time.Second)
		empty.View(session.End)
		pass(session.EmptyTTL - time.Second)
		if !found(t, m, empty.Ref) {
			t.Error("an empty session that was looked at went")
		}
		pass(session.EmptyTTL + time.Second)
		for c, want := range map[*storetest.Talk]bool{empty: false, held: true, spoken: true} {
			if got := found(t, m, c.Ref); got != want {
				t.Errorf("alive: %v, want %v", got, want)
			}
		}
		held.Release(held.Ref)
		pass(session.EmptyTTL + 2*time.Minute)
		if gone[empty.Ref] != 1 || gone[held.Ref] != 1 || m.Stored() != 1 {
			t.Errorf("gone: %v, %d stored", gone, m.Stored())
		}
	})
}

func TestExpiredIsGoneBeforeItIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewMemory(session.Config{Sessions: 1}) // nobody sweeps
		c := storetest.NewTalk(t, m)
		key := uuid.New()
		c.Round("hi")
		time.Sleep(session.DefaultTTL + time.Nanosecond)
		c.WantAllNotFound(c.Ref, storetest.Submit("x"))
		// The id is free again, and so is the room that it took.
		for range 2 {
			c.Ref = storetest.Made(t, m, session.Creation{ID: c.Ref.ID, Key: key})
			c.WantTexts(session.Position{})
			time.Sleep(session.EmptyTTL + time.Nanosecond)
		}
		if n := m.Len(); n != 1 {
			t.Errorf("%d sessions are counted", n)
		}
	})
}

func TestMaxSessions(t *testing.T) {
	ctx := t.Context()
	t.Run("the oldest empty one goes", func(t *testing.T) {
		m := session.NewMemory(session.Config{Sessions: 4})
		spoken, held := storetest.NewTalk(t, m), storetest.NewTalk(t, m)
		spoken.Round("hi")
		hold(held)
		first, second := newSession(t, m), newSession(t, m)
		third := newSession(t, m)
		if found(t, m, first) || !found(t, m, second) || !found(t, m, third) {
			t.Error("the oldest empty session should have gone")
		}
		if _, err := m.Create(ctx, session.Creation{ID: second.ID}); err != nil || !found(t, m, third) {
			t.Errorf("opening what is there took another's place (%v)", err)
		}
		newSession(t, m)
		newSession(t, m)
		if !found(t, m, spoken.Ref) || !found(t, m, held.Ref) || m.Stored() != 4 {
			t.Error("a session that is used went")
		}
		held.Release(held.Ref)
		for range 3 {
			newSession(t, m)
		}
		if found(t, m, held.Ref) {
			t.Error("a session that was let go should have gone")
		}
	})
	t.Run("full", func(t *testing.T) {
		m := session.NewMemory(session.Config{Sessions: 2})
		a, b := storetest.NewTalk(t, m), storetest.NewTalk(t, m)
		a.Round("hi")
		hold(b)
		c := session.Creation{ID: uuid.New(), Key: uuid.New()}
		if _, err := m.Create(ctx, c); err != session.ErrFull {
			t.Fatalf("create: %v, want ErrFull", err)
		}
		if _, err := m.Create(ctx, session.Creation{ID: a.Ref.ID}); err != nil {
			t.Errorf("what is there cannot be opened: %v", err)
		}
		if err := m.Delete(ctx, a.Ref); err != nil {
			t.Fatal(err)
		}
		if s, err := m.Create(ctx, c); err != nil || s.ID != c.ID {
			t.Errorf("create with room: %v, %v", s.ID, err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		m := session.NewMemory(session.Config{Sessions: 10})
		storetest.AtOnce(50, func(i int) {
			if _, err := m.Create(ctx, session.Creation{ID: uuid.New(), Key: uuid.New()}); err != nil && err != session.ErrFull {
				t.Error(err)
			}
		})
		keys := m.Keys()
		if m.Stored() > 10 || m.Stored() != m.Len() || keys != m.Stored() {
			t.Errorf("%d stored, %d counted, %d keys", m.Stored(), m.Len(), keys)
		}
	})
}

// TestMaxBytes: MAX_STORE_BYTES. Of what takes too much memory what was not used for an
// hour goes, the longest unused first; then nothing new is said, and what runs ends.
func TestMaxBytes(t *testing.T) {
	const most = 90 << 10
	synctest.Test(t, func(t *testing.T) {
		m := session.NewMemory(session.Config{Bytes: most})
		text := strings.Repeat("x", 10<<10) // and as much in a reply
		var talks []*storetest.Talk
		for range 4 { // about 87 KiB
			c := storetest.NewTalk(t, m)
			c.Round(text)
			talks = append(talks, c)
			pass(time.Minute)
		}
		running := storetest.Submit("go")
		talks[3].Start(running)
		if _, err := m.Say(t.Context(), talks[2].Ref, storetest.Submit(text)); err != nil {
			t.Fatalf("there is room: %v", err) // and none behind it
		}
		if m.Bytes() <= most {
			t.Fatalf("only %d bytes", m.Bytes())
		}
		for _, c := range talks[:2] {
			if _, err := m.Say(t.Context(), c.Ref, storetest.Submit("hi")); !errors.Is(err, session.ErrFull) {
				t.Errorf("said without room: %v", err)
			}
		}
		if _, err := m.Create(t.Context(), session.Creation{ID: uuid.New()}); !errors.Is(err, session.ErrFull) {
			t.Errorf("made without room: %v", err)
		}
		talks[3].End(running.Reply, text, session.FinishStop) // also without room
		pass(time.Hour - time.Second)                         // a refusal was use, too
		if _, err := m.Say(t.Context(), talks[3].Ref, storetest.Submit("hi")); !errors.Is(err, session.ErrFull) {
			t.Errorf("said without room: %v", err)
		}
		talks[1].View(session.End) // is use
		pass(2 * time.Minute)
		if _, err := m.Say(t.Context(), talks[3].Ref, storetest.Submit("hi")); err != nil {
			t.Errorf("one was unused for an hour: %v", err)
		}
		if found(t, m, talks[0].Ref) || !found(t, m, talks[1].Ref) || !found(t, m, talks[2].Ref) {
			t.Error("not the one that was unused for longest has gone")
		}
	})
}

// TestNothingIsLeft looks for what a session leaves behind when it is gone.
func TestNothingIsLeft(t *testing.T) {
	sweeping(t, 0, func(t *testing.T, m *session.Manager, gone map[session.Ref]int) {
		deleted, expired := newSession(t, m), newSession(t, m)
		for _, ref := range []session.Ref{deleted, expired} {
			if err := m.Hold(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Delete(t.Context(), deleted); err != nil {
			t.Fatal(err)
		}
		m.Release(deleted)
		m.Release(expired)
		pass(time.Hour)
		if m.Keys() != 0 || m.Stored() != 0 || m.Len() != 0 || m.Bytes() != 0 {
			t.Errorf("left: %d keys, %d stored, %d counted, %d bytes", m.Keys(), m.Stored(), m.Len(), m.Bytes())
		}
		if fmt.Sprint(gone) != fmt.Sprint(map[session.Ref]int{deleted: 1, expired: 1}) {
			t.Errorf("gone: %v", gone)
		}
	})
}

// listener hears what a Manager tells.
type listener struct {
	session.NoEvents
	gone     func(session.Ref)
	orphaned func(session.Ref, uuid.UUID)
}

func (l *listener) Gone(ref session.Ref) {
	if l.gone != nil {
		l.gone(ref)
	}
}

func (l *listener) Orphaned(ref session.Ref, reply uuid.UUID) {
	if l.orphaned != nil {
		l.orphaned(ref, reply)
	}
}
