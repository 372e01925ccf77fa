package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLock: who waits first gets it first; who gives up is passed over.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lock
		if !l.TryLock() || l.TryLock() {
			t.Fatal("it is not held by one")
		}
		var got []int // guarded by l
		var waiting sync.WaitGroup
		for i := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 1 {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
			}
			waiting.Go(func() {
				if err := l.Lock(ctx); err != nil {
					if i%2 == 0 || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%d: %v", i, err)
					}
					return
				}
				got = append(got, i)
				l.Unlock()
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Second) // the odd ones give up
		l.Unlock()
		waiting.Wait()
		if want := []int{0, 2, 4}; !slices.Equal(got, want) {
			t.Errorf("%v got it, want %v", got, want)
		}
		if !l.TryLock() {
			t.Error("it is held by nobody, and not free")
		}
	})
}

// TestLockGivenUpInTime: a turn that comes at the moment in which its waiter gives up is not
// lost.
func TestLockGivenUpInTime(t *testing.T) {
	for range 2000 {
		var l lock
		l.TryLock()
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(cancel)
		all.Go(l.Unlock)
		all.Go(func() {
			if l.Lock(ctx) == nil {
				l.Unlock()
			}
		})
		all.Wait()
		if !l.TryLock() {
			t.Fatal("nobody has it, and it is not free")
		}
	}
}
