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

// sample is a delta on its way to the first client that it is sent to. The reply's
// writer sets it when none is on its way; whoever takes it away measures it.
type sample struct {
	end atomic.Int64 // offset behind the delta; 0: none is on its way
	at  atomic.Int64 // when it came
}

// Sample starts a latency measurement for the delta about to be appended, unless one is
// running. It reads the clock: call it for some deltas only.
func (r *Reply) Sample(delta []byte) {
	if r.sample.end.Load() == 0 {
		r.sample.at.Store(monotonic())
		r.sample.end.Store(int64(r.Appended() + len(delta)))
	}
}

// started is what monotonic times are counted from.
var started = time.Now()

func monotonic() int64 { return int64(time.Since(started)) }

// delivered is called when all up to f's place has left.
func (f *follower) delivered() {
	s := &f.r.sample
	end := s.end.Load()
	if end == 0 || int64(f.at.Off()) < end {
		return
	}
	at := s.at.Load()
	// What came before f began is no measure of its speed.
	if s.end.CompareAndSwap(end, 0) && at > f.since && f.out.Meter != nil {
		f.out.Meter.Delivered(time.Duration(monotonic() - at))
	}
}
