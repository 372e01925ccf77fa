package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
)

// growth loads with more and more of one thing, all else being equal: the cost
// of a token should not tell which.
type growth struct {
	target
	load
	Replies []int `default:"10,100,500,2000" help:"Replies at the same time."`
	Beside  []int `default:"0,5000,20000" help:"Idle connections beside 100 replies."`
	JSON    bool  `help:"Reports as JSON, a line each."`
}

// Run runs it.
func (g *growth) Run(ctx context.Context) error {
	var loads []load
	for _, n := range g.Replies {
		l := g.load
		l.Conversations, l.Ramp = n, float64(n)
		loads = append(loads, l)
	}
	for _, n := range g.Beside {
		l := g.load
		l.Conversations, l.Idle, l.Ramp = 100, n, 2000
		loads = append(loads, l)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "replies\tidle beside\tCPU s per million tokens\tadded p50, ms\tp99, ms\ttokens/s\t")
	if g.Redis != "" {
		fmt.Fprint(t, "Redis' CPU s per million\t")
	}
	fmt.Fprintln(t)
	for _, l := range loads {
		rep, err := g.measure(ctx, l, nil)
		if err != nil {
			return err
		}
		if rep.failed() {
			return rep.print(g.JSON)
		}
		if g.JSON {
			if err := json.NewEncoder(os.Stdout).Encode(rep); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%d\t%d\t%.2f\t%.2f\t%.2f\t%.0f\t",
			l.Conversations, rep.Memory.Connections, rep.CPUPerMillion, rep.Added.P50, rep.Added.P99, rep.TokensPerSecond)
		if rep.Redis != nil {
			fmt.Fprintf(t, "%.2f\t", rep.Redis.CPUPerMillion)
		}
		fmt.Fprintln(t)
	}
	if g.JSON {
		return nil
	}
	t.Flush()
	fmt.Println("\nof few replies a token is dearer: what a hub takes anyway, connecting included, falls to fewer of them (--tokens: more)")
	return nil
}
