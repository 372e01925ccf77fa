package llm

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	longWait  = 8 * time.Second

	// quickTries is how often a rate limit is met with short waits (a free plan
	// allows about one request a second). Behind them only the next minute helps:
	// the window is one of the wall clock (MISTRAL.md section 3), and those who
	// wait for it should not all come at once.
	quickTries   = 3
	minuteSpread = 5 * time.Second
	// afterSpread is the same for a Retry-After, which many were sent at once: at
	// most half of what it asks for, and a second.
	afterSpread = 5 * time.Second
)

// retries says when to try again. It is not a library's, since none knows the
// minute, and it is shorter than what would wrap one.
type retries struct {
	max     int           // attempts after the first
	wait    time.Duration // longest single wait
	elapsed time.Duration // longest that may be waited before the last attempt (Budget)
}

// next returns how long to wait after failed attempt number try (from 0), when so
// long was waited before; ok is false when there is to be no other.
// A wait is exponential with full jitter, or what the server asked for. A server
// that asks for more than the longest wait is not asked again before.
func (r retries) next(try int, waited time.Duration, f *failure) (wait time.Duration, ok bool) {
	if !f.transient || try >= r.max {
		return 0, false
	}
	wait = rand.N(min(firstWait<<min(try, 10), longWait, r.wait) + 1)
	if f.after > 0 {
		wait = f.after
		if spread := min(wait/2+time.Second, afterSpread, r.wait-wait); spread > 0 {
			wait += rand.N(spread)
		}
	} else if f.minute > 0 && try >= quickTries {
		if minute := f.minute + rand.N(minuteSpread); minute <= r.wait {
			wait = minute
		}
	}
	return wait, wait <= r.wait && waited+wait <= r.elapsed
}

// sleep waits, or returns false when ctx ends before.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
