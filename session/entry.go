package session

import (
	"container/list"
	"sync"
	"time"

	"github.com/google/uuid"
)

// entry is one session in Memory.
type entry struct {
	id      uuid.UUID // these four never change
	owner   string
	key     string // of Memory.keys; "": none
	created time.Time

	mu       sync.Mutex // guards what follows
	updated  time.Time
	messages []Message         // only appended to, or cut with its capacity: readers keep slices of it
	byID     map[uuid.UUID]int // index in messages
	running  *Running
	seq      int64 // the last that was given
	pins     int   // open connections and running replies
	expires  time.Time
	gone     bool // it is no longer in the store

	idle *list.Element // guarded by idleList.mu
}

func (e *entry) empty() bool { return len(e.messages) == 0 && e.running == nil }

func (e *entry) expired(now time.Time) bool {
	return e.pins == 0 && e.running == nil && now.After(e.expires)
}

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
	}
	e.messages = e.messages[:n:n]
	e.updated = Now()
}

// view returns the session with the messages behind after.
func (e *entry) view(after Position) Session {
	s := Session{ID: e.id, CreatedAt: e.created, UpdatedAt: e.updated, Owner: e.owner, Running: e.running}
	n := 0
	if i, ok := e.byID[after.ID]; ok {
		n = i + 1
	} else if e.running != nil && e.running.Reply == after.ID {
		n = len(e.messages)
	} else if after.Seq > 0 {
		// What it named is gone. Cuts take everything behind a point, so all
		// that is older and still here was here then.
		n = search(e.messages, after.Seq)
	}
	if n > 0 {
		s.After = e.messages[n-1].Position()
	}
	s.Messages = e.messages[n:len(e.messages):len(e.messages)]
	if s.Messages == nil {
		s.Messages = []Message{}
	}
	return s
}

// say does one turn. See Store.Say.
func (e *entry) say(t Turn) (Said, error) {
	switch t.Kind {
	case Submit:
		if i, ok := e.byID[t.User.ID]; ok {
			return e.sayAgain(i, t)
		}
	case Edit:
		if e.running != nil {
			return Said{}, ErrBusy
		}
		if i, ok := e.byID[t.User.ID]; ok {
			if e.messages[i].Role != User {
				return Said{}, ErrReused
			}
			e.cut(i)
		}
	case Regenerate:
		if t.Of != uuid.Nil {
			if _, ok := e.byID[t.Of]; !ok && (e.running == nil || e.running.Reply != t.Of) {
				return Said{Done: true}, nil
			}
		}
		if e.running != nil {
			return Said{}, ErrBusy
		}
		last := len(e.messages) - 1
		if last < 0 || t.Of != uuid.Nil && e.messages[last].ID != t.Of {
			return Said{}, ErrNothing
		}
		if e.messages[last].Role == Assistant {
			e.cut(last)
			last--
		}
		return e.start(last, t), nil
	case Again:
		if e.running != nil {
			return Said{}, ErrBusy
		}
		i, ok := e.byID[t.Of]
		if !ok || e.messages[i].Role != User {
			return Said{}, ErrNothing
		}
		e.cut(i + 1)
		return e.start(i, t), nil
	}
	if e.running != nil {
		return Said{}, ErrBusy
	}
	t.User.Role = User
	t.User.Seq = e.nextSeq()
	e.append(t.User)
	return e.start(len(e.messages)-1, t), nil
}

// sayAgain answers a message id that is known, at index i.
func (e *entry) sayAgain(i int, t Turn) (Said, error) {
	m := e.messages[i]
	if m.Role != User || m.Content != t.User.Content {
		return Said{}, ErrReused
	}
	said := Said{User: m, Before: e.before(i)}
	if e.running != nil && e.running.User.ID == m.ID {
		said.Running = e.running
		return said, nil
	}
	if i+1 < len(e.messages) && e.messages[i+1].Role == Assistant {
		reply := e.messages[i+1]
		if reply.FinishReason != FinishError || i+2 < len(e.messages) || e.running != nil {
			said.Ended = &reply
			return said, nil
		}
		e.cut(i + 1)
	}
	if e.running != nil {
		return Said{}, ErrBusy
	}
	return e.start(i, t), nil
}

// start makes t.Reply the running reply to the message at index i, the last.
func (e *entry) start(i int, t Turn) Said {
	m := e.messages[i]
	e.running = &Running{Reply: t.Reply, User: m.Position(), Seq: e.nextSeq(), Model: t.Model}
	e.updated = Now()
	return Said{
		User: m, Before: e.before(i), Started: true, Running: e.running,
		History: e.messages[: i+1 : i+1],
	}
}

func (e *entry) before(i int) uuid.UUID {
	if i == 0 {
		return uuid.Nil
	}
	return e.messages[i-1].ID
}

// idleList holds the sessions in which nothing was said and which nobody
// holds, oldest first: those that go when there is no room. The zero value is
// ready. Its lock is taken last.
type idleList struct {
	mu sync.Mutex
	l  list.List
}

func (i *idleList) add(e *entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e.idle == nil {
		e.idle = i.l.PushBack(e)
	}
}

func (i *idleList) remove(e *entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e.idle != nil {
		i.l.Remove(e.idle)
		e.idle = nil
	}
}

// oldest takes the oldest out of the list and returns it, or nil.
func (i *idleList) oldest() *entry {
	i.mu.Lock()
	defer i.mu.Unlock()
	front := i.l.Front()
	if front == nil {
		return nil
	}
	e := i.l.Remove(front).(*entry)
	e.idle = nil
	return e
}
