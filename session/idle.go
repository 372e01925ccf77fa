package session

import (
	"container/list"
	"sync"
)

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
