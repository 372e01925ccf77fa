package main

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The figures of the README, each of 40 replies:
//
//	go test ./cmd/chathub -run - -bench 'Node|RollingDeploy' -benchtime 4x

// BenchmarkNodeDeath tells how long it takes until the next delta comes to those who
// follow, at another node, replies whose node is killed.
func BenchmarkNodeDeath(b *testing.B) { benchmarkEnd(b, (*node).kill, (*page).along) }

// BenchmarkNodeStops is the same for a node that is stopped, as by a lost host.
func BenchmarkNodeStops(b *testing.B) { benchmarkEnd(b, (*node).pause, (*page).along) }

// BenchmarkRollingDeploy tells it of clients that go to another node when theirs is
// asked to end, and has no time for its replies to do so.
func BenchmarkRollingDeploy(b *testing.B) {
	benchmarkEnd(b, func(n *node) { n.signal(syscall.SIGTERM) }, (*page).move, "DRAIN_TIMEOUT=0")
}

// benchmarkEnd ends a node and has each page find its reply at another one: find is
// called before, and what it returns tells when the first delta came behind that.
func benchmarkEnd(b *testing.B, end func(*node), find func(*page, *node) (func() (time.Time, error), error), settings ...string) {
	const clients = 10
	c := startCluster(b, 2, settings...)
	var waits []time.Duration
	for i := range b.N {
		from, to := c.nodes[i%2], c.nodes[(i+1)%2]
		finds := make([]func() (time.Time, error), clients)
		for j := range finds {
			p := c.model.plan(uint64(i*clients+j), 2000, 20*time.Millisecond)
			g := newPage(b)
			g.open(b, from)
			g.connect(b, from)
			g.send(b, frame{Type: "message", ID: newID(), Content: p.said})
			g.readTo(b, p.before(10))
			var err error
			if finds[j], err = find(g, to); err != nil {
				b.Fatal(err)
			}
		}
		var moves sync.WaitGroup
		var mu sync.Mutex
		ended := time.Now()
		end(from)
		for _, found := range finds {
			moves.Go(func() {
				at, err := found()
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				waits = append(waits, at.Sub(ended))
			})
		}
		moves.Wait()
		from.kill()
		if err := from.start(); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(waits)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(waits[len(waits)/2].Seconds(), "median-s")
	b.ReportMetric(waits[len(waits)-1].Seconds(), "worst-s")
}

// silence is how long nothing comes of a reply once its node has ended: what was under
// way has come by then.
const silence = 150 * time.Millisecond

// along follows the page's reply at a node. The first delta is the one behind a
// silence.
func (p *page) along(at *node) (func() (time.Time, error), error) {
	e := &events{}
	if err := e.open(at, "GET", "/sessions/"+p.session+"/stream", nil, nil); err != nil {
		return nil, err
	}
	return func() (time.Time, error) {
		defer e.close()
		for last := time.Now(); ; {
			had := len(e.text)
			if err := e.next(); err != nil {
				return time.Time{}, err
			}
			if len(e.text) > had {
				now := time.Now()
				if now.Sub(last) > silence {
					return now, nil
				}
				last = now
			}
		}
	}, nil
}

// move reads to the end of the page's connection, and goes to another node then.
func (p *page) move(to *node) (func() (time.Time, error), error) {
	return func() (time.Time, error) {
		defer p.hang()
		for {
			if _, err := p.read(patience); err != nil {
				break
			}
		}
		if err := p.dial(to, 0); err != nil {
			return time.Time{}, err
		}
		for {
			f, err := p.read(patience)
			if err != nil {
				return time.Time{}, err
			}
			if f.Type == "text-delta" {
				return time.Now(), nil
			}
		}
	}, nil
}
