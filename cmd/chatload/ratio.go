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

// ratioCmd loads hub and floor alike.
type ratioCmd struct {
	loadCmd
	Rounds int `default:"3" help:"Runs of each."`
}

// side is one of two that are compared.
type side struct {
	target
	reports []*report
}

// inTurns loads the sides alike, one after the other and all of that as often
// as asked, so that what else the machine does in the meantime hits all. A run
// that failed ends it, reported.
func (c *ratioCmd) inTurns(ctx context.Context, sides ...*side) error {
	for range c.Rounds {
		for _, s := range sides {
			rep, err := s.measure(ctx, c.load, nil)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", s.Peer, err)
			case rep.failed():
				return rep.print(c.JSON)
			case ctx.Err() != nil:
				return context.Cause(ctx)
			}
			s.reports = append(s.reports, rep)
		}
	}
	return nil
}

// Run runs it.
func (c *ratioCmd) Run(ctx context.Context) error {
	hub, floor := &side{target: c.target}, &side{target: c.target}
	hub.Peer, floor.Peer = "hub", "floor"
	if err := c.inTurns(ctx, hub, floor); err != nil {
		return err
	}
	rows := compare(hub.reports, floor.reports, slices.Concat(cpus, latencies, amounts))
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"ratio": rows, "hub": hub.reports, "floor": floor.reports})
	}
	printRatio(os.Stdout, "hub", "floor", rows, hub.reports[0], c.Rounds)
	return nil
}

// ratioRow compares one figure: medians, and the first's by the second's.
type ratioRow struct {
	What  string  `json:"what"`
	Hub   float64 `json:"hub"`
	Floor float64 `json:"floor"` // or of what else stands there to compare with
	Ratio float64 `json:"ratio"`
}

// figure is one that reports are compared by.
type figure struct {
	what string
	of   func(*report) float64
}

// latencies are the figures of time.
var latencies = []figure{
	{"added latency p50, ms", func(p *report) float64 { return p.Added.P50 }},
	{"added latency p99, ms", func(p *report) float64 { return p.Added.P99 }},
	{"first text p50, ms", func(p *report) float64 { return p.First.P50 }},
	{"first text p99, ms", func(p *report) float64 { return p.First.P99 }},
}

// amounts are those of how much.
var amounts = []figure{
	{"tokens/s", func(p *report) float64 { return p.TokensPerSecond }},
	{"frames/s", func(p *report) float64 { return p.FramesPerSecond }},
	{"tokens per frame", func(p *report) float64 { return p.TokensPerFrame }},
	{"RSS at most, MiB", func(p *report) float64 { return mib(p.Memory.Peak) }},
}

func hubCPU(p *report) float64 { return p.CPUPerMillion }

// cpus is the figure of processor time.
var cpus = []figure{{"CPU s per million tokens", hubCPU}}

func compare(hub, floor []*report, figures []figure) []ratioRow {
	var rows []ratioRow
	for _, f := range figures {
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

// printRatio writes the rows for people, under the two names.
func printRatio(w io.Writer, one, other string, rows []ratioRow, p *report, rounds int) {
	fmt.Fprintf(w, "over %s: %s; medians of %d\n\n", p.Upstream, &p.Load, rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\t%[1]s\t%[2]s\t%[1]s/%[2]s\t\n", one, other)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t\n", r.What, r.Hub, r.Floor, r.Ratio)
	}
	t.Flush()
	fmt.Fprintln(w, "\nevery text exact, byte by byte")
}
