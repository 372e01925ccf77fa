// Package explore runs the real engine of package session through interleavings:
// Managers as nodes on one store, the part of the hub that writes and takes over
// replies, and clients that follow them. Every call that changes the store, or reads
// text, waits until the schedule lets it go on: done, done with its answer lost,
// late, or twice. See "How we know" in README.md of package session.
//
//   - store.go: what nodes share, and such a store in memory. gate.go: its calls.
//   - node.go, client.go: what the hub and its clients do by themselves.
//   - world.go: a state. action.go: what can happen in it. check.go: what must
//     hold, its key, and its end. search.go: all schedules, or some.
//
// It is for tests only.
package explore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Scope is what can happen in the schedules that are looked at.
type Scope struct {
	// Ops happen once each, at any node: s a client says something, t says it again under
	// another reply's id, since it heard nothing, r under the same, f says something else,
	// e edits it, q edits it again, g regenerates, x stops the reply, y yields it, d deletes,
	// c creates, k creates by key, n connects, o disconnects, u has the second client leave.
	Ops string
	// Faults are: K a node is killed, P it is held dead, L the answer to a call is
	// lost, or the call comes late, or twice, R the store forgets its last writes,
	// T time passes while calls are under way. H is none: nodes hear hints.
	Faults string
	Most   int // faults together
	Depth  int // steps
	States int // that are looked at
}

// ids are the names of all that a schedule can name, but of the conversation.
var ids = map[uuid.UUID]string{}

func id(name string) uuid.UUID {
	made := uuid.NewSHA1(uuid.Nil, []byte(name))
	ids[made] = name
	return made
}

var (
	user1  = id("u1")
	reply1 = id("r1")
	keyed  = id("key")
	conns  = []uuid.UUID{id("c1"), id("c2")}
	turns  = map[rune]session.Turn{
		's': {Kind: session.Submit, User: session.Message{ID: user1, Content: "hi"}, Reply: reply1},
		't': {Kind: session.Submit, User: session.Message{ID: user1, Content: "hi"}, Reply: id("r2")},
		'f': {Kind: session.Submit, User: session.Message{ID: id("u2"), Content: "more"}, Reply: id("r5")},
		'r': {Kind: session.Submit, User: session.Message{ID: user1, Content: "hi"}, Reply: reply1},
		'q': {Kind: session.Edit, User: session.Message{ID: user1, Content: "hey"}, Reply: id("r3")},
		'e': {Kind: session.Edit, User: session.Message{ID: user1, Content: "hey"}, Reply: id("r3")},
		'g': {Kind: session.Regenerate, Reply: id("r4")},
	}
)

// lateCall is a call that arrives when nobody waits for it.
type lateCall struct {
	name, key string
	do        func()
}

// hint is one that a node has not heard yet.
type hint struct {
	to   *node
	name string
	session.Hint
}

// World is a state: processes, clients, and all that is under way between them.
type World struct {
	scope Scope
	store Store
	id    uuid.UUID
	ref   session.Ref // the incarnation that clients know; zero: none

	nodes   []*node
	clients []*client

	mu    sync.Mutex // guards calls, and what says so in nodes and gates; taken last
	calls []*call    // that wait, in the order in which they came

	late   []lateCall
	hints  []hint
	past   []func() // bring the store back to where it was, newest last
	ops    string   // that have not happened
	faults int      // that may still happen

	rolled, deleted bool
	deaths          int
	acked           map[string]string // what was acknowledged, and to which incarnation
	stopped         map[uuid.UUID]bool
	noted           []string
	seen            observed

	failed string // what does not hold
}

// begin sets a world up; its clients have joined.
func begin(store Store, id uuid.UUID, scope Scope, nodes int) (*World, error) {
	w := &World{
		scope: scope, store: store, id: id, ops: scope.Ops, faults: scope.Most,
		acked: map[string]string{}, stopped: map[uuid.UUID]bool{},
	}
	w.seen.begun = map[uuid.UUID]int{}
	for i := range nodes {
		n, err := w.open(string(rune('A' + i)))
		if err != nil {
			return nil, fmt.Errorf("failed to open a store: %w", err)
		}
		w.nodes = append(w.nodes, n)
	}
	for i := range 2 {
		w.clients = append(w.clients, &client{w: w, i: i + 1, n: w.nodes[i%nodes]})
	}
	if scope.Ops == "" || scope.Ops[0] != 'c' && scope.Ops[0] != 'k' {
		w.create(w.nodes[0], uuid.Nil)
		w.settle()
		w.grant()
		w.past = nil
	}
	w.settle()
	w.tick(phase)
	return w, nil
}

