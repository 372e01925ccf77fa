package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quietCheck is the period of giveBackMemory.
	quietCheck = 15 * time.Second
	// worthFreeing is how much must have been allocated since the last time, in
	// bytes: each time costs a collection.
	worthFreeing = 1 << 20
)

// giveBackMemory returns memory to the system whenever the process has become
// quiet, until ctx ends. The runtime alone keeps what connecting took: with
// thousands of idle connections that is as much as they need themselves.
func giveBackMemory(ctx context.Context) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, // live, and garbage not yet collected
	}
	tick := time.NewTicker(quietCheck)
	defer tick.Stop()
	var before, freedAt uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		allocs, objects := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		allocated := allocs - before
		before = allocs
		if !quiet(allocated, objects) || allocs-freedAt < worthFreeing {
			continue
		}
		debug.FreeOSMemory()
		metrics.Read(samples[:1])
		before = samples[0].Value.Uint64()
		freedAt = before
	}
}

// quiet reports whether so little was allocated between two looks that the next
// collection is far off. To keep thousands of conversations alive in Redis is quiet, too.
func quiet(allocated, objects uint64) bool {
	return allocated < max(objects/2, 1<<20)
}
