package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestMemory(t *testing.T) {
	testStore(t, func(*testing.T) Store { return NewMemory(0, 0) })
}

// sweeping runs f in a bubble, on a store that sweeps; gone tells what went.
func sweeping(t *testing.T, max int, f func(t *testing.T, m *Memory, gone map[Ref]int)) {
	synctest.Test(t, func(t *testing.T) {
		m, gone := NewMemory(0, max), make(map[Ref]int)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx, func(ref Ref) { gone[ref]++ }) }()
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

// stored counts what the store holds without touching it.
func (m *Memory) stored() (n int) {
	m.all.Range(func(any, any) bool { n++; return true })
	return n
}

func create(t testing.TB, s Store) Ref {
	t.Helper()
	return made(t, s, Creation{ID: uuid.New(), Key: uuid.New()})
}

func found(t *testing.T, s Store, ref Ref) bool {
	t.Helper()
	_, err := s.Get(t.Context(), ref, End)
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestExpiry(t *testing.T) {
	const ttl = DefaultTTL
	// Each runs on a conversation with one round in it.
	tests := []struct {
		name  string
		spend func(c *talk)
		alive bool
	}{
		{"untouched", func(c *talk) { pass(ttl + time.Second) }, false},
		{"not yet", func(c *talk) { pass(ttl - time.Second) }, true},
		{"slides with get", func(c *talk) { pass(ttl - time.Second); c.get(End); pass(ttl - time.Second) }, true},
		{"slides with say", func(c *talk) {
			pass(ttl - time.Second)
			c.round("x")
			pass(ttl - time.Second)
		}, true},
		{"slides with create", func(c *talk) {
			pass(ttl - time.Second)
			if _, err := c.Create(c.ctx, Creation{ID: c.id}); err != nil {
				c.Fatal(err)
			}
			pass(ttl - time.Second)
		}, true},
		{"a running reply", func(c *talk) { c.start(submit("x")); pass(3 * ttl) }, true},
		{"a reply that ran long", func(c *talk) {
			turn := submit("x")
			c.start(turn)
			pass(3 * ttl)
			c.finish(turn.Reply, "y", FinishStop)
			pass(ttl - time.Second)
		}, true},
		{"held", func(c *talk) { c.hold(); pass(3 * ttl) }, true},
		{"held twice, released once", func(c *talk) {
			c.hold()
			c.hold()
			c.Release(c.ref)
			pass(3 * ttl)
		}, true},
		{"released not long ago", func(c *talk) {
			c.hold()
			pass(3 * ttl)
			c.Release(c.ref)
			pass(ttl - time.Second)
		}, true},
		{"released", func(c *talk) {
			c.hold()
			pass(3 * ttl)
			c.Release(c.ref)
			pass(ttl + time.Second)
		}, false},
		{"held by a connection from before it was deleted", func(c *talk) {
			c.hold()
			if err := c.Delete(c.ctx, c.ref); err != nil {
				c.Fatal(err)
			}
			before := c.ref
			c.ref = made(c, c.Store, Creation{ID: c.id})
			c.hold()
			c.Release(before)
			pass(3 * ttl)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sweeping(t, 0, func(t *testing.T, m *Memory, gone map[Ref]int) {
				c := newTalk(t, m)
				c.round("hi")
				tt.spend(c)
				if got := found(t, m, c.ref); got != tt.alive {
					t.Errorf("alive: %v", got)
				}
				pass(time.Minute) // the sweeper comes by
				want := map[bool]int{true: 0, false: 1}[tt.alive]
				if gone[c.ref] != want || m.stored() != 1-want {
					t.Errorf("told gone %d times, %d stored", gone[c.ref], m.stored())
				}
			})
		})
	}
}

func (c *talk) hold() {
	c.Helper()
	if err := c.Hold(c.ctx, c.ref); err != nil {
		c.Fatal(err)
	}
}

func TestEmptySessionsLiveFiveMinutes(t *testing.T) {
	sweeping(t, 0, func(t *testing.T, m *Memory, gone map[Ref]int) {
		empty, held, spoken := newTalk(t, m), newTalk(t, m), newTalk(t, m)
		held.hold()
		spoken.round("hi")
		pass(emptyTTL - time.Second)
		empty.get(End)
		pass(emptyTTL - time.Second)
		if !found(t, m, empty.ref) {
			t.Error("an empty session that was looked at went")
		}
		pass(emptyTTL + time.Second)
		for c, want := range map[*talk]bool{empty: false, held: true, spoken: true} {
			if got := found(t, m, c.ref); got != want {
				t.Errorf("alive: %v, want %v", got, want)
			}
		}
		held.Release(held.ref)
		pass(emptyTTL + 2*time.Minute)
		if gone[empty.ref] != 1 || gone[held.ref] != 1 || m.stored() != 1 {
			t.Errorf("gone: %v, %d stored", gone, m.stored())
		}
	})
}

func TestExpiredIsGoneBeforeItIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(0, 1) // nobody sweeps
		c := newTalk(t, m)
		key := uuid.New()
		c.round("hi")
		time.Sleep(DefaultTTL + time.Nanosecond)
		c.wantAllNotFound(c.ref, submit("x"))
		// The id is free again, and so is the room that it took.
		for range 2 {
			c.ref = made(t, m, Creation{ID: c.id, Key: key})
			c.wantTexts(Position{})
			time.Sleep(emptyTTL + time.Nanosecond)
		}
		if n := m.count.Load(); n != 1 {
			t.Errorf("%d sessions are counted", n)
		}
	})
}

