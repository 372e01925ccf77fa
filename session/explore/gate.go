package explore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"

	"lumos/backend/session"
)

const maxAppend = 64 << 10

var silent = slog.New(slog.DiscardHandler)

// errDead is what a dead process's calls get.
var errDead = fmt.Errorf("%w: the process is dead", session.ErrUnavailable)

// call is a call of a Manager to its backend that waits until the World lets it go
// on, in one way or another.
type call struct {
	g    *gate
	name string       // what the schedule calls it
	key  string       // what else tells it from others; of random names
	do   func() error // does it. Only the World calls it
	late func()       // does it for a caller that is not there any more; nil: it changes nothing
	told func()       // what the others hear once it is done
	back chan error   // one slot
	gone bool         // its caller has given up; guarded by World.mu
}

// gate is the backend of one process. What changes something, and reads of text,
// wait for the World; what is loaded is loaded at once, which is as if the step
// that loads had come later.
type gate struct {
	session.Backend // where there is one behind the gate
	w               *World
	n               *node
	sent            map[*session.Text]string // what the store last said of the texts; guarded by World.mu
	known           string                   // version of the conversation that the process has, as far as can be seen; guarded by World.mu
	heard           func(session.Hint)
}

// pass has a call wait. Errors: its own; errDead; ctx's.
func (g *gate) pass(ctx context.Context, c *call) error {
	c.g, c.back = g, make(chan error, 1)
	g.w.mu.Lock()
	if g.n.dead {
		g.w.mu.Unlock()
		return errDead
	}
	g.w.calls = append(g.w.calls, c)
	g.w.mu.Unlock()
	select {
	case err := <-c.back:
		return err
	case <-ctx.Done():
		g.w.mu.Lock()
		defer g.w.mu.Unlock()
		c.gone = true
		return ctx.Err()
	}
}

func (g *gate) isDead() bool {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	return g.n.dead
}

func (g *gate) knows(c *session.Conversation) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	g.known, _, _ = c.Known()
}

// Load implements session.Backend.
func (g *gate) Load(ctx context.Context, id uuid.UUID, have *session.Conversation) (*session.Conversation, error) {
	if g.isDead() {
		return nil, errDead
	}
	c, err := g.Backend.Load(ctx, id, have)
	if err == nil || errors.Is(err, session.ErrNotFound) {
		g.knows(c)
	}
	return c, err
}

// Commit implements session.Backend.
func (g *gate) Commit(ctx context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	old := was // a copy, since a late call sees was as it is now
	if was != nil {
		old = &session.Conversation{Head: was.Head}
	}
	do := func() error { return g.Backend.Commit(context.Background(), id, was, ch) }
	version, _, _ := was.Known()
	c := &call{
		name: "commit " + describe(was, ch), key: version + " " + keyOf(ch), do: do,
		late: func() { _ = g.Backend.Commit(context.Background(), id, old, ch) },
		told: func() { g.w.hint(g, session.Hint{ID: id}) },
	}
	err := g.pass(ctx, c)
	if err == nil && ch.Born != "" {
		g.w.mu.Lock()
		g.known = ch.Version
		g.w.mu.Unlock()
	}
	return err
}

// Claim implements session.Backend.
func (g *gate) Claim(ctx context.Context, key string, id, stale uuid.UUID) (got uuid.UUID, err error) {
	c := &call{name: "claim", key: fmt.Sprint(key, id, stale)}
	c.do = func() (err error) { got, err = g.Backend.Claim(context.Background(), key, id, stale); return err }
	c.late = func() { _, _ = g.Backend.Claim(context.Background(), key, id, stale) }
	if err := g.pass(ctx, c); err != nil {
		return id, err
	}
	return got, nil
}

// Touch implements session.Backend.
func (g *gate) Touch(ctx context.Context, used []session.Use) ([]uuid.UUID, error) {
	if g.isDead() {
		return nil, errDead
	}
	return g.Backend.Touch(ctx, used)
}

// sender is a backend whose appends can be on their way for a while.
type sender interface {
	send(texts []*session.Text) (arrive func())
}

// Append implements session.Backend.
func (g *gate) Append(ctx context.Context, texts []*session.Text) {
	c := &call{name: "append"}
	type part struct {
		fence string
		at    int
		p     []byte
	}
	var parts []part
	for _, t := range texts {
		at, p := t.Unsaved(nil, maxAppend)
		parts = append(parts, part{t.Fence, at, p})
		c.name += fmt.Sprintf(" %s %q at %d", g.w.name(t.Reply), p, at)
		c.key += t.Fence + " "
	}
	arrive := func() { g.Backend.Append(context.Background(), texts) }
	if b, ok := g.Backend.(sender); ok {
		arrive = b.send(texts)
	}
	c.do = func() error { arrive(); g.note(texts); return nil }
	c.late = func() {
		for _, p := range parts {
			g.w.store.Late(p.fence, p.at, p.p)
		}
	}
	c.told = func() {
		for i, t := range texts {
			if p := parts[i]; len(p.p) > 0 && t.Safe() == p.at+len(p.p) {
				g.w.hint(g, session.Hint{ID: t.Ref.ID, Fence: t.Fence, At: p.at, Text: p.p})
			}
		}
	}
	_ = g.pass(ctx, c) // the texts have no answer then
}

