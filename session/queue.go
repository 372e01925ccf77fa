package session

import (
	"context"
	"sync"
	"time"
)

const (
	// overlap is how long a batch may take before the next one leaves without
	// waiting for it: one Redis of a cluster that is stuck does not hold up the
	// others.
	overlap = 5 * time.Millisecond
	// retryAfter is the pause before what failed is sent again.
	retryAfter = 100 * time.Millisecond
	// busyRate is the number of texts a second above which they are gathered before
	// they leave: for gather, or, on the way to a disk, for gatherDisk. Longer saves
	// nothing more, and is felt.
	busyRate   = 10_000
	gather     = 200 * time.Microsecond
	gatherDisk = 50 * time.Microsecond
	// maxBatch bounds the texts that leave together.
	maxBatch = 1024
)

// queue has a Backend append or read many texts, each once at a time, in as few
// batches as it takes. Texts say that they have something to send; what that is,
// is asked when a batch leaves.
type queue struct {
	// send sends what the texts have. It returns when all of them know.
	send func(ctx context.Context, batch []*Text)
	// sent looks at a text that was sent, and says what becomes of it.
	sent   func(t *Text) verdict
	serial bool // one batch at a time, on run's goroutine
	unused bool // nothing is sent, since this process has everything; run is not called
	// instant: wake sends at once, and knows what becomes of it. run finds nothing.
	instant bool

	mu     sync.Mutex // guards what follows, and Text.queue
	ready  []*Text
	signal chan struct{} // one slot
}

// queued is a text's place in its queue.
type queued struct {
	state   queueState
	again   bool          // woken while in flight
	shut    bool          // nothing is sent any more
	drained chan struct{} // closed when a flight ends after shut
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

func newQueue(send func(context.Context, []*Text), sent func(*Text) verdict, serial bool) *queue {
	return &queue{send: send, sent: sent, serial: serial, signal: make(chan struct{}, 1)}
}

// wake has the text sent.
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

// shut sends nothing of the text any more, and returns a channel that is closed
// when nothing of it is under way.
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

// isDrained tells whether nothing of a text that was shut is under way.
func (q *queue) isDrained(t *Text) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.queue.shut && t.queue.state != inFlight
}

// open takes a shut back, if the text's end could not be stored.
func (q *queue) open(t *Text) {
	q.mu.Lock()
	t.queue.shut, t.queue.drained = false, nil
	q.mu.Unlock()
	q.wake(t)
}

// run sends until ctx ends, and returns when all of it is back.
func (q *queue) run(ctx context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	n, since, busy, gathers := 0, time.Now(), false, gather
	if q.serial {
		gathers = gatherDisk
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.signal:
		}
		if busy {
			pause.Reset(gathers)
			<-pause.C
		}
		batch := q.take()
		if len(batch) == 0 {
			continue
		}
		n += len(batch)
		if passed := time.Since(since); passed > 100*time.Millisecond {
			busy = float64(n) > busyRate*passed.Seconds()
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

// take returns the texts that are ready, which are in flight from now on.
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

func (q *queue) fly(ctx context.Context, batch []*Text) {
	q.send(ctx, batch)
	for _, t := range batch {
		q.land(t, q.sent(t))
	}
}

// land ends a text's flight.
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
