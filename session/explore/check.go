package explore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// observed is what was seen in the store, to be compared with what is there next.
type observed struct {
	born     string
	messages []string // of this incarnation
	running  uuid.UUID
	fence    string
	stopping bool
	text     string
	begun    map[uuid.UUID]int // how often which reply was begun
	answered map[string]int    // by user message: how many replies were begun to it
	dead     []string          // incarnations that were deleted
}

// forget is for what a failover has changed.
func (o *observed) forget() {
	*o = observed{begun: map[uuid.UUID]int{}, running: uuid.Nil}
}

// check looks at what must hold in every state.
func (w *World) check() {
	c, text := w.store.Peek()
	o := &w.seen
	if c == nil {
		if o.born != "" && !w.rolled && !strings.Contains(w.scope.Ops, "d") {
			w.fail("the conversation is gone, and nobody has deleted it")
		}
		o.born, o.messages, o.running, o.fence, o.text = "", nil, uuid.Nil, "", ""
		return
	}
	if slices.Contains(o.dead, c.Born) {
		w.fail("the incarnation that was deleted is back")
	}
	if c.Born != o.born {
		*o = observed{born: c.Born, begun: o.begun, answered: map[string]int{}, dead: o.dead}
	}
	w.checkMessages(c)
	w.checkRunning(c, text)
	for what, born := range w.acked {
		if born == c.Born && !w.rolled && !slices.ContainsFunc(c.Messages(), func(m session.Message) bool {
			return m.Role == session.User && m.ID.String()+m.Content == what
		}) {
			w.fail("an acknowledged message is lost")
		}
	}
	w.checkTexts(c, text)
}

// checkMessages: what was said stays.
func (w *World) checkMessages(c *session.Conversation) {
	o := &w.seen
	var now []string
	for _, m := range c.Messages() {
		now = append(now, fmt.Sprint(m.ID, m.Role, m.Content, m.FinishReason, m.Seq, m.Parent, m.Epochs))
	}
	if len(now) < len(o.messages) || !slices.Equal(now[:len(o.messages)], o.messages) {
		w.fail("messages that were stored have changed")
	}
	o.messages = now
}

// checkRunning: a reply is begun once, a message answered once, and one who
// writes; Stopping stays.
func (w *World) checkRunning(c *session.Conversation, text string) {
	o, r := &w.seen, c.Running
	if r == nil {
		o.running, o.fence, o.text, o.stopping = uuid.Nil, "", "", false
		return
	}
	if o.answered == nil {
		o.answered = map[string]int{}
	}
	same := o.running == r.Reply
	if !same {
		o.begun[r.Reply]++
		i := slices.IndexFunc(c.Messages(), func(m session.Message) bool { return m.Seq == r.User.Seq })
		if i < 0 {
			w.fail("the message that is answered is not there")
			return
		}
		user := c.Messages()[i]
		o.answered[user.Content]++
		o.stopping, o.text, o.fence = false, "", r.Fence
		if n := o.answered[user.Content]; !w.rolled && n > 1 && !strings.ContainsAny(w.scope.Ops, "ge") {
			w.fail("a message is answered %d times", n)
		}
	}
	switch {
	case w.rolled:
	case o.begun[r.Reply] > 1:
		w.fail("a reply is begun again")
	case same && o.stopping && !r.Stopping:
		w.fail("a stop is forgotten")
	case !r.Stopping || w.stopped[r.Reply]:
	default:
		w.fail("a reply is to stop that nobody stopped")
	}
	if r.Deaths > w.deaths {
		w.fail("%d of its writers have died, of %d that did", r.Deaths, w.deaths)
	}
	if same && o.fence == r.Fence && !w.rolled && !strings.HasPrefix(text, o.text) {
		w.fail("the text was %q, and is %q", o.text, text)
	}
	if same && o.fence != r.Fence {
		w.mu.Lock()
		for _, n := range w.nodes {
			n.suspected = n.suspected && !strings.HasPrefix(o.fence, n.name+" ") // it was a false alarm
		}
		w.mu.Unlock()
	}
	o.running, o.fence, o.text, o.stopping = r.Reply, r.Fence, text, r.Stopping
}

// checkTexts: what a node has of a text under the fence that stands is what is
// stored, and what is safe is stored.
func (w *World) checkTexts(c *session.Conversation, stored string) {
	look := func(who string, t *session.Text) {
		if t == nil || c.Running == nil || c.Running.Fence != t.Fence || t.End() != nil {
			return
		}
		has := t.String(t.Appended())
		if !strings.HasPrefix(has, stored) && !strings.HasPrefix(stored, has) {
			w.fail("%s has %q, and %q is stored", who, has, stored)
		}
		if t.Safe() > len(stored) && !w.rolled {
			w.fail("%s may show %d bytes, and %d are stored", who, t.Safe(), len(stored))
		}
	}
	for _, n := range w.nodes {
		writers := 0
		for _, t := range n.turns {
			look(n.name, t.text)
			if !t.ending && t.text.End() == nil && t.text.Reply == w.seen.running && t.text.Fence == w.seen.fence {
				writers++
			}
		}
		if writers > 1 {
			w.fail("%s writes a reply %d times", n.name, writers)
		}
	}
	for _, k := range w.clients {
		look(fmt.Sprint("client ", k.i), k.text)
	}
}