func TestMaxSessions(t *testing.T) {
	ctx := t.Context()
	t.Run("the oldest empty one goes", func(t *testing.T) {
		m := NewMemory(0, 4)
		spoken, held := newTalk(t, m), newTalk(t, m)
		spoken.round("hi")
		held.hold()
		first, second := create(t, m), create(t, m)
		third := create(t, m)
		if found(t, m, first) || !found(t, m, second) || !found(t, m, third) {
			t.Error("the oldest empty session should have gone")
		}
		if _, err := m.Create(ctx, Creation{ID: second.ID}); err != nil || !found(t, m, third) {
			t.Errorf("opening what is there took another's place (%v)", err)
		}
		create(t, m)
		create(t, m)
		if !found(t, m, spoken.ref) || !found(t, m, held.ref) || m.stored() != 4 {
			t.Error("a session that is used went")
		}
		held.Release(held.ref)
		for range 3 {
			create(t, m)
		}
		if found(t, m, held.ref) {
			t.Error("a session that was let go should have gone")
		}
	})
	t.Run("full", func(t *testing.T) {
		m := NewMemory(0, 2)
		a, b := newTalk(t, m), newTalk(t, m)
		a.round("hi")
		b.hold()
		c := Creation{ID: uuid.New(), Key: uuid.New()}
		if _, err := m.Create(ctx, c); err != ErrFull {
			t.Fatalf("create: %v, want ErrFull", err)
		}
		if _, err := m.Create(ctx, Creation{ID: a.id}); err != nil {
			t.Errorf("what is there cannot be opened: %v", err)
		}
		if err := m.Delete(ctx, a.ref); err != nil {
			t.Fatal(err)
		}
		if s, err := m.Create(ctx, c); err != nil || s.ID != c.ID {
			t.Errorf("create with room: %v, %v", s.ID, err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		m := NewMemory(0, 10)
		atOnce(50, func(i int) {
			if _, err := m.Create(ctx, Creation{ID: uuid.New(), Key: uuid.New()}); err != nil && err != ErrFull {
				t.Error(err)
			}
		})
		keys := 0
		m.keys.Range(func(any, any) bool { keys++; return true })
		if m.stored() > 10 || int64(m.stored()) != m.count.Load() || keys != m.stored() {
			t.Errorf("%d stored, %d counted, %d keys", m.stored(), m.count.Load(), keys)
		}
	})
}

// TestNothingIsLeft looks for what a session leaves behind when it is gone.
func TestNothingIsLeft(t *testing.T) {
	sweeping(t, 0, func(t *testing.T, m *Memory, gone map[Ref]int) {
		deleted, expired := create(t, m), create(t, m)
		for _, ref := range []Ref{deleted, expired} {
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
		m.keys.Range(func(k, _ any) bool { t.Errorf("key %v", k); return true })
		if m.stored() != 0 || m.count.Load() != 0 || m.idle.l.Len() != 0 {
			t.Errorf("left: %d stored, %d counted, %d idle", m.stored(), m.count.Load(), m.idle.l.Len())
		}
		if fmt.Sprint(gone) != fmt.Sprint(map[Ref]int{expired: 1}) {
			t.Errorf("gone: %v", gone)
		}
	})
}