// Read implements session.Backend.
func (g *gate) Read(ctx context.Context, texts []*session.Text) {
	c := &call{name: "read"}
	for _, t := range texts {
		c.name += fmt.Sprintf(" %s from %d", g.w.name(t.Reply), t.Appended())
		c.key += t.Fence + " "
	}
	c.do = func() error { g.Backend.Read(context.Background(), texts); g.note(texts); return nil }
	c.told = func() {
		for _, t := range texts {
			g.w.hint(g, session.Hint{ID: t.Ref.ID, Fence: t.Fence})
		}
	}
	_ = g.pass(ctx, c)
}

// note remembers what the store has said of texts: who is to go on depends on it.
func (g *gate) note(texts []*session.Text) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.sent == nil {
		g.sent = map[*session.Text]string{}
	}
	for _, t := range texts {
		at, p := t.Unsaved(nil, maxAppend)
		g.sent[t] = fmt.Sprint(" ", t.Fence, t.Own(), t.Appended(), t.Safe(), at, len(p))
	}
}

// texts is what is remembered of texts that have not ended.
func (g *gate) texts() string {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	var all []string
	for t, s := range g.sent {
		if t.End() == nil {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// Alive implements session.Backend.
func (g *gate) Alive(node string) bool {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	for _, n := range g.w.nodes {
		if n.name == node {
			return n == g.n || !n.dead && !n.suspected
		}
	}
	return false
}

// Ready implements session.Backend.
func (*gate) Ready(context.Context) error { return nil }

// Run implements session.Backend.
func (g *gate) Run(ctx context.Context, heard func(session.Hint)) error {
	g.w.mu.Lock()
	g.heard = heard
	g.w.mu.Unlock()
	err := g.Backend.Run(ctx, heard)
	<-ctx.Done()
	return err
}

// describe says in a few words what a change does.
func describe(was *session.Conversation, ch *session.Change) string {
	var before session.Head
	if was != nil {
		before = was.Head
	}
	if ch.Born == "" {
		return "delete"
	}
	old, r := before.Running, ch.Running
	switch {
	case before.Born == "":
		return "create"
	case old == nil && r != nil:
		what := "start"
		for _, m := range ch.Add {
			what = fmt.Sprintf("say %q, start", m.Content)
		}
		return what + " " + short(r.Reply)
	case old != nil && r == nil && len(ch.Add) > 0:
		m := ch.Add[len(ch.Add)-1]
		return fmt.Sprintf("finish %s %q %s had %d", short(m.ID), m.Content, m.FinishReason, ch.Had)
	case r != nil && old != nil && r.Fence == "" && old.Fence != "":
		return "yield " + short(r.Reply)
	case r != nil && old != nil && r.Fence != old.Fence:
		return fmt.Sprintf("take %s had %d has %d", short(r.Reply), ch.Had, ch.Has)
	case r != nil && old != nil && r.Stopping != old.Stopping:
		return "stop " + short(r.Reply)
	case before.Conn != ch.Conn:
		if ch.Conn == nil {
			return "vacate"
		}
		return "connect " + short(ch.Conn.Connection)
	case before.Tip != ch.Tip:
		return "move the tip"
	}
	return "change"
}

// short is the name by which a schedule knows an id.
func short(id uuid.UUID) string {
	if name, ok := ids[id]; ok {
		return name
	}
	return "?"
}

// keyOf names a change for the state's key.
func keyOf(ch *session.Change) string {
	if ch.Born == "" {
		return "-"
	}
	var b strings.Builder
	writeHead(&b, &ch.Head)
	for _, m := range ch.Add {
		writeMessage(&b, &m)
	}
	fmt.Fprint(&b, ch.Had, ch.Has)
	return b.String()
}

func writeHead(b *strings.Builder, h *session.Head) {
	fmt.Fprint(b, h.Version, " ", h.Born, " ", h.Tip, h.Count)
	if r := h.Running; r != nil {
		fmt.Fprint(b, " R", short(r.Reply), r.User.Seq, r.Epochs, r.Fence, " ", r.Deaths, r.Stopping)
	}
	if c := h.Conn; c != nil {
		fmt.Fprint(b, " C", c.Node, short(c.Connection))
	}
	b.WriteByte('\n')
}

func writeMessage(b *strings.Builder, m *session.Message) {
	fmt.Fprint(b, ";", short(m.ID), m.Role, m.Content, " ", m.FinishReason, m.Seq, " ", m.Parent, " ", m.Version, m.Epochs)
}
