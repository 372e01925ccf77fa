package session

import (
	"container/list"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"
)

// entry is one session in Memory. No goroutine holds the locks of two entries,
// but for Create, whose own entry nobody can reach by way of the idle list.
type entry struct {
	id      uuid.UUID // these five never change
	born    uuid.UUID
	owner   string
	key     uuid.UUID // that made it; nil: none
	created time.Time

	mu       sync.Mutex // guards what follows
	updated  time.Time
	messages []Message         // only appended to, or cut with its capacity: readers keep slices of it
	byID     map[uuid.UUID]int // index in messages
	edited   map[uuid.UUID]struct{}
	running  *Running  // replaced, never changed
	seq      int64     // the last that was given
	held     int       // Store.Hold less Store.Release
	expires  time.Time // unless a reply runs or somebody holds it
	gone     bool      // it is no longer in the store

	idle *list.Element // guarded by idleList.mu
}

func newEntry(c Creation) *entry {
	now := Now()
	return &entry{id: c.ID, born: uuid.New(), owner: c.Owner, key: c.Key, created: now, updated: now}
}

func (e *entry) ref() Ref { return Ref{e.id, e.born} }

func (e *entry) empty() bool { return len(e.messages) == 0 && e.running == nil }

func (e *entry) nextSeq() int64 { e.seq++; return e.seq }

func (e *entry) append(m Message) {
	if e.byID == nil {
		e.byID = make(map[uuid.UUID]int)
	}
	e.byID[m.ID] = len(e.messages)
	e.messages = append(e.messages, m)
	e.updated = Now()
}

// cut forgets the messages from index n on.
func (e *entry) cut(n int) {
	for _, m := range e.messages[n:] {
		delete(e.byID, m.ID)
		delete(e.edited, m.ID)
	}
	e.messages = e.messages[:n:n]
	e.updated = Now()
}

// view returns the session with the messages behind after.
func (e *entry) view(after Position) Session {
	s := Session{ID: e.id, Born: e.born, CreatedAt: e.created, UpdatedAt: e.updated, Owner: e.owner, Running: e.running}
	n := e.behind(after)
	if n > 0 {
		s.After = e.messages[n-1].Position()
	}
	s.Messages = e.messages[n:len(e.messages):len(e.messages)]
	if s.Messages == nil {
		s.Messages = []Message{}
	}
	return s
}

// behind returns the index of the first message behind the place p.
func (e *entry) behind(p Position) int {
	i, known := e.byID[p.ID]
	known = known && p.ID != uuid.Nil
	switch {
	case known && p.Seq == 0:
		// Somebody who knows the id alone may have the text from before an edit.
		for i >= 0 && e.isEdited(i) {
			i--
		}
		return i + 1
	case known && e.messages[i].Seq == p.Seq:
		return i + 1
	case e.running != nil && e.running.Reply == p.ID:
		return len(e.messages)
	}
	// What it named is gone, or was edited. Cuts take everything behind a
	// point, so all that is older and still here was here then.
	return sort.Search(len(e.messages), func(i int) bool { return e.messages[i].Seq > p.Seq })
}

func (e *entry) isEdited(i int) bool {
	_, ok := e.edited[e.messages[i].ID]
	return ok
}

func (e *entry) setEdited(id uuid.UUID) {
	if e.edited == nil {
		e.edited = make(map[uuid.UUID]struct{})
	}
	e.edited[id] = struct{}{}
}
