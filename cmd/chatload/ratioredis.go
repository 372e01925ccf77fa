package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// What the hub with Redis may take (issue 12).
const (
	askedCPU     = 1.5 // of the hub in memory, at 500 replies
	askedCPUFew  = 1.9 // at 100, where fewer tokens share a script
	askedLate    = 3.0 // ms beyond one round trip, at p99
	askedLateFor = 250 // replies
)

// redisCmd loads a hub in memory and one with Redis alike.
type redisCmd struct{ ratioCmd }

// Run runs it.
func (c *redisCmd) Run(ctx context.Context) error {
	if c.URL != "" || c.Peer != "hub" {
		return errors.New("ratio redis starts both hubs: --url and --peer=floor have no place in it")
	}
	memory, redis := &side{target: c.target}, &side{target: c.target}
	memory.Redis = ""
	if redis.Redis == "" {
		redis.Redis = ownRedis // REDIS_URL is set, and empty
	}
	if err := c.inTurns(ctx, memory, redis); err != nil {
		return err
	}
	price := newRedisPrice(memory.reports, redis.reports)
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"price": price, "memory": memory.reports, "redis": redis.reports})
	}
	price.print(os.Stdout, redis.reports[0], c.Rounds)
	return nil
}

// redisPrice compares the hub with Redis to the hub in memory: medians.
type redisPrice struct {
	Rows        []redisRow `json:"rows"`
	CPURatio    float64    `json:"cpu_ratio"` // hub and Redis by the hub in memory
	TripP50     float64    `json:"round_trip_p50_ms"`
	TripP99     float64    `json:"round_trip_p99_ms"`
	LateByP50   float64    `json:"p99_less_round_trip_p50_ms"` // added latency p99, less one round trip
	LateByP99   float64    `json:"p99_less_round_trip_p99_ms"`
	CommandsPer float64    `json:"commands_per_thousand_tokens"`
	ScriptsPer  float64    `json:"scripts_per_thousand_tokens"`
}

// redisRow is one figure of both.
type redisRow struct {
	What   string  `json:"what"`
	Memory float64 `json:"memory"`
	Redis  float64 `json:"redis"`
	More   float64 `json:"more"`
	Ratio  float64 `json:"ratio,omitempty"` // 0: there is nothing to compare with
}

func newRedisPrice(memory, redis []*report) *redisPrice {
	p := new(redisPrice)
	row := func(what string, ofMemory, ofRedis func(*report) float64) redisRow {
		r := redisRow{What: what, Memory: median(memory, ofMemory), Redis: median(redis, ofRedis)}
		if r.More = r.Redis - r.Memory; r.Memory > 0 {
			r.Ratio = r.Redis / r.Memory
		}
		p.Rows = append(p.Rows, r)
		return r
	}
	none := func(*report) float64 { return 0 }
	own := func(r *report) float64 { return r.Redis.CPUPerMillion }
	both := func(r *report) float64 { return r.CPUPerMillion + r.Redis.CPUPerMillion }
	row("CPU s per million tokens: the hub", hubCPU, hubCPU)
	row("Redis", none, own)
	p.CPURatio = row("both", hubCPU, both).Ratio
	for _, f := range slices.Concat(latencies, amounts) {
		row(f.what, f.of, f.of)
	}
	p.TripP50 = median(redis, func(r *report) float64 { return r.Redis.RoundTrip.P50 })
	p.TripP99 = median(redis, func(r *report) float64 { return r.Redis.RoundTrip.P99 })
	p.LateByP50 = median(redis, func(r *report) float64 { return r.Added.P99 - r.Redis.RoundTrip.P50 })
	p.LateByP99 = median(redis, func(r *report) float64 { return r.Added.P99 - r.Redis.RoundTrip.P99 })
	p.CommandsPer = median(redis, func(r *report) float64 { return r.Redis.CommandsPer })
	p.ScriptsPer = median(redis, func(r *report) float64 { return r.Redis.ScriptsPer })
	return p
}

func (p *redisPrice) print(w io.Writer, one *report, rounds int) {
	fmt.Fprintf(w, "over %s, %s: %s; medians of %d\n\n", one.Upstream, one.Redis, &one.Load, rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tin memory\twith Redis\tmore\tratio\t")
	for _, r := range p.Rows {
		memory, ratio := "", ""
		if r.Ratio > 0 {
			memory, ratio = fmt.Sprintf("%.2f", r.Memory), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%+.2f\t%s\t\n", r.What, memory, r.Redis, r.More, ratio)
	}
	t.Flush()
	fmt.Fprintf(w, "\nCPU of hub and Redis together: %.2f of the hub's in memory (asked: at most %.1f at 500 replies, %.1f at 100)\n",
		p.CPURatio, askedCPU, askedCPUFew)
	fmt.Fprintf(w, "one round trip of Redis under this load: p50 %.2f ms, p99 %.2f ms\n", p.TripP50, p.TripP99)
	fmt.Fprintf(w, "added latency p99 less one round trip: %.2f ms by its p50, %.2f ms by its p99 (asked: below %.0f at %d replies)\n",
		p.LateByP50, p.LateByP99, askedLate, askedLateFor)
	fmt.Fprintf(w, "per thousand tokens: %.1f Redis commands, of them %.1f scripts that the hub sent and the rest by those\n", p.CommandsPer, p.ScriptsPer)
	fmt.Fprintln(w, "\nevery text exact, byte by byte")
}
