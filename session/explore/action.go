package explore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// action is something that can happen.
type action struct {
	name  string
	do    func()
	fault bool
}

func (w *World) scopeHas(fault rune) bool { return strings.ContainsRune(w.scope.Faults, fault) }

// may tells whether a fault may still happen.
func (w *World) may(fault rune) bool { return w.faults > 0 && w.scopeHas(fault) }

// actions returns all that can happen now. Their names are unique, and the same
// whenever the schedule so far is.
func (w *World) actions() []action {
	var out []action
	count := map[string]int{}
	add := func(name string, do func()) {
		if count[name]++; count[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, count[name])
		}
		out = append(out, action{name: name, do: do})
	}
	fault := func(name string, do func()) {
		add(name, func() { w.faults--; do() })
		out[len(out)-1].fault = true
	}
	waiting := w.waiting()
	slices.SortStableFunc(waiting, func(a, b *call) int {
		return strings.Compare(a.g.n.name+a.name, b.g.n.name+b.name)
	})
	for _, c := range waiting {
		name := c.g.n.name + " " + c.name
		add(name, func() { w.answer(c, done) })
		if w.may('L') {
			fault(name+", its answer is lost", func() { w.answer(c, lost) })
			if c.late != nil {
				fault(name+", delayed", func() { w.answer(c, delayed) })
				fault(name+", doubled", func() { w.answer(c, doubled) })
			}
		}
	}
	for i, n := range w.nodes {
		if n.dead {
			continue
		}
		w.models(n, add)
		for _, letter := range w.ops {
			if i > 0 && w.fresh() {
				break // the nodes are alike so far
			}
			if do := w.op(n, letter); do != nil {
				add(fmt.Sprintf("%s: %c", n.name, letter), func() {
					w.ops = strings.Replace(w.ops, string(letter), "", 1)
					do()
				})
			}
		}
		if w.may('P') && !n.suspected && w.alive(n) != nil {
			fault(n.name+" is held dead", n.suspect)
		}
	}
	w.deathsOf(add, fault)
	if crasher, alone := w.store.(Crasher); alone && w.may('F') && w.alive(nil) != nil {
		fault("the disk fails", crasher.Break)
	}
	for i, l := range w.late {
		add("late: "+l.name, func() {
			w.late = slices.Delete(slices.Clone(w.late), i, i+1)
			w.keep()
			l.do()
		})
	}
	for i, h := range w.hints {
		add(fmt.Sprintf("%s hears %s", h.to.name, h.name), func() {
			w.hints = slices.Delete(slices.Clone(w.hints), i, i+1)
			if !h.to.dead {
				go h.to.g.heard(h.Hint)
			}
		})
	}
	if w.may('R') {
		for i, restore := range w.past {
			fault(fmt.Sprintf("the store forgets %d writes", len(w.past)-i), func() {
				w.rolled, w.past = true, w.past[:i:i]
				w.seen.forget()
				restore()
			})
		}
	}
	switch {
	case len(waiting) == 0:
		add("time passes", func() { w.tick(tickTime) })
	case w.may('T'):
		fault("time passes meanwhile", func() { w.tick(tickTime) })
	}
	return out
}

// fresh tells whether nothing has happened yet that tells the nodes apart.
func (w *World) fresh() bool {
	return len(w.ops) == len(w.scope.Ops) && w.faults == w.scope.Most && w.ref.Born == ""
}

// deathsOf adds the deaths of processes.
func (w *World) deathsOf(add, fault func(string, func())) {
	crasher, alone := w.store.(Crasher)
	for i, n := range w.nodes {
		switch {
		case n.dead && alone && i == len(w.nodes)-1:
			add("it starts again", w.startAgain)
		case n.dead || !w.may('K'):
		case alone:
			dies := func(how string) {
				w.deaths++
				n.die()
				if crasher.Crash(how) {
					w.rolled = true
					w.seen.forget()
				}
			}
			for _, how := range crasher.Crashes() {
				fault("it dies: "+how, func() { dies(how) })
				if waiting := w.waiting(); len(waiting) > 0 {
					fault("it dies within "+waiting[0].name+": "+how, func() {
						crasher.Cut()
						_ = waiting[0].do() // nobody is told
						dies(how)
					})
				}
			}
		case w.alive(n) != nil:
			fault(n.name+" is killed", func() { w.deaths++; n.die() })
		}
	}
}

// startAgain begins the next process of a store of one.
func (w *World) startAgain() {
	next, err := w.open(fmt.Sprint("A", len(w.nodes)))
	if err != nil {
		w.fail("it does not start: %v", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, next)
}

// models adds what the models of a node's turns can do.
func (w *World) models(n *node, add func(string, func())) {
	for _, t := range n.turns {
		if t.ending || t.text.End() != nil {
			continue
		}
		reply := short(t.text.Reply)
		if t.said < letters {
			add(fmt.Sprintf("%s: %s goes on with %c", n.name, reply, t.letter), func() {
				t.said++
				t.text.Append([]byte{t.letter})
			})
		}
		if t.text.Appended() > 0 {
			add(fmt.Sprintf("%s: %s ends", n.name, reply), func() { n.finish(t, session.FinishStop) })
		}
	}
}

// op returns what does an operation at a node; nil: it cannot be done now.
func (w *World) op(n *node, letter rune) func() {
	if _, says := turns[letter]; says && w.ref.Born != "" {
		return func() { n.say(letter) }
	}
	switch {
	case letter == 'c':
		return func() { w.create(n, uuid.Nil) }
	case letter == 'k':
		return func() { w.create(n, keyed) }
	case w.ref.Born == "":
	case letter == 'x' && w.seen.running != uuid.Nil:
		return func() { w.stop(n, w.seen.running) }
	case letter == 'y':
		for _, t := range n.turns {
			if !t.ending {
				return func() { n.yield(t) }
			}
		}
	case letter == 'd':
		return func() { w.remove(n) }
	case letter == 'n':
		return func() { w.connect(n) }
	case letter == 'o' && len(n.has()) > 0:
		return func() { w.disconnect(n) }
	case letter == 'u' && w.clients[1].n == n && w.clients[1].joined:
		return w.clients[1].leave
	}
	return nil
}

// stop has a client ask that a reply be ended.
func (w *World) stop(n *node, reply uuid.UUID) {
	ref := w.ref
	w.stopped[reply] = true
	n.start("stop", func(ctx context.Context) func() {
		_ = n.m.Stop(ctx, ref, reply)
		return nil
	})
}

// remove has a client delete the conversation.
func (w *World) remove(n *node) {
	ref := w.ref
	n.start("delete", func(ctx context.Context) func() {
		err := n.m.Delete(ctx, ref)
		return func() {
			if err == nil && !w.rolled {
				w.deleted = true
				w.seen.dead = append(w.seen.dead, ref.Born)
			}
		}
	})
}

// connect has a connection claim the conversation.
func (w *World) connect(n *node) {
	id, ref := conns[0], w.ref
	if strings.ContainsRune(w.ops, 'n') {
		id = conns[1] // one of two
	}
	n.start("connect", func(ctx context.Context) func() {
		err := n.m.Connect(ctx, ref, session.Claim{Connection: id})
		return func() {
			if err == nil {
				n.conns[id] = ref.Born
			}
		}
	})
}

func (w *World) disconnect(n *node) {
	ref := w.ref
	for _, id := range conns {
		if _, has := n.has()[id]; has {
			delete(n.conns, id)
			n.start("disconnect", func(context.Context) func() { n.m.Disconnect(ref, id); return nil })
			return
		}
	}
}
