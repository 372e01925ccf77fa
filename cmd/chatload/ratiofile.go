package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// What the hub with a directory may take more than the hub in memory (DESIGN.md, "The file store").
const (
	askedFileCPU   = 1.05 // of the hub in memory
	askedFileP50   = 0.5  // ms of added latency
	askedFileAck   = 2.0  // ms until a message is acknowledged, at p99
	askedFileBytes = 1.3  // bytes written per byte of the replies
)

// fileCmd loads a hub in memory and one with a directory alike.
type fileCmd struct{ ratioCmd }

// Run runs it.
func (c *fileCmd) Run(ctx context.Context) error {
	if c.URL != "" || c.Peer != "hub" {
		return errors.New("ratio file starts both hubs: --url and --peer=floor have no place in it")
	}
	c.Redis = ""
	file, memory := &side{target: c.target}, &side{target: c.target}
	file.File, memory.File = true, false
	if err := c.inTurns(ctx, file, memory); err != nil {
		return err
	}
	acknowledged := []figure{
		{"acknowledged p50, ms", func(p *report) float64 { return p.Acked.P50 }},
		{"acknowledged p99, ms", func(p *report) float64 { return p.Acked.P99 }},
	}
	rows := compare(file.reports, memory.reports, slices.Concat(cpus, acknowledged, latencies, amounts))
	written := median(file.reports, func(p *report) float64 { return p.File.PerByte })
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"ratio": rows, "written_per_byte": written, "file": file.reports, "memory": memory.reports,
		})
	}
	printRatio(os.Stdout, "file", "memory", rows, file.reports[0], c.Rounds)
	printFile(os.Stdout, rows, written)
	return nil
}

// printFile tells what was asked for.
func printFile(w io.Writer, rows []ratioRow, written float64) {
	of := func(what string) ratioRow {
		return rows[slices.IndexFunc(rows, func(r ratioRow) bool { return r.What == what })]
	}
	p50, ack := of("added latency p50, ms"), of("acknowledged p99, ms")
	fmt.Fprintf(w, "CPU: %.2f of the hub's in memory (asked: at most %.2f)\n", of(cpus[0].what).Ratio, askedFileCPU)
	fmt.Fprintf(w, "added latency p50: %+.2f ms (asked: at most %+.1f)\n", p50.Hub-p50.Floor, askedFileP50)
	fmt.Fprintf(w, "acknowledged p99: %+.2f ms (asked: at most %+.1f)\n", ack.Hub-ack.Floor, askedFileAck)
	fmt.Fprintf(w, "written: %.2f bytes per byte of the replies (asked: at most %.1f)\n", written, askedFileBytes)
}

// fileCost is what a hub wrote into its directory during the conversations.
type fileCost struct {
	Bytes   int     `json:"bytes"`
	PerByte float64 `json:"per_byte"` // of the replies' text
}

// fill relates the cost to the text of all replies, in bytes.
func (c *fileCost) fill(text int) {
	if text > 0 {
		c.PerByte = float64(c.Bytes) / float64(text)
	}
}

// fileProbe looks at a hub's directory from beside. It is right as long as the hub
// removes nothing there, which it does not do within minutes. nil: there is none.
type fileProbe struct {
	dir    string
	before int
}

// begin notes how much is there.
func (p *fileProbe) begin() {
	if p != nil {
		p.before = p.size()
	}
}

// end tells what came since.
func (p *fileProbe) end() *fileCost {
	if p == nil {
		return nil
	}
	return &fileCost{Bytes: p.size() - p.before}
}

func (p *fileProbe) size() (sum int) {
	segments, _ := filepath.Glob(filepath.Join(p.dir, "*.log"))
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil {
			sum += int(info.Size())
		}
	}
	return sum
}
