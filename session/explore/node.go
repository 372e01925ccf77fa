package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// letters is how much a turn's model says.
const letters = 2

// node is one process of the hub: a Manager, and what the hub does with it. What is
// not said to be guarded belongs to the schedule's goroutine.
type node struct {
	w    *World
	name string
	m    *session.Manager
	g    *gate
	stop context.CancelFunc
	over chan struct{} // closed when Run has returned

	dead, suspected bool // guarded by w.mu

	ops     []*op
	turns   []*turn
	n       int                       // turns so far
	orphans map[uuid.UUID]session.Ref // by reply; without Born: a take is under way; guarded by w.mu
	stops   map[uuid.UUID]bool        // guarded by w.mu
	changed bool                      // guarded by w.mu
	taken   map[uuid.UUID]bool        // connections that were told to close; guarded by w.mu
	conns   map[uuid.UUID]string      // connections that were let in, and the incarnation
}

// op is something under way at a node.
type op struct {
	name  string
	after func() // what the hub does when it is done; nil: it is not. Guarded by World.mu
}

// turn is a reply that a node writes.
type turn struct {
	text   *session.Text
	letter byte
	said   int
	ending bool
	asked  string // the reason with which it is to end; "": none
}

// open begins a process.
func (w *World) open(name string) (*node, error) {
	n := &node{
		w: w, name: name, over: make(chan struct{}), orphans: map[uuid.UUID]session.Ref{}, stops: map[uuid.UUID]bool{},
		taken: map[uuid.UUID]bool{}, conns: map[uuid.UUID]string{},
	}
	m, err := w.store.Open(name, func(b session.Backend) session.Backend {
		n.g = &gate{Backend: b, w: w, n: n}
		return n.g
	})
	if err != nil {
		return nil, err
	}
	n.m = m
	m.Watch(n)
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() {
		defer close(n.over)
		_ = m.Run(ctx) // the gate's never fails
	}()
	return n, nil
}

// Changed implements session.Events.
func (n *node) Changed(session.Ref) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.changed = true
}

// Gone implements session.Events.
func (n *node) Gone(ref session.Ref) { n.Changed(ref) }

// Taken implements session.Events.
func (n *node) Taken(_ session.Ref, connection uuid.UUID) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.taken[connection] = true
}

// Orphaned implements session.Events.
func (n *node) Orphaned(ref session.Ref, reply uuid.UUID) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if _, known := n.orphans[reply]; !known {
		n.orphans[reply] = ref
	}
}

// Stopping implements session.Events.
func (n *node) Stopping(_ session.Ref, reply uuid.UUID) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.stops[reply] = true
}

// start has f under way; what it returns is done when it is over.
func (n *node) start(name string, f func(ctx context.Context) (after func())) {
	o := &op{name: name}
	n.ops = append(n.ops, o)
	go func() {
		after := f(context.Background())
		if after == nil {
			after = func() {}
		}
		n.w.mu.Lock()
		defer n.w.mu.Unlock()
		o.after = after
	}()
}

// say has a client of this node say something.
func (n *node) say(letter rune) {
	w, t, ref := n.w, turns[letter], n.w.ref
	n.start("say "+string(letter), func(ctx context.Context) func() {
		t.User.Timestamp = session.Now()
		said, err := n.m.Say(ctx, ref, t)
		return func() {
			if errors.Is(err, session.ErrUnavailable) {
				w.noted = append(w.noted, string(letter)+" has no answer")
			}
			if err != nil {
				return
			}
			if t.Kind == session.Submit || t.Kind == session.Edit {
				w.acked[t.User.ID.String()+t.User.Content] = ref.Born
			}
			if said.Started {
				n.write(said.Text)
			}
			n.poke()
		}
	})
}

// write begins the turn that writes a text.
func (n *node) write(t *session.Text) {
	for _, other := range n.turns {
		if other.text == t {
			return
		}
	}
	n.turns = append(n.turns, &turn{text: t, letter: byte('a' + 8*(n.w.number(n)) + n.n%8)})
	n.n++
}

// poke has those of this node's clients that follow nothing look again.
func (n *node) poke() {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.changed = true
}

