package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The chaos test is a random run made from a seed. A long one:
//
//	go test ./cmd/chathub -run TestChaos -v -timeout 20m -chaos.for=5m -chaos.seed=7
var (
	chaosSeed    = flag.Uint64("chaos.seed", 1, "seed of TestChaos")
	chaosFor     = flag.Duration("chaos.for", 10*time.Second, "how long TestChaos makes trouble")
	chaosClients = flag.Int("chaos.clients", 24, "conversations that go on at a time in TestChaos")
	chaosNodes   = flag.Int("chaos.nodes", 3, "nodes of TestChaos")
)

// TestChaos has visitors talk over three nodes of which one after the other is
// killed, paused or sent away, and over a Redis that is killed, too. Not a byte
// may be lost, doubled, reordered or another reply's, and whatever was
// acknowledged is there at the end.
func TestChaos(t *testing.T) {
	c := startCluster(t, *chaosNodes, "DRAIN_TIMEOUT=1s")
	chaos(t, c, *chaosClients, (*mischief).make)
}

// TestChaosOfOneNode is the same on one node without Redis, which is killed and
// started again and again.
func TestChaosOfOneNode(t *testing.T) {
	c := &cluster{model: startSimulated(t)}
	c.join(t, 1, "", "DRAIN_TIMEOUT=200ms")
	visitors := chaos(t, c, 2**chaosClients, (*mischief).restart)
	one := c.nodes[0]
	one.kill()
	if err := one.start(); err != nil {
		t.Fatal(err)
	}
	for _, v := range visitors {
		stored, err := one.stored(v.page.session)
		if d := differs(v.page.messages, stored); err != nil || d != "" {
			t.Errorf("visitor %d, behind the last start: %v %s", v.seed, err, d)
		}
	}
}

// chaos has visitors talk while trouble is made.
func chaos(t *testing.T, c *cluster, clients int, trouble func(*mischief, context.Context) error) []*visitor {
	ctx, cancel := context.WithTimeout(t.Context(), *chaosFor)
	defer cancel()
	var work sync.WaitGroup
	all := make([]*visitor, clients)
	for i := range all {
		v := newVisitor(c, *chaosSeed<<8|uint64(i))
		all[i] = v
		work.Go(func() {
			if err := v.talk(ctx); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	m := &mischief{c: c, rng: rand.New(rand.NewPCG(*chaosSeed, 11)), done: map[string]int{}}
	if err := trouble(m, ctx); err != nil {
		t.Error(err)
	}
	work.Wait()
	var sum tally
	for _, v := range all {
		sum.add(v.sum)
	}
	t.Logf("seed %d: %+v, %s", *chaosSeed, sum, m)
	if sum.Replies < clients {
		t.Errorf("only %d replies", sum.Replies)
	}
	for _, n := range c.nodes {
		for line := range strings.Lines(n.log.String()) {
			// A reply that has outlived too many writers ends so.
			deadly := sum.Anew > 0 && strings.Contains(line, `path=/chat error="internal: `)
			if strings.Contains(line, "level=ERROR") && !deadly {
				t.Errorf("node %s: %s", n.name, line)
			}
		}
	}
	return all
}

// mischief does to nodes and Redis what happens to them in years.
type mischief struct {
	c    *cluster
	rng  *rand.Rand
	done map[string]int
}

func (m *mischief) String() string { return strings.TrimPrefix(fmt.Sprint(m.done), "map") }

// make makes trouble until ctx ends, and puts everything right again.
func (m *mischief) make(ctx context.Context) error {
	first := []int{0, 9, 7, 4} // a short run has some of everything that is short
	for m.rest(ctx, 500, 3000) {
		n := m.c.nodes[m.rng.IntN(len(m.c.nodes))]
		what := m.rng.IntN(10)
		if len(first) > 0 {
			what, first = first[0], first[1:]
		}
		var err error
		switch {
		case what < 4:
			m.done["killed"]++
			n.kill()
			m.rest(ctx, 0, 1500)
			err = n.start()
		case what < 5:
			m.done["sent away"]++
			n.signal(syscall.SIGTERM)
			n.wait()
			err = n.start()
		case what < 6: // until it is held dead
			m.done["paused long"]++
			n.pause()
			m.rest(ctx, 4000, 6500)
			n.resume()
		case what < 8:
			m.done["paused"]++
			n.pause()
			m.rest(ctx, 100, 4000)
			n.resume()
		default:
			m.done["Redis killed"]++
			m.c.redis.kill()
			m.rest(ctx, 50, 2500)
			err = m.c.redis.start()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restart ends one node until ctx ends, mostly by kill -9, and starts it again.
func (m *mischief) restart(ctx context.Context) error {
	n := m.c.nodes[0]
	for m.rest(ctx, 200, 1200) {
		if m.rng.IntN(5) > 0 {
			m.done["killed"]++
			n.kill()
		} else {
			m.done["sent away"]++
			n.signal(syscall.SIGTERM)
			n.wait()
		}
		m.rest(ctx, 0, 300)
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// rest waits for a random time, in milliseconds. It reports false when ctx has
// ended.
func (m *mischief) rest(ctx context.Context, least, most int) bool {
	pause := time.NewTimer(time.Duration(least+m.rng.IntN(most-least)) * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}
