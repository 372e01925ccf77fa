package filestore

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestLastUse: a start knows when what it finds was last used, to the minute.
func TestLastUse(t *testing.T) {
	const ttl = session.DefaultTTL
	tests := []struct {
		name  string
		spend func(s *script) // with the store at work, behind a round of a
		down  time.Duration
		alive bool
	}{
		{"down for less than that", func(*script) {}, ttl - 2*time.Second, true},
		{"a minute is given", func(*script) {}, ttl + 50*time.Second, true},
		{"down for longer", func(*script) {}, ttl + time.Minute + 2*time.Second, false},
		{"read since", func(s *script) {
			time.Sleep(ttl / 2)
			_, _ = s.Get(context.Background(), s.refs["a"], session.End)
			time.Sleep(2 * time.Minute)
		}, ttl - 2*time.Minute - time.Second, true},
		{"not read since", func(*script) { time.Sleep(ttl / 2) }, ttl/2 + 2*time.Minute, false},
		{"held", func(s *script) {
			_ = s.Hold(context.Background(), s.refs["a"])
			time.Sleep(3 * ttl)
		}, ttl - time.Minute, true},
		{"held, and down for longer", func(s *script) {
			_ = s.Hold(context.Background(), s.refs["a"])
			time.Sleep(3 * ttl)
		}, ttl + 2*time.Minute, false},
		{"a reply runs", func(s *script) { _ = say("a", "more").do(s) }, 3 * ttl, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				store, err := open(d, "disk", quiet(Config{}))
				if err != nil {
					t.Fatal(err)
				}
				end := runs(t, store)
				s := newScript(store)
				s.must(t, create("a"), say("a", "hi"), finish("a", "ho"))
				tt.spend(s)
				end()
				time.Sleep(tt.down)
				d = d.afterProcess()
				again, err := open(d, "disk", quiet(Config{}))
				if err != nil {
					t.Fatal(err)
				}
				if got := again.Len() == 1; got != tt.alive {
					t.Errorf("alive: %v", got)
				}
				_, err = again.Get(t.Context(), s.refs["a"], session.End)
				if got := err == nil; got != tt.alive {
					t.Errorf("found: %v", err)
				}
				key := session.Creation{ID: uuid.New(), Owner: "ann", Key: name("key of a")}
				if made, err := again.Create(t.Context(), key); err != nil || (made.Ref() == s.refs["a"]) != tt.alive || (made.ID == key.ID) == tt.alive {
					t.Errorf("by its key: %v, %v", made.Ref(), err)
				}
				if !tt.alive {
					if err := again.Delete(t.Context(), session.Ref{ID: key.ID, Born: born(t, again, key.ID)}); err != nil {
						t.Fatal(err)
					}
					// It stays gone, also where sessions live longer from now on.
					longer := Config{}
					longer.TTL = 1000 * ttl
					last, err := open(d.afterProcess(), "disk", quiet(longer))
					if err != nil || last.Len() != 0 {
						t.Errorf("it has come back: %v, %v", last.Len(), err)
					}
				}
			})
		})
	}
}

func born(t *testing.T, s *Store, id uuid.UUID) string {
	t.Helper()
	got, err := s.Check(t.Context(), id, "ann")
	if err != nil {
		t.Fatal(err)
	}
	return got.Born
}

// TestUsesAreGathered: a conversation's use is journalled once a minute, those of
// many in one frame.
func TestUsesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		store, err := open(d, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		end := runs(t, store)
		s := newScript(store)
		for i := range 500 {
			who := fmt.Sprint(i)
			s.must(t, create(who), say(who, "hi"), finish(who, "ho"))
			if err := s.Hold(t.Context(), s.refs[who]); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		before, calls := store.Stats(), countOf(d, "write")
		for range 600 {
			time.Sleep(time.Second)
			_, _ = s.Get(t.Context(), s.refs["7"], session.End)
		}
		if n, writes := store.Stats().Size-before.Size, countOf(d, "write")-calls; n > 11*(500*18+200) || writes > 60 {
			t.Errorf("%d bytes in %d writes for 500 conversations that were in use for ten minutes", n, writes)
		}
		end()
	})
}