// finish ends a turn, as the hub does: again and again where the store is away.
func (n *node) finish(t *turn, reason string) {
	const again = 250 * time.Millisecond
	t.ending = true
	n.start("finish "+short(t.text.Reply), func(ctx context.Context) func() {
		for {
			err := n.m.Finish(ctx, t.text, session.Message{FinishReason: reason})
			switch {
			case err == nil, errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrLost):
				return func() {
					n.drop(t)
					if err == nil && reason == session.FinishStopped && !n.w.stopped[t.text.Reply] {
						n.w.fail("a reply is stopped that nobody stopped")
					}
				}
			case n.g.isDead():
				return nil
			}
			<-time.After(again)
		}
	})
}

// yield gives a turn up.
func (n *node) yield(t *turn) {
	t.ending = true
	n.start("yield "+short(t.text.Reply), func(ctx context.Context) func() {
		_ = n.m.Yield(ctx, t.text)
		return func() { n.drop(t) }
	})
}

// adopt takes a reply over that nobody writes.
func (n *node) adopt(ref session.Ref, reply uuid.UUID) {
	w := n.w
	n.start("take "+short(reply), func(ctx context.Context) func() {
		said, ended, err := n.m.Take(ctx, ref, reply)
		return func() {
			w.mu.Lock()
			delete(n.orphans, reply)
			w.mu.Unlock()
			if err != nil {
				return
			}
			if said.Running.Stopping && ended == "" {
				w.fail("a model is asked for a reply that is to stop")
			}
			n.write(said.Text)
			for _, t := range n.turns {
				if t.text == said.Text && ended != "" {
					t.asked = ended
				}
			}
		}
	})
}

func (n *node) drop(t *turn) {
	for i, other := range n.turns {
		if other == t {
			n.turns = append(n.turns[:i:i], n.turns[i+1:]...)
			return
		}
	}
}

// settle does what the hub does by itself, and tells whether that was anything.
func (n *node) settle() (did bool) {
	w := n.w
	w.mu.Lock()
	var over []*op
	orphans := map[uuid.UUID]session.Ref{}
	rest := n.ops[:0:0]
	for _, o := range n.ops {
		if o.after != nil {
			over = append(over, o)
		} else {
			rest = append(rest, o)
		}
	}
	n.ops = rest
	dead := n.dead
	for reply, ref := range n.orphans {
		if ref.Born != "" && !dead {
			n.orphans[reply] = session.Ref{}
			orphans[reply] = ref
		}
	}
	stops := n.stops
	n.stops = map[uuid.UUID]bool{}
	w.mu.Unlock()
	if dead {
		return false
	}
	for _, o := range over {
		o.after()
	}
	for reply, ref := range orphans { // one at most, but after a failover
		n.adopt(ref, reply)
	}
	for _, t := range n.turns {
		if stops[t.text.Reply] {
			t.asked = session.FinishStopped
		}
		switch {
		case t.ending:
		case t.text.End() != nil:
			n.drop(t)
			did = true
		case t.asked != "":
			n.finish(t, t.asked)
			did = true
		}
	}
	return did || len(over)+len(orphans) > 0
}

// suspect has the others hold the process dead.
func (n *node) suspect() {
	n.w.deaths++
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.suspected = true
}

// die is the process's death.
func (n *node) die() {
	n.w.mu.Lock()
	n.dead = true
	var mine []*call
	rest := n.w.calls[:0:0]
	for _, c := range n.w.calls {
		if c.g.n == n {
			mine = append(mine, c)
		} else {
			rest = append(rest, c)
		}
	}
	n.w.calls = rest
	n.w.mu.Unlock()
	for _, c := range mine {
		c.back <- errDead
	}
	n.stop()
	n.turns, n.conns = nil, map[uuid.UUID]string{}
}

// has returns the connections that have the conversation, as far as the node knows.
func (n *node) has() map[uuid.UUID]string {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	out := maps.Clone(n.conns)
	for id := range n.taken {
		delete(out, id)
	}
	return out
}

// String names what a node is in the middle of.
func (n *node) String() string {
	s := fmt.Sprint(n.name, n.dead, n.suspected, " knows ", n.g.known, " ", n.n, " orphans ", len(n.orphans))
	for _, o := range n.ops {
		s += " op " + o.name
	}
	for _, t := range n.turns {
		s += fmt.Sprintf(" turn %s %s %q safe %d %v %v", short(t.text.Reply), t.text.Fence, t.text.String(t.text.Appended()),
			t.text.Safe(), t.ending, t.asked)
	}
	for id, born := range n.has() { // one at most
		s += " has " + short(id) + " " + born
	}
	return s + n.g.texts()
}
