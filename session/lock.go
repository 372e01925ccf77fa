package session

import (
	"container/list"
	"context"
	"sync"
)

// lock is a mutex that can be waited for until a context ends. Who waits first gets it
// first. The zero value is unlocked. There is one for each conversation and most are never
// waited for, so it takes a fifth of the memory of a channel with one slot.
type lock struct {
	mu      sync.Mutex // guards what follows
	held    bool
	waiting *list.List // of chan struct{}, closed when it is that one's turn; nil: nobody has waited yet
}

// TryLock takes the lock if it is free.
func (l *lock) TryLock() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return false
	}
	l.held = true
	return true
}

// Lock waits for the lock. Errors: ctx's.
func (l *lock) Lock(ctx context.Context) error {
	l.mu.Lock()
	if !l.held {
		l.held = true
		l.mu.Unlock()
		return nil
	}
	if l.waiting == nil {
		l.waiting = list.New()
	}
	turn := make(chan struct{})
	place := l.waiting.PushBack(turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-turn: // it came at the same moment
		l.passOnLocked()
	default:
		l.waiting.Remove(place)
	}
	return ctx.Err()
}

// Unlock gives the lock to who has waited longest, or frees it.
func (l *lock) Unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passOnLocked()
}

func (l *lock) passOnLocked() {
	if l.waiting != nil && l.waiting.Len() > 0 {
		close(l.waiting.Remove(l.waiting.Front()).(chan struct{}))
		return
	}
	l.held = false
}
