package filestore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lumos/backend/session"
)

// holds tells whether any file of a disk has these bytes.
func (d *disk) holds(p string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.names {
		if bytes.Contains(f.data, []byte(p)) {
			return true
		}
	}
	return false
}

// TestErasure: what was deleted, or has expired, is gone from disk within ten
// minutes; a compaction for that comes every five minutes at most.
func TestErasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		store, err := open(d, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		end := runs(t, store)
		s := newScript(store)
		s.must(t, create("a"), say("a", "a secret"), write("a", "its answer"), create("b"), say("b", "to stay"), write("b", "stays"))
		time.Sleep(time.Hour)
		if n := countOf(d, "create"); n != 1 {
			t.Errorf("%d segments were made while nothing was deleted", n)
		}
		s.must(t, remove("a"))
		time.Sleep(5 * time.Second)
		if d.holds("a secret") || d.holds("its answer") {
			t.Error("what was deleted first is on disk after five seconds")
		}
		for i := range 20 {
			who := fmt.Sprint("c", i)
			s.must(t, create(who), say(who, "another secret "+who), write(who, "its answer"), finish(who, ""), remove(who))
			time.Sleep(time.Minute)
		}
		if n := countOf(d, "create"); n > 1+2*5 {
			t.Errorf("%d segments were made in 20 minutes", n)
		}
		time.Sleep(10 * time.Minute)
		if d.holds("secret") || d.holds("its answer") || !d.holds("to stay") {
			t.Error("what was deleted is on disk after ten minutes, or what was not is gone")
		}
		// One that expires, while others are used.
		s.must(t, create("e"), say("e", "to expire"), finish("e", "too"))
		for range 26 {
			time.Sleep(time.Hour)
			if _, err := s.Get(t.Context(), s.refs["b"], session.End); err != nil {
				t.Fatal(err)
			}
		}
		if d.holds("to expire") {
			t.Error("what has expired is on disk")
		}
		// And one that was deleted just before the end.
		s.must(t, create("f"), say("f", "the last"), finish("f", ""), remove("f"))
		end()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		next := d.afterProcess()
		store, err = open(next, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		end = runs(t, store)
		time.Sleep(10 * time.Minute)
		if next.holds("the last") || !next.holds("to stay") {
			t.Error("what was deleted is on disk after a restart")
		}
		end()
	})
}

func countOf(d *disk, op string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, call := range d.calls {
		if strings.HasPrefix(call, op) {
			n++
		}
	}
	return n
}

// TestEmptySessionsErase nothing: they hold no text.
func TestEmptySessionsEraseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		store, err := open(d, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		end := runs(t, store)
		newScript(store).must(t, create("a"), create("b"), remove("a"))
		time.Sleep(time.Hour)
		if n := countOf(d, "create"); n != 1 || store.Len() != 0 {
			t.Errorf("%d segments, %d sessions", n, store.Len())
		}
		end()
	})
}
