package explore

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Scopes are what is looked at: what can happen, and how much of it in every test
// run.
var Scopes = map[string]Scope{
	"plain":     {Ops: "sf", Depth: 14, States: 1500},
	"hints":     {Ops: "s", Faults: "HK", Most: 1, Depth: 14, States: 1500},
	"killed":    {Ops: "s", Faults: "KP", Most: 2, Depth: 20, States: 2000},
	"lost":      {Ops: "st", Faults: "KL", Most: 2, Depth: 18, States: 2000},
	"regained":  {Ops: "sg", Faults: "L", Most: 1, Depth: 16, States: 1500},
	"stopped":   {Ops: "sxg", Faults: "KT", Most: 1, Depth: 18, States: 2000},
	"stop late": {Ops: "sxg", Depth: 18, States: 4000},
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

// Any returns a scope at random, for schedules that are sampled: one of Scopes, or
// one in which more can happen. faults are those that the store can have.
func Any(rng *rand.Rand, faults string, depth int) Scope {
	if rng.IntN(2) == 0 {
		names := slices.Sorted(maps.Keys(Scopes))
		s := Scopes[names[rng.IntN(len(names))]]
		s.Depth = depth
		s.Faults = strings.Map(func(fault rune) rune {
			if !strings.ContainsRune(faults, fault) {
				return -1
			}
			return fault
		}, s.Faults)
		return s
	}
	ops := []rune("tfegxydcnnou")
	rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	kinds := []rune(faults)
	rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	return Scope{
		Ops: "s" + string(ops[:2+rng.IntN(3)]), Faults: string(kinds[:rng.IntN(len(kinds)+1)]), Most: 1 + rng.IntN(3), Depth: depth,
	}
}
