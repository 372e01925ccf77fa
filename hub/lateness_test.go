package hub

import (
	"testing"
	"time"
)

// TestLateness: what comes a little late is no pause, and pauses add up.
func TestLateness(t *testing.T) {
	h := new(Hub)
	now := time.Now()
	h.late.last = now
	for _, step := range []struct{ gap, sum time.Duration }{
		{pulseEvery, 0}, {lateAfter - 1, 0}, {lateAfter, lateAfter}, {0, lateAfter}, {time.Minute, lateAfter + time.Minute},
	} {
		now = now.Add(step.gap)
		h.late.beat(now)
		if got := h.Lateness(); got != step.sum {
			t.Errorf("behind a gap of %v: %v, want %v", step.gap, got, step.sum)
		}
	}
}
