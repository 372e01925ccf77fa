package reply

import (
	"sync/atomic"
	"time"
)

// Meter counts what a client is sent. Its methods may be called concurrently.
type Meter interface {
	// Sent: a client got so many deltas of a reply.
	Sent(deltas int)
	// Delivered: a delta took so long from the model to a client's socket.
	Delivered(took time.Duration)
}

// sample is a delta whose time to the first client is measured. The reply's writer sets
// it if there is none; the follower that clears it reports the time.
type sample struct {
	end atomic.Int64 // offset of the delta's end; 0: there is no sample
	at  atomic.Int64 // when the delta came, in monotonic's nanoseconds
}

// Sample starts a latency measurement for the delta about to be appended, unless one is
// running. It reads the clock: call it for some deltas only.
func (r *Reply) Sample(delta []byte) {
	if r.sample.end.Load() == 0 {
		r.sample.at.Store(monotonic())
		r.sample.end.Store(int64(r.Appended() + len(delta)))
	}
}

// started is the zero of monotonic.
var started = time.Now()

// monotonic is the time since started, in nanoseconds.
func monotonic() int64 { return int64(time.Since(started)) }

// delivered is called when all text up to f's place was written to the socket.
func (f *follower) delivered() {
	s := &f.r.sample
	end := s.end.Load()
	if end == 0 || int64(f.at.Off()) < end {
		return
	}
	at := s.at.Load()
	// A delta from before f joined says nothing about f's speed.
	if s.end.CompareAndSwap(end, 0) && at > f.since && f.out.Meter != nil {
		f.out.Meter.Delivered(time.Duration(monotonic() - at))
	}
}
