package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// stormCmd loses all connections at once amid their replies, so that all
// clients resume together. With a store that outlives the hub (--redis) the hub
// is killed and started again; in memory only the connections are cut, since a
// restart would end the conversations too.
type stormCmd struct {
	loadCmd
	After time.Duration `default:"6s" help:"When, counted from the first conversation; later, if they are not all connected by then."`
}

// Run runs it.
func (c *stormCmd) Run(ctx context.Context) error {
	rep, err := c.measure(ctx, c.load, func(ctx context.Context, r *run) {
		if !pause(ctx, c.After) || !r.awaitAll(ctx) {
			return
		}
		r.storm.Store(true)
		if c.Redis == "" || r.peer.proc == nil {
			r.cut()
			return
		}
		r.peer.proc.stop(os.Kill)
		if err := r.peer.proc.start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "chatload: restart:", err)
		}
	})
	if err != nil {
		return err
	}
	return rep.print(c.JSON)
}

// awaitAll waits until every connection stands, or a conversation has ended
// before. It tells whether ctx let it.
func (r *run) awaitAll(ctx context.Context) bool {
	for late := time.Now().Add(r.Patience); time.Now().Before(late); {
		if c := r.tally.counts(); c.Joined >= r.Conversations+r.Idle || c.Replies > 0 {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return ctx.Err() == nil
}
