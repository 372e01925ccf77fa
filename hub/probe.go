package hub

import (
	"sync/atomic"
	"time"
)

// sampleEvery is how many deltas come for one whose way is measured: looking at
// the clock twice costs as much as the rest of a delta's way.
const sampleEvery = 32

// started is what monotonic times are counted from.
var started = time.Now()

func monotonic() int64 { return int64(time.Since(started)) }

// sample is a delta on its way from the model to the first socket that it is
// written to. The writer sets it when none is on its way; whoever takes it away
// measures it.
type sample struct {
	end atomic.Int64 // offset behind the delta; 0: none is on its way
	at  atomic.Int64 // when it came
}

func (s *sample) set(end int) {
	if s.end.Load() == 0 {
		s.at.Store(monotonic())
		s.end.Store(int64(end))
	}
}

// Probe measures what a Sink sends to one client. The zero value is ready; it
// belongs to whoever acts as the sink.
type Probe struct {
	since   int64 // what came before it began is no measure of its speed
	deltas  int
	arrived int64 // of a sample that was written and not yet flushed; 0: none
}

// Delta is told of every delta of r, up to offset, before it is flushed.
func (p *Probe) Delta(r *Reply, offset int) {
	p.deltas++
	end := r.sample.end.Load()
	if end == 0 || int64(offset) < end {
		return
	}
	at := r.sample.at.Load()
	if r.sample.end.CompareAndSwap(end, 0) && at > p.since {
		p.arrived = at
	}
}

// Flushed is told when what was written has left.
func (p *Probe) Flushed(m *Metrics) {
	if p.arrived == 0 {
		return
	}
	if m != nil {
		m.deltaTime.Observe(time.Duration(monotonic() - p.arrived).Seconds())
	}
	p.arrived = 0
}

// Begin and End surround one reply.
func (p *Probe) Begin() { p.since = monotonic() }

// End counts the deltas since Begin.
func (p *Probe) End(m *Metrics) {
	if m != nil && p.deltas > 0 {
		m.sent.Add(float64(p.deltas))
	}
	p.deltas = 0
}