// settle lets everything go on that waits for nothing.
func (w *World) settle() {
	for did := true; did; {
		synctest.Wait()
		did = false
		for _, n := range w.nodes {
			did = n.settle() || did
		}
		for _, n := range w.nodes {
			w.mu.Lock()
			changed := n.changed
			n.changed = false
			w.mu.Unlock()
			if changed {
				did = true
				for _, c := range w.clients {
					c.stale = c.stale || c.n == n
				}
			}
		}
		for _, c := range w.clients {
			did = c.settle() || did
		}
	}
	w.check()
}

// grant lets calls go on until none waits.
func (w *World) grant() {
	for len(w.waiting()) > 0 {
		w.answer(w.waiting()[0], done)
		w.settle()
	}
}

// tick has time pass: what is polled, watched or tried again is.
func (w *World) tick(d time.Duration) {
	<-time.After(d)
	w.settle()
}

// tickTime is how long a step of time is, and phase how far it is from what happens
// every so many milliseconds by itself.
const tickTime, phase = time.Second, 25 * time.Millisecond

// waiting returns the calls that wait.
func (w *World) waiting() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.calls[:0:0]
	for _, c := range w.calls {
		if !c.gone {
			rest = append(rest, c)
		}
	}
	w.calls = rest
	return slices.Clone(rest)
}

// fate is what becomes of a call.
type fate int

const (
	done    fate = iota
	lost         // it is done, and its answer lost
	delayed      // it has no answer, and is done later
	doubled      // it is done, and once more later
)

// answer lets a call go on.
func (w *World) answer(c *call, f fate) {
	w.mu.Lock()
	for i, other := range w.calls {
		if other == c {
			w.calls = append(w.calls[:i:i], w.calls[i+1:]...)
			break
		}
	}
	w.mu.Unlock()
	var err error
	if f != delayed {
		w.keep()
	}
	switch f {
	case done, doubled:
		if err = c.do(); err == nil && c.told != nil {
			c.told()
		}
	case lost:
		if c.late != nil {
			c.late()
		}
	}
	if (f == delayed || f == doubled) && c.late != nil {
		w.late = append(w.late, lateCall{c.g.n.name + " " + c.name, c.key, c.late})
	}
	if f == lost || f == delayed {
		err = fmt.Errorf("%w: no answer", session.ErrUnavailable)
	}
	c.back <- err
}

// keep saves the store's state, to which a failover may return.
func (w *World) keep() {
	if !w.may('R') {
		return
	}
	if restore := w.store.Save(); restore != nil {
		if w.past = append(w.past, restore); len(w.past) > 2 {
			w.past = w.past[1:]
		}
	}
}

// hint has the other nodes hear something.
func (w *World) hint(from *gate, h session.Hint) {
	if !w.scopeHas('H') {
		return
	}
	name := fmt.Sprintf("%s: changed", from.n.name)
	if h.Fence != "" {
		name = fmt.Sprintf("%s: text %q at %d", from.n.name, h.Text, h.At)
	}
	for _, n := range w.nodes {
		if n == from.n || n.dead {
			continue
		}
		known := false
		for _, other := range w.hints {
			known = known || other.to == n && other.name == name && other.Fence == h.Fence
		}
		if !known {
			w.hints = append(w.hints, hint{n, name, h})
		}
	}
}

func (w *World) fail(format string, a ...any) {
	if w.failed == "" {
		w.failed = fmt.Sprintf(format, a...)
	}
}

// alive returns a process that lives, other than one; nil: none does.
func (w *World) alive(but *node) *node {
	for _, n := range w.nodes {
		if n != but && !n.dead {
			return n
		}
	}
	return nil
}

func (w *World) number(n *node) int {
	for i, other := range w.nodes {
		if other == n {
			return i
		}
	}
	return 0
}

func (w *World) name(id uuid.UUID) string { return short(id) }

// create makes the session at a node.
func (w *World) create(n *node, key uuid.UUID) {
	c := session.Creation{ID: w.id, Owner: "ann", Key: key}
	n.start("create", func(ctx context.Context) func() {
		s, err := n.m.Create(ctx, c)
		return func() {
			if err == nil && s.ID == w.id {
				w.ref = s.Ref()
			}
		}
	})
}

// end ends all processes of a world.
func (w *World) end() {
	for _, n := range w.nodes {
		if !n.dead {
			n.die()
		}
	}
	for _, n := range w.nodes {
		<-n.over
	}
	// What waits for time to pass finds its process dead.
	<-time.After(10 * time.Second)
	synctest.Wait()
}

// in runs f in a bubble.
func in(t *testing.T, f func()) {
	synctest.Test(t, func(*testing.T) { f() })
}
