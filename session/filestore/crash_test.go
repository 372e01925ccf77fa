package filestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/session"
)

const startStep = -1 // opening the store

// play opens a store on a disk and takes the steps, up to the first that fails
// because the disk is dead. What otherwise fails is mended, and tried again.
func play(t testing.TB, d *disk, mode SyncMode, after func(i int, s *Store)) (reached int) {
	t.Helper()
	store, err := open(d, "disk", quiet(Config{Sync: mode, segmentBytes: 2 << 10}))
	if d.crashed {
		return startStep
	}
	if err != nil && d.failed {
		store, err = open(d, "disk", quiet(Config{Sync: mode, segmentBytes: 2 << 10}))
	}
	if d.crashed {
		return startStep
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &script{store, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
	for i, step := range steps {
		before := dump(t, store)
		err := step.do(s)
		if d.crashed {
			return i
		}
		for try := 0; err != nil && d.failed && try < 3; try++ {
			if diff := cmp.Diff(before, dump(t, store)); diff != "" {
				t.Fatalf("step %d (%s) failed and changed:\n%s", i, step.name, diff)
			}
			_ = s.b.recover(context.Background())
			if d.crashed {
				return i
			}
			err = step.do(s)
			if d.crashed {
				return i
			}
		}
		if err != nil {
			t.Fatalf("step %d (%s): %v; call %s", i, step.name, err, d.at(d.failAt))
		}
		after(i, store)
	}
	return len(steps)
}

// reference returns what is there behind each step, where nothing fails: at i+1
// that behind step i.
func reference(t testing.TB) []map[string]told {
	want := []map[string]told{{}}
	play(t, newDisk(), EverySecond, func(_ int, s *Store) { want = append(want, dump(t, s)) })
	return want
}

// check opens a disk that somebody has died on: what is there must be what some
// step from first to last has left. Then it goes on with it, and opens it again.
func check(t testing.TB, d *disk, what string, want []map[string]told, first, last, rounds int) {
	t.Helper()
	for round := range rounds {
		s, err := open(d, "disk", quiet(Config{segmentBytes: 2 << 10}))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := dump(t, s)
		if !slices.ContainsFunc(want[first:last+1], func(w map[string]told) bool { return cmp.Equal(got, w) }) {
			t.Fatalf("%s: opened (%d), it is as behind no step from %d to %d; against the last:\n%s",
				what, round, first-1, last-1, cmp.Diff(want[last], got))
		}
		// It must be a store to go on with.
		c := &script{s, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
		for _, step := range []step{create("new"), say("new", "x"), write("new", "y"), finish("new", "z"), compact, remove("new")} {
			if err := step.do(c); err != nil {
				t.Fatalf("%s: %s: %v", what, step.name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrash kills the process, and the machine, at every call to the disk.
func TestCrash(t *testing.T) {
	want := reference(t)
	for _, mode := range []SyncMode{EverySecond, Always, Never} {
		t.Run(fmt.Sprint("mode ", mode), func(t *testing.T) {
			t.Parallel()
			for _, v := range []struct {
				partial int
				after   bool
			}{{0, false}, {1, false}, {3, false}, {0, true}} {
				for at, reached := 0, 0; reached < len(steps); at += stride {
					d := newDisk()
					d.crashAt, d.partial, d.after = at, v.partial, v.after
					synced := 0
					reached = play(t, d, mode, func(i int, s *Store) {
						if mode == Always || s.b.j.seg.synced == s.b.j.seg.good {
							synced = i + 1
						}
					})
					what := fmt.Sprintf("killed at call %s, of which %d/4 happened, in step %d", d.at(at), v.partial, reached)
					first, last := reached, min(reached+1, len(steps))
					if reached == startStep {
						first, last = 0, 0
					}
					check(t, d.afterProcess(), what, want, first, last, 2)
					for how, m := range d.afterMachine() {
						check(t, m, what+" with the machine, which kept "+how, want, min(synced, first), last, 1)
					}
				}
			}
		})
	}
}

// TestCrashOfTheNextProcess kills a process at every call, and then the machine
// when the next one has begun.
func TestCrashOfTheNextProcess(t *testing.T) {
	want := reference(t)
	for at, reached := 0, 0; reached < len(steps); at += stride {
		d := newDisk()
		d.crashAt, d.partial = at, at%4
		reached = play(t, d, EverySecond, func(int, *Store) {})
		next := d.nextProcess()
		s, err := open(next, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		newScript(s).must(t, create("new"), remove("new"))
		for how, m := range next.afterMachine() {
			what := fmt.Sprintf("killed at call %s, started, and killed with the machine, which kept %s", d.at(at), how)
			check(t, m, what, want, max(reached, 0), max(min(reached+1, len(steps)), 0), 1)
		}
	}
}

// TestFailure has every call fail once, and then dies a little later.
func TestFailure(t *testing.T) {
	want := reference(t)
	for _, mode := range []SyncMode{EverySecond, Always, Never} {
		for _, partial := range []int{0, 2} {
			t.Run(fmt.Sprintf("mode %d partial %d", mode, partial), func(t *testing.T) {
				t.Parallel()
				for at, hit := 0, true; hit; at += stride {
					for _, later := range []int{0, 1, 2, 3, 5, 9, 20} {
						d := newDisk()
						d.failAt, d.partial = at, partial
						if later > 0 {
							d.crashAt = at + later
						}
						synced := 0
						reached := play(t, d, mode, func(i int, s *Store) {
							if mode == Always || s.b.j.seg.synced == s.b.j.seg.good {
								synced = i + 1
							}
						})
						hit = d.failed
						what := fmt.Sprintf("failed at call %s, killed at %s, in step %d", d.at(at), d.at(d.crashAt), reached)
						first, last := max(reached, 0), min(reached+1, len(steps))
						check(t, d.afterProcess(), what, want, first, last, 2)
						left := d.afterMachine()
						some := slices.Sorted(maps.Keys(left))[(at+later)%len(left)] // all would take too long
						for _, how := range []string{some, "nothing of the data, synced names"} {
							check(t, left[how], what+" with the machine, which kept "+how, want, min(synced, first), last, 2)
						}
					}
				}
			})
		}
	}
}

// TestFullDisk fills the disk: nothing new is taken, all can be read, and once
// there is room it goes on by itself.
func TestFullDisk(t *testing.T) {
	for _, partial := range []int{0, 1, 3} {
		d := newDisk()
		d.partial = partial
		store, err := open(d, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		s := &script{store, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
		for _, step := range steps[:4] {
			if err := step.do(s); err != nil {
				t.Fatal(err)
			}
		}
		d.full = true
		before := dump(t, store)
		for range 3 {
			for _, step := range []step{write("a", "lost"), create("z"), finish("a", ""), remove("a")} {
				if err := step.do(s); !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("%s on a full disk: %v", step.name, err)
				}
			}
			s.b.tick(t.Context())
			if err := s.Ready(t.Context()); !errors.Is(err, session.ErrUnavailable) {
				t.Errorf("ready on a full disk: %v", err)
			}
			if diff := cmp.Diff(before, dump(t, store)); diff != "" {
				t.Errorf("what failed has changed something:\n%s", diff)
			}
		}
		d.full = false
		s.b.tick(t.Context())
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []step{write("a", "lost"), create("z"), finish("a", ""), compact} {
			if err := step.do(s); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		now := dump(t, store)
		again, err := open(d.afterProcess(), "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(now, dump(t, again)); diff != "" {
			t.Error(diff)
		}
	}
}
