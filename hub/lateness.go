package hub

import (
	"sync/atomic"
	"time"
)

const (
	// pulseEvery is the period of Run's heartbeat.
	pulseEvery = time.Second
	// lateAfter is a gap between two beats that means that the process was suspended, or
	// that the machine had no time for it.
	lateAfter = 2 * pulseEvery
)

// lateness sums up for how long the process did not run.
type lateness struct {
	last time.Time    // when beat was last called; owned by Run's goroutine
	sum  atomic.Int64 // nanoseconds
}

// beat is called once in pulseEvery.
func (l *lateness) beat(now time.Time) {
	if gap := now.Sub(l.last); gap >= lateAfter {
		l.sum.Add(int64(gap))
	}
	l.last = now
}

// Lateness returns for how long, in all, the process did not run when it should have. What
// arrived meanwhile waits at once, so a reader must not take that for a flood.
func (h *Hub) Lateness() time.Duration { return time.Duration(h.late.sum.Load()) }
