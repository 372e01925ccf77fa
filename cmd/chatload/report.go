package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// percentiles are of one timing, in milliseconds.
type percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99.9_ms"`
	Max   float64 `json:"max_ms"`
}

func percentilesOf(t timing) percentiles {
	at := func(q float64) float64 { return float64(t.ValueAtQuantile(q)) / 1000 }
	return percentiles{t.TotalCount(), at(50), at(90), at(99), at(99.9), float64(t.Max()) / 1000}
}

// report is what a run found. Of the peer's cost only what a child of ours
// took is known; it is zero otherwise.
type report struct {
	Peer     string `json:"peer"`
	Upstream string `json:"upstream"`
	Load     load   `json:"load"`

	Seconds         float64 `json:"seconds"` // from the first conversation to the end of the last
	Conversations   int     `json:"conversations"`
	Replies         int     `json:"replies"`
	Tokens          int     `json:"tokens"`
	Frames          int     `json:"frames"`
	WireBytes       int     `json:"wire_bytes"` // of the frames that brought text
	PerSecond       float64 `json:"conversations_per_second"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	FramesPerSecond float64 `json:"frames_per_second"`
	TokensPerFrame  float64 `json:"tokens_per_frame"`

	Added   percentiles `json:"added"`
	Acked   percentiles `json:"acknowledged"`
	First   percentiles `json:"first_token"`
	Connect percentiles `json:"connect"`
	Ready   percentiles `json:"ready"`
	Resume  percentiles `json:"resume"`

	CPUSeconds     float64 `json:"cpu_seconds"`
	CPUPerMillion  float64 `json:"cpu_seconds_per_million_tokens"`
	LoadCPUSeconds float64 `json:"load_cpu_seconds"` // chatload's own, the simulator's included
	Memory         memory  `json:"memory"`

	Redis *redisCost `json:"redis,omitempty"` // the hub's store, where it is known
	File  *fileCost  `json:"file,omitempty"`  // the same, of a hub with a directory

	Drops    int            `json:"drops"`
	Lost     int            `json:"lost"`
	Restarts int            `json:"restarts"`
	Refused  int            `json:"refused"` // told to come back later
	Absent   int            `json:"absent"`  // found nobody, while the peer was down
	Inexact  int            `json:"inexact"`
	Failures map[string]int `json:"failures,omitempty"`
}

// memory is the peer's resident set, in bytes.
type memory struct {
	Start       int `json:"start"`        // before the first connection
	Idle        int `json:"idle"`         // with the idle connections, settled
	Peak        int `json:"peak"`         // largest seen during the conversations
	End         int `json:"end"`          // when the last had ended
	Connections int `json:"connections"`  // idle ones
	PerIdle     int `json:"per_idle"`     // (Idle - Start) / Connections
	TotalPer    int `json:"per_idle_all"` // Idle / Connections
	Text        int `json:"text"`         // bytes of all replies, each once
}

// fill takes what the clients counted over a time.
func (p *report) fill(s *shard, took time.Duration, tokenBytes int) {
	p.Seconds = took.Seconds()
	p.Conversations, p.Replies, p.Frames, p.WireBytes = s.counts.Conversations, s.Replies, s.Frames, s.Wire
	p.Tokens = s.Bytes / tokenBytes
	if took > 0 {
		p.PerSecond = float64(p.Conversations) / p.Seconds
		p.TokensPerSecond = float64(p.Tokens) / p.Seconds
		p.FramesPerSecond = float64(p.Frames) / p.Seconds
	}
	if p.Frames > 0 {
		p.TokensPerFrame = float64(p.Tokens) / float64(p.Frames)
	}
	if p.Tokens > 0 {
		p.CPUPerMillion = p.CPUSeconds / float64(p.Tokens) * 1e6
	}
	if p.Redis != nil {
		p.Redis.fill(p.Tokens)
	}
	if p.File != nil {
		p.File.fill(s.Bytes)
	}
	p.Memory.Text = s.Bytes
	p.Added, p.Acked, p.First = percentilesOf(s.added), percentilesOf(s.acked), percentilesOf(s.first)
	p.Connect, p.Ready, p.Resume = percentilesOf(s.connect), percentilesOf(s.ready), percentilesOf(s.resume)
	p.Drops, p.Lost, p.Restarts, p.Refused, p.Absent, p.Inexact = s.Drops, s.Lost, s.Restarts, s.Refused, s.Absent, s.Inexact
	if len(s.failures) > 0 {
		p.Failures = s.failures
	}
}

// failed says whether the peer broke a promise.
func (p *report) failed() bool { return p.Inexact > 0 || len(p.Failures) > 0 }

// json writes the report as one line.
func (p *report) json(w io.Writer) error { return json.NewEncoder(w).Encode(p) }

// table writes the report for people.
func (p *report) table(w io.Writer) {
	l := p.Load
	fmt.Fprintf(w, "%s over %s: %s\n\n", p.Peer, p.Upstream, &l)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms\tcount\tp50\tp90\tp99\tp99.9\tmax\t")
	var trip percentiles
	if p.Redis != nil {
		trip = p.Redis.RoundTrip
	}
	for _, row := range []struct {
		name string
		percentiles
	}{
		{"added, per token", p.Added}, {"acknowledged", p.Acked}, {"first text", p.First}, {"connect", p.Connect}, {"ready", p.Ready}, {"resume", p.Resume},
		{"a round trip of Redis", trip},
	} {
		if row.Count > 0 {
			fmt.Fprintf(t, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", row.name, row.Count, row.P50, row.P90, row.P99, row.P999, row.Max)
		}
	}
	t.Flush()
	fmt.Fprintln(w)
	if p.Tokens > 0 {
		fmt.Fprintf(w, "tokens   %d in %.2f s: %.0f/s; frames %d: %.0f/s, %.2f tokens each\n",
			p.Tokens, p.Seconds, p.TokensPerSecond, p.Frames, p.FramesPerSecond, p.TokensPerFrame)
	}
	if m := p.Memory; m.Start > 0 {
		if p.Tokens > 0 {
			fmt.Fprintf(w, "CPU      %s %.2f s: %.2f s per million tokens, %.2f ms a conversation; load and simulator %.2f s\n",
				p.Peer, p.CPUSeconds, p.CPUPerMillion, p.CPUSeconds*1000/float64(max(1, p.Conversations)), p.LoadCPUSeconds)
		}
		fmt.Fprintf(w, "memory   %.1f MiB at start, %.1f at most, %.1f at the end; text %.1f MiB\n", mib(m.Start), mib(m.Peak), mib(m.End), mib(m.Text))
		if l.Slow > 0 && m.Text > 0 {
			fmt.Fprintf(w, "slow     %d readers stopped for %s: the memory grew by %.2f × the text\n", l.Slow, l.Stall, float64(m.Peak-m.Start)/float64(m.Text))
		}
		if m.Connections > 0 {
			fmt.Fprintf(w, "idle     %d connections: %d bytes of RSS each (%d with the program itself)\n", m.Connections, m.PerIdle, m.TotalPer)
		}
	}
	if m := p.Memory; m.Connections < l.Idle {
		fmt.Fprintf(w, "idle     only %d of %d could be opened; the peer may be at its limit of open files (ulimit -n where it runs)\n", m.Connections, l.Idle)
	}
	if r := p.Redis; r != nil {
		fmt.Fprintf(w, "redis    CPU %.2f s: %.2f s per million tokens, %.2f with the hub's (%s)\n",
			r.CPUSeconds, r.CPUPerMillion, r.CPUPerMillion+p.CPUPerMillion, r)
		fmt.Fprintf(w, "         per thousand tokens %.1f commands, of them %.1f scripts that the hub sent and the rest by those\n", r.CommandsPer, r.ScriptsPer)
	}
	if f := p.File; f != nil {
		fmt.Fprintf(w, "file     %.1f MiB written: %.2f bytes per byte of the replies\n", mib(f.Bytes), f.PerByte)
	}
	fmt.Fprintf(w, "ended    %d conversations, %.0f a second; %d replies; connections dropped %d, lost %d; replies begun again %d\n",
		p.Conversations, p.PerSecond, p.Replies, p.Drops, p.Lost, p.Restarts)
	if p.Resume.Count > 0 || p.Refused > 0 || p.Absent > 0 {
		fmt.Fprintf(w, "resumed  %d connections; refused %d times; found nobody %d times\n", p.Resume.Count, p.Refused, p.Absent)
	}
	for _, what := range slices.Sorted(maps.Keys(p.Failures)) {
		fmt.Fprintf(w, "FAILED   %d × %s\n", p.Failures[what], what)
	}
	switch {
	case p.failed():
		fmt.Fprintf(w, "result   FAILED, %d texts inexact\n", p.Inexact)
	case l.Conversations == 0:
		fmt.Fprintf(w, "result   every connection held\n")
	default:
		fmt.Fprintf(w, "result   every text exact, byte by byte\n")
	}
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }
