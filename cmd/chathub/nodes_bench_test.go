package main

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The figures of the README:
//
//	go test ./cmd/chathub -run - -bench 'NodeDeath|RollingDeploy' -benchtime 10x

// BenchmarkNodeDeath tells how long clients wait for the next delta when the
// node that writes their replies is killed and they go to another at once.
func BenchmarkNodeDeath(b *testing.B) {
	benchmarkMove(b, (*node).kill)
}

// BenchmarkRollingDeploy is the same for a node that is asked to end, and has
// no time for its replies to do so.
func BenchmarkRollingDeploy(b *testing.B) {
	benchmarkMove(b, func(n *node) { n.signal(syscall.SIGTERM) }, "DRAIN_TIMEOUT=0")
}

func benchmarkMove(b *testing.B, end func(*node), settings ...string) {
	const clients = 10
	c := startCluster(b, 2, settings...)
	var waits []time.Duration
	for i := range b.N {
		from, to := c.nodes[i%2], c.nodes[(i+1)%2]
		pages := make([]*page, clients)
		for j := range pages {
			p := c.model.plan(uint64(i*clients+j), 2000, 20*time.Millisecond)
			pages[j] = newPage(b)
			pages[j].open(b, from)
			pages[j].connect(b, from)
			pages[j].send(b, frame{Type: "message", ID: newID(), Content: p.said})
			pages[j].readTo(b, p.before(10))
		}
		var moves sync.WaitGroup
		var mu sync.Mutex
		ended := time.Now()
		end(from)
		for _, g := range pages {
			moves.Go(func() {
				wait, err := g.move(to, ended)
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				waits = append(waits, wait)
			})
		}
		moves.Wait()
		for _, g := range pages {
			g.hang()
		}
		from.wait()
		if err := from.start(); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(waits)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(waits[len(waits)/2].Seconds(), "median-s")
	b.ReportMetric(waits[len(waits)-1].Seconds(), "worst-s")
}

// move reads to the end of the page's connection, goes to another node, and
// returns how long it took from a moment to the first delta there.
func (p *page) move(to *node, since time.Time) (time.Duration, error) {
	for {
		if _, err := p.read(patience); err != nil {
			break
		}
	}
	if err := p.dial(to, 0); err != nil {
		return 0, err
	}
	for {
		f, err := p.read(patience)
		if err != nil {
			return 0, err
		}
		if f.Type == "text-delta" {
			return time.Since(since), nil
		}
	}
}
