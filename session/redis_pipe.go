package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

const (
	// overlap is how long a batch may take before the next one leaves without
	// waiting for it: one Redis of a cluster that is stuck does not hold up the
	// others.
	overlap = 5 * time.Millisecond
	// retryAfter is the pause before what failed is sent again.
	retryAfter = 100 * time.Millisecond
	// busyRate is the number of items a second above which they are gathered
	// for up to gather before they leave: longer saves nothing more, and is felt.
	busyRate = 10_000
	gather   = 200 * time.Microsecond
	// maxBatch bounds the items that leave together.
	maxBatch = 1024
)

// pipe sends the commands of many items, one of each at a time, in as few
// batches as it takes. Items say that they have something to send; what that
// is, is asked when a batch leaves.
type pipe[T piped] struct {
	r *Redis
	// send sends what the items have, and gives a verdict on each. c is nil while
	// there is no Redis. After an error a line is made anew: it may lead to a
	// Redis that has become a replica.
	send func(ctx context.Context, c rueidis.CoreClient, batch []T, settle func(T, verdict)) error
	// fail gives the verdict on an item whose send panicked.
	fail func(T) verdict
	line *line // nil: the connection that all share; run's

	mu     sync.Mutex
	ready  []T
	signal chan struct{} // one slot
}

// piped is what pipe knows of an item.
type piped interface {
	comparable
	lane() *lane
}

// lane is an item's state, guarded by pipe.mu.
type lane struct {
	state laneState
	with  *flight       // in flight: with which batch
	again bool          // woken while in flight
	shut  bool          // nothing is sent any more
	still chan struct{} // closed when a flight ends after shut
}

// flight identifies a batch that is on its way. Flights are compared by address.
type flight struct{ _ byte }

type laneState int

const (
	idle laneState = iota
	queued
	flying
)

// verdict is what becomes of an item after an answer.
type verdict int

const (
	rest    verdict = iota // wait until it is woken
	more                   // there is more to send
	later                  // try again in a moment
	dropped                // the item is done with
)

func newPipe[T piped](r *Redis, send func(context.Context, rueidis.CoreClient, []T, func(T, verdict)) error, fail func(T) verdict) *pipe[T] {
	return &pipe[T]{r: r, send: send, fail: fail, signal: make(chan struct{}, 1)}
}

// wake has the item's next command sent.
func (p *pipe[T]) wake(item T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := item.lane()
	switch {
	case l.shut:
	case l.state == idle:
		p.queueLocked(item)
	case l.state == flying:
		l.again = true
	}
}

func (p *pipe[T]) queueLocked(item T) {
	item.lane().state = queued
	p.ready = append(p.ready, item)
	if len(p.ready) == 1 {
		select {
		case p.signal <- struct{}{}:
		default:
		}
	}
}

// shut sends nothing of the item any more, and returns a channel that is
// closed when nothing of it is under way.
func (p *pipe[T]) shut(item T) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := item.lane()
	l.shut = true
	if l.still == nil {
		l.still = make(chan struct{})
		if l.state != flying {
			close(l.still)
		}
	}
	return l.still
}

// run sends until ctx ends.
func (p *pipe[T]) run(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	if p.line != nil {
		defer p.line.close()
	}
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	sent, since, busy := 0, time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.signal:
		}
		if busy {
			pause.Reset(gather)
			<-pause.C
		}
		batch, on := p.take()
		if len(batch) == 0 {
			continue
		}
		sent += len(batch)
		if passed := time.Since(since); passed > 100*time.Millisecond {
			busy = float64(sent) > busyRate*passed.Seconds()
			sent, since = 0, time.Now()
		}
		c := p.r.attached(ctx)
		if p.line.serves(c) {
			// This goroutine reads the answers, as long as nothing can cancel.
			if p.fly(context.WithoutCancel(ctx), p.line.open(c), c, batch, on) != nil {
				p.line.close()
			}
			continue
		}
		done := make(chan struct{})
		flights.Go(func() {
			defer close(done)
			_ = p.fly(ctx, c, c, batch, on) // the items know
		})
		pause.Reset(overlap)
		select {
		case <-done:
		case <-pause.C:
		}
	}
}

// fly sends a batch. After a panic the items that are left are sent one by one, so that
// only the one that panics fails: as if Redis had not answered, it is tried again.
// They go over next: on a connection of its own, answers may be left unread.
func (p *pipe[T]) fly(ctx context.Context, c, next rueidis.CoreClient, batch []T, on *flight) error {
	err := Rescue(p.r.log, "a batch to Redis", uuid.Nil, func() error { return p.send(ctx, c, batch, p.settle) })
	if !errors.Is(err, ErrPanicked) {
		return err
	}
	for i, item := range batch {
		if len(batch) > 1 && p.isOn(on, item) {
			_ = p.fly(ctx, next, next, batch[i:i+1], on)
		} else if p.isOn(on, item) {
			p.settle(item, p.fail(item))
		}
	}
	return err
}

func (p *pipe[T]) isOn(on *flight, item T) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return item.lane().with == on
}

// take returns the items that are ready, which are in flight from now on.
func (p *pipe[T]) take() ([]T, *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.ready), maxBatch)
	batch, on := make([]T, 0, n), new(flight)
	for _, item := range p.ready[:n] {
		if l := item.lane(); l.shut {
			l.state = idle
		} else {
			l.state, l.with = flying, on
			batch = append(batch, item)
		}
	}
	p.ready = append(p.ready[:0:0], p.ready[n:]...)
	if len(p.ready) > 0 {
		select {
		case p.signal <- struct{}{}:
		default:
		}
	}
	return batch, on
}

// settle ends an item's flight.
func (p *pipe[T]) settle(item T, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := item.lane()
	l.state, l.with = idle, nil
	if l.shut || v == dropped {
		l.shut = true
		if l.still != nil {
			close(l.still)
		}
		return
	}
	again := l.again
	l.again = false
	switch {
	case v == later:
		time.AfterFunc(retryAfter, func() { p.wake(item) })
	case v == more || again:
		p.queueLocked(item)
	}
}
