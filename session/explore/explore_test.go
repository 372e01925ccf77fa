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

// scopes are what is looked at: what can happen, and how much of it in every test
// run. With -states 200000 it takes minutes.
var scopes = map[string]Scope{
	"plain":     {Ops: "sf", Depth: 14, States: 1500},
	"hints":     {Ops: "s", Faults: "HK", Most: 1, Depth: 14, States: 1500},
	"killed":    {Ops: "s", Faults: "KP", Most: 2, Depth: 20, States: 2000},
	"lost":      {Ops: "st", Faults: "KL", Most: 2, Depth: 18, States: 2000},
	"regained":  {Ops: "sg", Faults: "L", Most: 1, Depth: 16, States: 1500},
	"stopped":   {Ops: "sxg", Faults: "KT", Most: 1, Depth: 18, States: 2000},
	"stop lost": {Ops: "sx", Faults: "KLH", Most: 2, Depth: 16, States: 1500},
	"yielded":   {Ops: "sy", Faults: "KL", Most: 2, Depth: 16, States: 2000},
	"deleted":   {Ops: "dcs", Faults: "L", Most: 1, Depth: 20, States: 2000},
	"created":   {Ops: "ccd", Faults: "L", Most: 2, Depth: 20, States: 1000},
	"keyed":     {Ops: "kkd", Faults: "L", Most: 1, Depth: 20, States: 1000},
	"edited":    {Ops: "sexg", Faults: "L", Most: 1, Depth: 16, States: 2000},
	"again":     {Ops: "eqgr", Faults: "L", Most: 1, Depth: 16, States: 1500},
	"failover":  {Ops: "sf", Faults: "PR", Most: 3, Depth: 18, States: 2500},
	"connected": {Ops: "snno", Faults: "KH", Most: 1, Depth: 18, States: 1000},
	"slow":      {Ops: "su", Faults: "TK", Most: 2, Depth: 16, States: 1500},
}

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
	for name, scope := range scopes {
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
