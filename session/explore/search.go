package explore

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Result is what a search has looked at.
type Result struct {
	States, Runs, Steps int
	Depth               int      // to which all was looked at
	Complete            bool     // there is no more
	Strayed             int      // runs in which a schedule could not be repeated
	Astray              []string // the first of these schedules
	Found               string
	Schedule            []string
}

func (r Result) String() string {
	s := fmt.Sprintf("%d states in %d runs of %d steps, all to depth %d", r.States, r.Runs, r.Steps, r.Depth)
	if r.Complete {
		s += ", complete"
	}
	if r.Strayed > 0 {
		s += fmt.Sprintf(", %d strayed", r.Strayed)
	}
	if r.Found != "" {
		s += "\nFOUND " + r.Found + "\n  " + strings.Join(r.Schedule, "\n  ")
	}
	return s
}

// state is one that was reached: how, and what is still to be tried in it.
type state struct {
	from  int // index of the state before; -1: none
	how   string
	depth int
	todo  []string
	next  []int // states that were reached from it
	ends  bool  // it was checked that everything comes to its end from here
}

// search looks at all schedules, shortest first.
type search struct {
	rig
	states []state
	levels [][]int // indexes of states, by depth
	seen   map[[16]byte]int
	r      Result
}

// Exhaust looks at every schedule of a scope, as far as its bounds go, each on a
// fresh store in memory. It stops at the first thing that does not hold.
func Exhaust(t *testing.T, scope Scope) Result {
	open := func(id uuid.UUID) Store { return NewShared(id) }
	s := &search{rig: rig{t, scope, 2, open}, seen: map[[16]byte]int{}}
	s.run(nil, "")
	for s.r.Found == "" && len(s.states) < scope.States {
		at, ok := s.shallowest()
		if !ok {
			break
		}
		if s.r.Depth = s.states[at].depth; s.r.Depth >= scope.Depth {
			break
		}
		if !s.states[at].ends {
			s.run(s.schedule(at), "")
			s.states[at].ends = true // or it has strayed
		}
		for len(s.states[at].todo) > 0 && s.r.Found == "" && len(s.states) < scope.States {
			s.run(s.schedule(at), s.next(at))
		}
	}
	if _, more := s.shallowest(); !more && s.r.Found == "" {
		s.r.Complete = true
	}
	s.r.States = len(s.states)
	if s.r.Found != "" {
		s.r.Found, s.r.Schedule = s.shrink(s.r.Found, s.r.Schedule)
	}
	return s.r
}

// shallowest returns the state of the least depth in which something is to be tried.
func (s *search) shallowest() (at int, ok bool) {
	for depth := s.r.Depth; depth < len(s.levels); depth++ {
		for level := &s.levels[depth]; len(*level) > 0; *level = (*level)[1:] {
			if st := s.states[(*level)[0]]; st.depth == depth && (len(st.todo) > 0 || !st.ends) {
				return (*level)[0], true
			}
		}
	}
	return 0, false
}

// reach notes that a state can be reached by a step from another, which may be a
// shorter way than is known.
func (s *search) reach(at, from int, how string) {
	st := &s.states[at]
	depth := s.states[from].depth + 1
	if st.depth <= depth {
		return
	}
	st.from, st.how = from, how
	s.place(at, depth)
	for _, next := range st.next {
		s.reach(next, at, s.states[next].how)
	}
}

// place puts a state where it is found by its depth.
func (s *search) place(at, depth int) {
	s.states[at].depth = depth
	for len(s.levels) <= depth {
		s.levels = append(s.levels, nil)
	}
	s.levels[depth] = append(s.levels[depth], at)
}

// next takes one of the things that are to be tried in a state.
func (s *search) next(at int) string {
	st := &s.states[at]
	next := st.todo[0]
	st.todo = st.todo[1:]
	return next
}

// schedule returns how a state was reached.
func (s *search) schedule(at int) []string {
	var out []string
	for ; s.states[at].from >= 0; at = s.states[at].from {
		out = append(out, s.states[at].how)
	}
	slices.Reverse(out)
	return out
}

// stride is how many steps a run goes on through what is new: so that not each step
// costs all of those before it.
const stride = 4

