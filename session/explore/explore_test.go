package explore

import (
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

var (
	states   = flag.Int("states", 0, "states of each scope that are looked at; 0: each scope's own")
	only     = flag.String("scope", "", "look at this scope alone")
	seeds    = flag.Uint64("seeds", 300, "how many schedules are sampled")
	fromSeed = flag.Uint64("seed", 0, "the first of them")
	shows    = flag.Bool("show", false, "tell what was looked at")
)

// TestSample takes longer schedules at random, with more that happens in them.
func TestSample(t *testing.T) {
	for seed := *fromSeed; seed < *fromSeed+*seeds && !t.Failed(); seed++ {
		Sample(t, seed, "KPLRTH", 60, 2, func(id uuid.UUID) Store { return NewShared(id) })
	}
}

// found tells that something does not hold.
var found atomic.Bool

// TestExplore looks at every schedule of every scope, as far as the bounds go.
func TestExplore(t *testing.T) {
	for name, scope := range Scopes {
		if *only != "" && *only != name {
			continue
		}
		if *states > 0 {
			scope.States = *states
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found.Load() {
				return // one thing at a time
			}
			began := time.Now()
			r := Exhaust(t, scope)
			if r.Found != "" {
				found.Store(true)
				t.Errorf("%+v: %v", scope, r)
			}
			if r.Strayed > r.Runs/10 {
				t.Errorf("%+v: %d of %d runs strayed, the first in %q", scope, r.Strayed, r.Runs, r.Astray)
			}
			if *shows {
				t.Logf("%v in %v", r, time.Since(began).Round(time.Millisecond))
			}
		})
	}
}
