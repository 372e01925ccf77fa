package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Shared is a store in memory that any number of nodes share, as they share a Redis;
// it needs no time and no network, so it works in a synctest bubble. Nothing in it
// expires. The zero value is empty.
type Shared struct {
	mu    sync.Mutex    // guards what follows
	keys  session.Alone // for its claims
	all   map[uuid.UUID]*stored
	nodes []*sharedNode
}

// stored is a conversation, or the grave of one: its head has nothing but a version.
type stored struct {
	head session.Head
	log  []session.Message
	text []byte // of the running reply
}

// sharedNode is one node's Backend.
type sharedNode struct {
	s     *Shared
	name  string
	hints chan session.Hint
	dead  bool // guarded by s.mu
}

// Node returns the Backend of another node. It counts as alive until its Run ends.
func (s *Shared) Node() (session.Backend, session.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &sharedNode{s: s, name: fmt.Sprint("node", len(s.nodes)), hints: make(chan session.Hint, 1000)}
	s.nodes = append(s.nodes, n)
	return n, session.Kind{Node: n.name}
}

// Save returns what brings the store back to where it is now, as a failover does that
// loses what came later. Keys stay.
func (s *Shared) Save() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := make(map[uuid.UUID]stored)
	for id, one := range s.all {
		saved[id] = *one
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.all)
		for id, one := range saved {
			s.all[id] = &one
		}
	}
}

// tell has the other nodes hear of something. One that is slow misses it. s is locked.
func (n *sharedNode) tell(h session.Hint) {
	for _, other := range n.s.nodes {
		if other == n {
			continue
		}
		select {
		case other.hints <- h:
		default:
		}
	}
}

// Load implements session.Backend.
func (n *sharedNode) Load(_ context.Context, id uuid.UUID, have *session.Conversation) (*session.Conversation, error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	c := n.s.all[id]
	version, _, _ := have.Known()
	switch {
	case c == nil:
		return nil, session.ErrNotFound
	case c.head.Born == "":
		return session.Grave(c.head.Version), session.ErrNotFound
	case c.head.Version == version:
		return have, nil
	}
	return session.NewConversation(c.head, slices.Clone(c.log))
}

// Commit implements session.Backend.
func (n *sharedNode) Commit(_ context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	c, version := n.s.all[id], ""
	if c != nil {
		version = c.head.Version
	}
	if ch.Version == version {
		return nil // it was made already
	}
	if known, _, _ := was.Known(); known != version {
		return session.ErrConflict
	}
	defer n.tell(session.Hint{ID: id})
	if ch.Born == "" {
		n.s.keys.EndClaim(id, c.head)
		n.s.all[id] = &stored{head: ch.Head}
		return nil
	}
	next := &stored{head: ch.Head, log: ch.Add}
	if c != nil && c.head.Born != "" {
		if ch.Had >= 0 && ch.Had != len(c.text) {
			return session.ErrConflict
		}
		next.log = append(slices.Clone(c.log), ch.Add...)
		if goesOn := c.head.Running != nil && ch.Running != nil && c.head.Running.Reply == ch.Running.Reply; goesOn {
			next.text = c.text
			if ch.Had >= 0 {
				next.text = slices.Clone(c.text[:ch.Has])
			}
		}
	}
	if n.s.all == nil {
		n.s.all = make(map[uuid.UUID]*stored)
	}
	n.s.all[id] = next
	return nil
}

// Claim implements session.Backend.
func (n *sharedNode) Claim(ctx context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	return n.s.keys.Claim(ctx, key, id, stale)
}

// Touch implements session.Backend.
func (n *sharedNode) Touch(_ context.Context, used []session.Use) (changed []uuid.UUID, err error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, u := range used {
		if c := n.s.all[u.ID]; c == nil || c.head.Version != u.Version {
			changed = append(changed, u.ID)
		}
	}
	return changed, nil
}

// text returns the conversation of a text whose fence stands; nil: none does.
func (n *sharedNode) text(t *session.Text) *stored {
	c := n.s.all[t.Ref.ID]
	if c == nil || c.head.Running == nil || c.head.Running.Reply != t.Reply || c.head.Running.Fence != t.Fence {
		return nil
	}
	return c
}

// Append implements session.Backend.
func (n *sharedNode) Append(_ context.Context, texts []*session.Text) {
	for _, t := range texts {
		if size, ok := n.append(t); ok {
			t.Saved(size, true)
		} else {
			t.Moved()
		}
	}
}

func (n *sharedNode) append(t *session.Text) (size int, ok bool) {
	const most = 64 << 10
	at, p := t.Unsaved(nil, most)
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	c := n.text(t)
	if c == nil {
		return 0, false
	}
	if at <= len(c.text) {
		c.text = append(c.text[:at:at], p...)
		if t.IsFollowedElsewhere() {
			n.tell(session.Hint{ID: t.Ref.ID, Fence: t.Fence, At: at, Text: p})
		}
	}
	return len(c.text), true
}

// Read implements session.Backend.
func (n *sharedNode) Read(_ context.Context, texts []*session.Text) {
	for _, t := range texts {
		at := t.Appended()
		n.s.mu.Lock()
		c := n.text(t)
		if c == nil {
			n.s.mu.Unlock()
			t.Moved()
			continue
		}
		size := len(c.text)
		p := slices.Clone(c.text[min(at, size):])
		n.tell(session.Hint{ID: t.Ref.ID, Fence: t.Fence}) // it is followed here
		n.s.mu.Unlock()
		t.Stored(at, p, size)
	}
}

// Alive implements session.Backend.
func (n *sharedNode) Alive(node string) bool {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	i := slices.IndexFunc(n.s.nodes, func(o *sharedNode) bool { return o.name == node })
	return i >= 0 && !n.s.nodes[i].dead
}

// Ready implements session.Backend.
func (*sharedNode) Ready(context.Context) error { return nil }

// Run implements session.Backend.
func (n *sharedNode) Run(ctx context.Context, heard func(session.Hint)) error {
	n.bury(false)
	defer n.bury(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-n.hints:
			heard(h)
		}
	}
}

func (n *sharedNode) bury(dead bool) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.dead = dead
}
