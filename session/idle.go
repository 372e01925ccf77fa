package session

import (
	"container/list"
	"sync"

	"github.com/google/uuid"
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

// holds counts Store.Hold less Store.Release. It counts by id and not by
// entry, since a session can be deleted and made again under its id while an
// old connection has yet to let go. The zero value is ready. Its lock is taken
// last.
type holds struct {
	mu sync.Mutex
	n  map[uuid.UUID]int
}

func (h *holds) add(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == nil {
		h.n = make(map[uuid.UUID]int)
	}
	h.n[id]++
}

// drop takes one hold away and returns how many are left.
func (h *holds) drop(id uuid.UUID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.n[id] - 1
	if n <= 0 {
		delete(h.n, id)
		return 0
	}
	h.n[id] = n
	return n
}

func (h *holds) held(id uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n[id] > 0
}
