package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// ratioCmd loads hub and floor alike, in turn, so that what else the machine
// does in the meantime hits both.
type ratioCmd struct {
	loadCmd
	Rounds int `default:"3" help:"Runs of each."`
}

// Run runs it.
func (c *ratioCmd) Run(ctx context.Context) error {
	var hub, floor []*report
	for range c.Rounds {
		for _, peer := range []string{"hub", "floor"} {
			c.Peer = peer
			rep, err := c.measure(ctx, c.load, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", peer, err)
			}
			if rep.failed() {
				return rep.print(c.JSON)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if peer == "hub" {
				hub = append(hub, rep)
			} else {
				floor = append(floor, rep)
			}
		}
	}
	rows := compare(hub, floor)
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"ratio": rows, "hub": hub, "floor": floor})
	}
	printRatio(os.Stdout, rows, hub[0], c.Rounds)
	return nil
}

// ratioRow compares one figure: medians, and the hub's by the floor's.
type ratioRow struct {
	What  string  `json:"what"`
	Hub   float64 `json:"hub"`
	Floor float64 `json:"floor"`
	Ratio float64 `json:"ratio"`
}

func compare(hub, floor []*report) []ratioRow {
	var rows []ratioRow
	for _, f := range []struct {
		what string
		of   func(*report) float64
	}{
		{"CPU s per million tokens", func(p *report) float64 { return p.CPUPerMillion }},
		{"added latency p50, ms", func(p *report) float64 { return p.Added.P50 }},
		{"added latency p99, ms", func(p *report) float64 { return p.Added.P99 }},
		{"first text p50, ms", func(p *report) float64 { return p.First.P50 }},
		{"first text p99, ms", func(p *report) float64 { return p.First.P99 }},
		{"tokens/s", func(p *report) float64 { return p.TokensPerSecond }},
		{"frames/s", func(p *report) float64 { return p.FramesPerSecond }},
		{"tokens per frame", func(p *report) float64 { return p.TokensPerFrame }},
		{"RSS at most, MiB", func(p *report) float64 { return mib(p.Memory.Peak) }},
	} {
		row := ratioRow{What: f.what, Hub: median(hub, f.of), Floor: median(floor, f.of)}
		if row.Floor > 0 {
			row.Ratio = row.Hub / row.Floor
		}
		rows = append(rows, row)
	}
	return rows
}

func median(reps []*report, of func(*report) float64) float64 {
	v := make([]float64, len(reps))
	for i, p := range reps {
		v[i] = of(p)
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func printRatio(w io.Writer, rows []ratioRow, p *report, rounds int) {
	fmt.Fprintf(w, "over %s: %s; medians of %d\n\n", p.Upstream, &p.Load, rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\thub\tfloor\thub/floor\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t\n", r.What, r.Hub, r.Floor, r.Ratio)
	}
	t.Flush()
	fmt.Fprintln(w, "\nevery text exact, byte by byte")
}
