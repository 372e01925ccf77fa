package explore

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Store is what the processes of a World keep their one conversation in.
type Store interface {
	// Open begins a process. gate stands between its Manager and its backend.
	Open(node string, gate func(session.Backend) session.Backend) (*session.Manager, error)
	// Late does an append whose caller is not there any more.
	Late(fence string, at int, p []byte)
	// Peek returns the conversation (nil: there is none) and the text of its running
	// reply. It is called between steps only.
	Peek() (*session.Conversation, string)
	// Save returns what brings the store back to where it is now; nil: it cannot.
	Save() (restore func())
}

// Crasher is a Store of one process, which begins again on what the last one left.
type Crasher interface {
	Store
	// Crashes returns the ways in which the process, or the machine, can die now.
	Crashes() []string
	// Crash has it die so. It tells whether what was acknowledged may be lost.
	Crash(how string) (lossy bool)
	// Cut has the process die within the next call to the disk.
	Cut()
	// Break has the next call to the disk fail.
	Break()
}

// Shared is a Store in memory. It does what the scripts of redisstore do.
type Shared struct {
	id uuid.UUID

	mu sync.Mutex // guards what follows
	contents
}

// contents is all that a Shared has. It is replaced, never changed in place, but
// for claims.
type contents struct {
	head   session.Head
	log    []session.Message
	text   string
	there  bool   // a conversation is
	grave  string // version that a deletion left; "": none
	claims map[string]uuid.UUID
}

// NewShared returns an empty store for the conversation id.
func NewShared(id uuid.UUID) *Shared {
	return &Shared{id: id, contents: contents{claims: map[string]uuid.UUID{}}}
}

// Open implements Store.
func (s *Shared) Open(node string, gate func(session.Backend) session.Backend) (*session.Manager, error) {
	return session.NewManager(gate(&sharedNode{s: s, node: node}), session.Kind{Node: node}, session.Config{Logger: silent}), nil
}

// Save implements Store.
func (s *Shared) Save() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := s.contents
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.contents = saved
	}
}

// Peek implements Store.
func (s *Shared) Peek() (*session.Conversation, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.there {
		return nil, ""
	}
	c, err := session.NewConversation(s.head, s.log)
	if err != nil {
		panic(err) // a commit has made it
	}
	return c, s.text
}

// Late implements Store.
func (s *Shared) Late(fence string, at int, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(fence, at, p)
}

// append is append.lua.
func (s *Shared) append(fence string, at int, p []byte) (size int, ok bool) {
	if !s.runs(fence) {
		return 0, false
	}
	if size = len(s.text); size >= at && size < at+len(p) {
		s.text += string(p[size-at:])
	}
	return len(s.text), true
}

func (s *Shared) runs(fence string) bool {
	return s.there && s.head.Running != nil && s.head.Running.Fence == fence && fence != ""
}

func (s *Shared) version() string {
	if s.there {
		return s.head.Version
	}
	return s.grave
}

// sharedNode is a Shared as one node's Manager sees it. Hints, and who lives, are
// the World's.
type sharedNode struct {
	s    *Shared
	node string

	known string // version of the conversation as it was last loaded or committed here; guarded by s.mu
}

// Load implements session.Backend.
func (n *sharedNode) Load(_ context.Context, id uuid.UUID, have *session.Conversation) (*session.Conversation, error) {
	s := n.s
	if id != s.id {
		return nil, session.ErrNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.known = s.version()
	known, count, last := have.Known()
	switch {
	case !s.there && s.grave == "":
		return nil, session.ErrNotFound
	case !s.there:
		return session.Grave(s.grave), session.ErrNotFound
	case known == s.head.Version:
		return have, nil
	case count > 0 && (count > len(s.log) || s.log[count-1].Version != last):
		count = 0
	}
	return have.With(s.head, count, slices.Clone(s.log[count:]))
}

// Commit implements session.Backend; it is commit.lua.
func (n *sharedNode) Commit(_ context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	s := n.s
	if id != s.id {
		return nil // one that nobody comes back to
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, _, _ := was.Known()
	is, had := ch.Version, ch.Had
	switch {
	case s.version() == is:
		n.known = is
		return nil
	case s.version() != before, had >= 0 && had != len(s.text):
		return session.ErrConflict
	}
	n.known = is
	if ch.Born == "" {
		s.contents = contents{grave: is, claims: s.claims}
		return nil
	}
	old := s.head.Running
	if !s.there {
		s.log, old = nil, nil
	}
	add := slices.Clone(ch.Add)
	switch r := ch.Running; {
	case r == nil && had >= 0:
		m := &add[len(add)-1]
		m.Content = s.text[:min(ch.Has, had)] + m.Content[min(had, len(m.Content)):]
		s.text = ""
	case r == nil, old == nil, old.Reply != r.Reply:
		s.text = ""
	case had >= 0:
		s.text = s.text[:ch.Has]
	}
	s.head, s.there, s.grave = ch.Head, true, ""
	s.log = append(s.log[:len(s.log):len(s.log)], add...)
	return nil
}

// Claim implements session.Backend.
func (n *sharedNode) Claim(_ context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	was, known := n.s.claims[key]
	switch {
	case id == uuid.Nil:
		if was == stale {
			delete(n.s.claims, key)
		}
		return id, nil
	case known && was != stale:
		return was, nil
	}
	n.s.claims[key] = id
	return id, nil
}

// Touch implements session.Backend.
func (n *sharedNode) Touch(_ context.Context, used []session.Use) (changed []uuid.UUID, err error) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, u := range used {
		if u.Version != n.s.version() {
			changed = append(changed, u.ID)
		}
	}
	return changed, nil
}

// Append implements session.Backend.
func (n *sharedNode) Append(_ context.Context, texts []*session.Text) { n.send(texts)() }

// send takes what the texts have now, and returns what appends that. As in Redis, a
// writer that has nothing to append asks whether the conversation has changed.
func (n *sharedNode) send(texts []*session.Text) (arrive func()) {
	at, p := make([]int, len(texts)), make([][]byte, len(texts))
	for i, t := range texts {
		at[i], p[i] = t.Unsaved(nil, maxAppend)
	}
	return func() {
		n.s.mu.Lock()
		defer n.s.mu.Unlock()
		for i, t := range texts {
			size, ok := n.s.append(t.Fence, at[i], p[i])
			if !ok {
				t.Moved()
				continue
			}
			if len(p[i]) == 0 && n.known != n.s.version() {
				t.Changed()
			}
			t.Saved(size, false)
		}
	}
}

// Read implements session.Backend.
func (n *sharedNode) Read(_ context.Context, texts []*session.Text) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, t := range texts {
		r := n.s.head.Running
		if !n.s.there || r == nil || r.Fence != t.Fence || r.Reply != t.Reply {
			t.Moved()
			continue
		}
		from := t.Appended()
		t.Stored(from, []byte(n.s.text[min(from, len(n.s.text)):]), len(n.s.text))
	}
}

// Alive, Ready and Run implement session.Backend; the gate answers for them.
func (n *sharedNode) Alive(string) bool                             { return true }
func (n *sharedNode) Ready(context.Context) error                   { return nil }
func (n *sharedNode) Run(context.Context, func(session.Hint)) error { return nil }