// rename names what no two runs have alike, such as random names and what is
// counted by clocks, by the order in which it appears.
func rename(s string) string {
	var b strings.Builder
	seen := map[string]int{}
	for i := 0; i < len(s); {
		n := i
		for n < len(s) && ('0' <= s[n] && s[n] <= '9' || 'A' <= s[n] && s[n] <= 'Z') {
			n++
		}
		if n-i < 10 {
			n = max(n, i+1)
			b.WriteString(s[i:n])
		} else {
			if _, known := seen[s[i:n]]; !known {
				seen[s[i:n]] = len(seen)
			}
			b.WriteByte('#')
			b.WriteString(strconv.Itoa(seen[s[i:n]]))
		}
		i = n
	}
	return b.String()
}

// key names the state.
func (w *World) key() string {
	var b strings.Builder
	c, text := w.store.Peek()
	if c != nil {
		writeHead(&b, &c.Head)
		for _, m := range c.Messages() {
			writeMessage(&b, &m)
		}
	}
	fmt.Fprintf(&b, "%q\n", text)
	for _, n := range w.nodes {
		b.WriteString(n.String())
		b.WriteByte('\n')
	}
	for _, c := range w.clients {
		b.WriteString(c.String())
		b.WriteByte('\n')
	}
	var calls []string
	for _, c := range w.waiting() {
		calls = append(calls, c.g.n.name+" "+c.name+" "+c.key)
	}
	slices.Sort(calls)
	fmt.Fprintf(&b, "%v\n", calls)
	for _, l := range w.late {
		b.WriteString("late " + l.name + l.key)
	}
	for _, h := range w.hints {
		b.WriteString(h.to.name + h.name + h.Fence)
	}
	fmt.Fprint(&b, w.ops, w.faults, w.rolled, w.deleted, len(w.acked), len(w.past), w.ref.Born, w.noted)
	return rename(strings.ReplaceAll(b.String(), w.id.String(), "it"))
}

// patience is how many seconds the nodes have to bring everything to its end.
const patience = 90

// finish lets everything go on without faults: nodes that live bring the reply to
// its end, and clients see that, and all of it.
func (w *World) finish() {
	w.faults, w.ops, w.late, w.hints = 0, "", nil, nil
	w.wait()
	c, _ := w.store.Peek()
	if c != nil && c.Running != nil && w.comeBack(session.Ref{ID: w.id, Born: c.Born}) {
		w.wait() // nobody was there who cared
	}
	if w.failed != "" {
		return
	}
	c, _ = w.store.Peek()
	if c != nil && c.Running != nil {
		w.fail("nobody finishes the reply")
	}
	for _, n := range w.nodes {
		if len(n.ops) > 0 && !n.dead {
			w.fail("%s is for ever in the middle of %s", n.name, n.ops[0].name)
		}
		if id := w.deceived(n, c); id != uuid.Nil {
			w.fail("%s does not know that connection %s was taken over", n.name, short(id))
		}
	}
	for _, k := range w.clients {
		if c != nil && !k.gone && !k.left && k.text != nil {
			w.fail("client %d is not told the end", k.i)
		}
	}
}

// wait lets time pass until all is over.
func (w *World) wait() {
	for range patience {
		for w.failed == "" && w.goOn() {
		}
		if w.failed != "" || w.over() {
			return
		}
		w.tick(tickTime)
	}
}

// deceived returns a connection that a node lets have the conversation though
// another has it; nil: there is none. A store of one process need not keep them.
func (w *World) deceived(n *node, c *session.Conversation) uuid.UUID {
	if _, alone := w.store.(Crasher); alone || c == nil || w.rolled {
		return uuid.Nil
	}
	for id, born := range n.has() {
		if c.Born == born && (c.Conn == nil || c.Conn.Connection != id) {
			return id
		}
	}
	return uuid.Nil
}

// comeBack has clients that follow nothing, since they have left or the conversation
// was gone, come back to it.
func (w *World) comeBack(ref session.Ref) (did bool) {
	for _, k := range w.clients {
		if k.text == nil {
			*k = client{w: w, i: k.i, n: k.n, held: ref, stale: true, joined: true}
			did = true
		}
	}
	w.settle()
	return did
}

// goOn does one thing that needs no luck.
func (w *World) goOn() bool {
	if waiting := w.waiting(); len(waiting) > 0 {
		w.answer(waiting[0], done)
		w.settle()
		return true
	}
	for _, n := range w.nodes {
		for _, t := range n.turns {
			if n.dead || t.ending || t.text.End() != nil {
				continue
			}
			if t.said < letters {
				t.said++
				t.text.Append([]byte{t.letter})
			} else {
				n.finish(t, session.FinishStop)
			}
			w.settle()
			return true
		}
	}
	if last := len(w.nodes) - 1; w.nodes[last].dead {
		if _, alone := w.store.(Crasher); alone {
			w.startAgain()
			w.settle()
			return true
		}
	}
	return false
}

// over tells whether there is nothing left that must come.
func (w *World) over() bool {
	c, _ := w.store.Peek()
	for _, n := range w.nodes {
		if len(n.ops) > 0 && !n.dead {
			return false
		}
		if w.deceived(n, c) != uuid.Nil {
			return false
		}
	}
	for _, k := range w.clients {
		if !k.gone && !k.left && k.text != nil {
			return false
		}
	}
	return c == nil || c.Running == nil
}
