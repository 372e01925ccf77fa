package hub

import (
	"sync/atomic"
	"time"
)

const (
	// pulseEvery is how often Run looks whether it runs when it should.
	pulseEvery = time.Second
	// lateAfter is the shortest pause that counts: the process was stopped, or the
	// machine had no time for it.
	lateAfter = 2 * pulseEvery
)

// lateness adds up the time for which the process did not run. Only Run calls beat;
// any goroutine may read sum.
type lateness struct {
	last time.Time    // of the beats; Run's
	sum  atomic.Int64 // nanoseconds
}

// beat is called once in pulseEvery.
func (l *lateness) beat(now time.Time) {
	if gap := now.Sub(l.last); gap >= lateAfter {
		l.sum.Add(int64(gap))
	}
	l.last = now
}

// Lateness returns for how long, in all, the process has not run when it should have.
// Input that piled up meanwhile is no flood of its sender's.
func (h *Hub) Lateness() time.Duration { return time.Duration(h.late.sum.Load()) }