// run takes a schedule, one step more, and then on through what is new.
func (s *search) run(schedule []string, next string) {
	s.r.Runs++
	in(s.t, func() {
		id := uuid.New()
		w, err := begin(s.open(id), id, s.scope, s.nodes)
		if err != nil {
			s.t.Fatal(err)
		}
		defer w.end()
		at := 0
		if len(s.states) == 0 {
			s.note(w, -1, "")
		}
		for _, how := range schedule {
			if !w.take(how) {
				s.strayed(w, schedule, how)
				return
			}
		}
		if len(schedule) > 0 {
			found, known := s.seen[hash(w)]
			if !known {
				s.strayed(w, schedule, "the state")
				return
			}
			at = found
		}
		taken := schedule
		for next != "" { // else it is to come to its end
			if !w.take(next) {
				s.strayed(w, taken, next)
				return
			}
			s.r.Steps++
			taken = append(taken[:len(taken):len(taken)], next)
			if w.failed != "" {
				break
			}
			known := true
			if at, known = s.note(w, at, next); known {
				break
			}
			if next = ""; len(s.states[at].todo) > 0 && len(taken) < min(len(schedule)+stride, s.scope.Depth) && len(s.states) < s.scope.States {
				next = s.next(at)
			}
		}
		if w.failed == "" && !s.states[at].ends {
			s.states[at].ends = true
			w.finish()
		}
		s.r.Found, s.r.Schedule = w.failed, taken
	})
}

// strayed notes that what was there before is not there now.
func (s *search) strayed(w *World, schedule []string, how string) {
	s.r.Strayed++
	if s.r.Astray == nil {
		s.r.Astray = append(schedule[:len(schedule):len(schedule)], "not: "+how)
		for _, a := range w.actions() {
			s.r.Astray = append(s.r.Astray, "can: "+a.name)
		}
	}
}

func hash(w *World) [16]byte {
	sum := sha256.Sum256([]byte(w.key()))
	return [16]byte(sum[:])
}

// note remembers the state that a world is in, if it is new.
func (s *search) note(w *World, from int, how string) (at int, known bool) {
	h := hash(w)
	if at, known = s.seen[h]; known {
		if from >= 0 {
			s.reach(at, from, how)
		}
		return at, true
	}
	st := state{from: from, how: how}
	for _, a := range w.actions() {
		st.todo = append(st.todo, a.name)
	}
	at = len(s.states)
	s.seen[h] = at
	s.states = append(s.states, st)
	depth := 0
	if from >= 0 {
		depth = s.states[from].depth + 1
		s.states[from].next = append(s.states[from].next, at)
	}
	s.place(at, depth)
	return at, false
}

// take takes a step. It returns false where there is no such step.
func (w *World) take(name string) bool {
	for _, a := range w.actions() {
		if a.name == name {
			a.do()
			w.settle()
			return true
		}
	}
	return false
}

// rig is what schedules are played on.
type rig struct {
	t     *testing.T
	scope Scope
	nodes int
	open  func(id uuid.UUID) Store
}

// shrink leaves out of a schedule what is not needed for something not to hold.
func (r rig) shrink(found string, schedule []string) (string, []string) {
	for i := len(schedule) - 1; i >= 0; i-- {
		less := slices.Delete(slices.Clone(schedule), i, i+1)
		if f := r.play(less); f != "" {
			found, schedule = f, less
			i = len(schedule)
		}
	}
	return found, schedule
}

// play takes a schedule, and returns what does not hold in it; "" also where it
// cannot be taken.
func (r rig) play(schedule []string) (found string) {
	id := uuid.New() // others may be in the store
	in(r.t, func() {
		w, err := begin(r.open(id), id, r.scope, r.nodes)
		if err != nil {
			r.t.Fatal(err)
		}
		defer w.end()
		for _, how := range schedule {
			if w.failed != "" || !w.take(how) {
				break
			}
		}
		if w.failed == "" {
			w.finish()
		}
		found = w.failed
	})
	return found
}

// Sample takes the schedule of a seed, of steps at random, and then lets everything
// go on to its end, on processes of a store for the conversation that it names.
func Sample(t *testing.T, seed uint64, faults string, depth, nodes int, open func(id uuid.UUID) Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	scope := Any(rng, faults, depth)
	r := rig{t, scope, nodes, open}
	var schedule []string
	var found string
	in(t, func() {
		id := uuid.New()
		w, err := begin(open(id), id, scope, nodes)
		if err != nil {
			t.Fatal(err)
		}
		defer w.end()
		for range scope.Depth {
			all := w.actions()
			if len(all) == 0 || w.failed != "" {
				break
			}
			next := all[rng.IntN(len(all))]
			if next.fault && rng.IntN(4) > 0 || next.name == all[len(all)-1].name { // less often, and time passes half as often
				next = all[rng.IntN(len(all))]
			}
			schedule = append(schedule, next.name)
			next.do()
			w.settle()
		}
		if w.failed == "" {
			w.finish()
		}
		found = w.failed
	})
	if found != "" {
		found, schedule = r.shrink(found, schedule)
		t.Errorf("seed %d, %+v: FOUND %s\n  %s", seed, scope, found, strings.Join(schedule, "\n  "))
	}
}
