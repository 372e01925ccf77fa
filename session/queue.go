package session

import (
	"context"
	"sync"
	"time"
)

const (
	// overlap is how long a batch may take before the next one is sent without waiting
	// for it, so that one stuck Redis of a cluster does not hold up the others.
	overlap = 5 * time.Millisecond
	// retryAfter is the pause before what failed is sent again.
	retryAfter = 100 * time.Millisecond
	// maxBatch bounds the texts of one batch.
	maxBatch = 1024
)

// gather returns how long run waits before it takes a batch, at so many texts a second. Below
// 1,000 there is little to save. Above, it waits until eight more have come, at most 2 ms; from
// 10,000 on until three have, since others come while the batch before is in flight. A longer
// wait saves little more, and users notice it.
func gather(rate float64) time.Duration {
	more := 8.0
	switch {
	case rate < 1000:
		return 0
	case rate >= 10_000:
		more = 3
	}
	return min(2*time.Millisecond, time.Duration(more/rate*float64(time.Second)))
}

// gatherForDisk is gather on the way to a disk, where a batch costs less.
func gatherForDisk(rate float64) time.Duration {
	if rate < 10_000 {
		return 0
	}
	return 50 * time.Microsecond
}

// queue has a Backend append or read many texts in batches. A text is in at most one batch
// at a time. wake only says that a text has something to send; what it sends is read when
// its batch is sent.
type queue struct {
	// send is Backend.Append or Read. It returns when all texts have their answer.
	send func(ctx context.Context, batch []*Text)
	// afterSend returns what becomes of a text that was sent.
	afterSend func(t *Text) verdict
	serial    bool // one batch at a time, on run's goroutine
	gather    func(rate float64) time.Duration
	unused    bool // wake does nothing, since this process has everything; run is not called
	// instant: wake calls send itself, and afterSend is not called.
	instant bool

	mu     sync.Mutex // guards what follows, and Text.queue
	ready  []*Text
	signal chan struct{} // one slot
}

// queued is a text's place in its queue.
type queued struct {
	state   queueState
	again   bool          // it was woken while in flight
	shut    bool          // it is not sent any more
	drained chan struct{} // closed when it is shut and not in flight; nil: nobody waits for that
}

type queueState int

const (
	atRest queueState = iota
	isReady
	inFlight
)

// verdict is what becomes of a text that was sent.
type verdict int

const (
	rest  verdict = iota // wait until it is woken
	more                 // there is more to send
	later                // try again in a moment
	done                 // the text has ended
)

func newQueue(send func(context.Context, []*Text), afterSend func(*Text) verdict, serial bool) *queue {
	return &queue{send: send, afterSend: afterSend, serial: serial, gather: gather, signal: make(chan struct{}, 1)}
}

// wake has the text sent soon.
func (q *queue) wake(t *Text) {
	if q.instant {
		q.send(context.Background(), []*Text{t})
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.queue.shut, q.unused:
	case t.queue.state == atRest:
		q.addLocked(t)
	case t.queue.state == inFlight:
		t.queue.again = true
	}
}

func (q *queue) addLocked(t *Text) {
	t.queue.state = isReady
	q.ready = append(q.ready, t)
	if len(q.ready) == 1 {
		q.signalLocked()
	}
}

func (q *queue) signalLocked() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// shut stops sending the text, and returns a channel that is closed once the text is not in
// flight any more.
func (q *queue) shut(t *Text) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.queue.shut = true
	if t.queue.drained == nil {
		t.queue.drained = make(chan struct{})
		if t.queue.state != inFlight {
			close(t.queue.drained)
		}
	}
	return t.queue.drained
}

// isDrained reports whether a text is shut and not in flight.
func (q *queue) isDrained(t *Text) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.queue.shut && t.queue.state != inFlight
}

// open undoes shut.
func (q *queue) open(t *Text) {
	q.mu.Lock()
	t.queue.shut, t.queue.drained = false, nil
	q.mu.Unlock()
	q.wake(t)
}

// run sends batches until ctx ends, and returns when none is in flight.
func (q *queue) run(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	n, since, wait := 0, time.Now(), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.signal:
		}
		if wait > 0 {
			pause.Reset(wait)
			<-pause.C
		}
		batch := q.take()
		if len(batch) == 0 {
			continue
		}
		n += len(batch)
		if passed := time.Since(since); passed > 100*time.Millisecond {
			wait = q.gather(float64(n) / passed.Seconds())
			n, since = 0, time.Now()
		}
		if q.serial {
			q.fly(context.WithoutCancel(ctx), batch)
			continue
		}
		back := make(chan struct{})
		flights.Go(func() {
			defer close(back)
			q.fly(ctx, batch)
		})
		pause.Reset(overlap)
		select {
		case <-back:
		case <-pause.C:
		}
	}
}

// take returns a batch of the ready texts, which are in flight from now on.
func (q *queue) take() []*Text {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.ready), maxBatch)
	batch := make([]*Text, 0, n)
	for _, t := range q.ready[:n] {
		if t.queue.shut {
			t.queue.state = atRest
		} else {
			t.queue.state = inFlight
			batch = append(batch, t)
		}
	}
	q.ready = append(q.ready[:0:0], q.ready[n:]...)
	if len(q.ready) > 0 {
		q.signalLocked()
	}
	return batch
}

// fly sends a batch and lands its texts.
func (q *queue) fly(ctx context.Context, batch []*Text) {
	q.send(ctx, batch)
	for _, t := range batch {
		q.land(t, q.afterSend(t))
	}
}

// land ends a text's flight, and has it sent again if v or a wake meanwhile says so.
func (q *queue) land(t *Text, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.queue.state = atRest
	if t.queue.shut || v == done {
		t.queue.shut = true
		if t.queue.drained != nil {
			close(t.queue.drained)
		}
		return
	}
	again := t.queue.again
	t.queue.again = false
	switch {
	case v == later:
		time.AfterFunc(retryAfter, func() { q.wake(t) })
	case v == more || again:
		q.addLocked(t)
	}
}
