package httpapi_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm"
	"lumos/backend/session"
)

// soakFor is how long TestSoak goes on: go test -race ./httpapi -run TestSoak -soak 10m -timeout 30m
var soakFor = flag.Duration("soak", 4*time.Second, "how long TestSoak goes on")

// soak is everything at once: a server that is drained and replaced now and
// then, people, and attackers.
type soak struct {
	*rig
	hasty atomic.Int64 // drains that wait for no reply: one up when one begins and when it has ended

	turns, drops, stops, again, posts, deletes, drains, floods atomic.Int64
}

// TestSoak does everything at once for as long as it is told to: people chat
// over WebSocket and REST, are cut off in mid-reply and come back, stop,
// regenerate, delete; sessions expire; hubs are drained and others take their
// place; attackers flood. Nobody loses a byte, and when all have left, so have
// their goroutines and their memory.
func TestSoak(t *testing.T) {
	const ttl = 12 * time.Second
	var toModel *http.Client
	w := &soak{rig: newRig(t, forgetful, withLLM(func(c *llm.Config) { toModel = c.HTTPClient }), withSessions(func(c *session.Config) { c.TTL = ttl }),
		withLimits(hub.Limits{MessagesPerMinute: 600, RepliesPerClient: 20, ConnectionsPerClient: 50, SessionMessages: 40, ReplyBytes: 1 << 20}),
		withAPI(func(c *httpapi.Config) {
			c.WriteTimeout = 5 * time.Second
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}))}
	t.Cleanup(func() { // before the rig's own
		if t.Failed() {
			var left strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&left, 1)
			t.Logf("%d sessions; %s", w.sessions.Len(), left.String())
		}
	})
	goroutines, same := 0, 0
	eventually(t, "all that runs has begun", func() bool {
		now := runtime.NumGoroutine()
		if same++; now != goroutines {
			goroutines, same = now, 0
		}
		return same == 10
	})
	heap := memory()

	over := make(chan struct{})
	time.AfterFunc(*soakFor, func() { close(over) })
	var people, others sync.WaitGroup
	for i := range 12 {
		seed := uint64(time.Now().UnixNano()) + uint64(i)
		people.Go(func() {
			p := &soaker{w: w, rand: rand.New(rand.NewPCG(seed, 0))}
			for !isClosed(over) && !t.Failed() {
				if err := p.life(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	others.Go(func() { w.drainNowAndThen(over) })
	others.Go(func() { w.readLog(over) })
	var stops []func()
	for _, a := range floods {
		once := a.once
		a.once, a.many = func(addr, client string) { w.floods.Add(1); once(addr, client) }, 1
		stops = append(stops, a.run(w.addr()))
	}
	people.Wait()
	for _, stop := range stops {
		stop()
	}
	others.Wait()
	w.client.CloseIdleConnections()

	left := 0
	eventually(t, "all goroutines have gone", func() bool {
		toModel.CloseIdleConnections()
		left = runtime.NumGoroutine()
		return left <= goroutines
	})
	eventually(t, "all sessions have expired", func() bool { return w.sessions.Len() == 0 })
	var now int64
	eventually(t, "the memory is given back", func() bool {
		w.log.Reset()
		now = memory()
		return now-heap < 4<<20
	})
	t.Logf("in %v: %d turns (%d by POST, %d stopped, %d regenerated), %d deletions in mid-reply, %d drops, %d drains (%d hasty), %d floods",
		*soakFor, w.turns.Load(), w.posts.Load(), w.stops.Load(), w.again.Load(), w.deletes.Load(), w.drops.Load(), w.drains.Load(), w.hasty.Load()/2, w.floods.Load())
	t.Logf("heap %d KiB before, %d KiB after; goroutines %d before, %d after", heap>>10, now>>10, goroutines, left)
	if w.turns.Load() == 0 || w.drops.Load() == 0 || w.drains.Load() == 0 {
		t.Error("nothing happened")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drainNowAndThen drains the hub and has another take its place. Every third
// drain waits for no reply.
func (w *soak) drainNowAndThen(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Second/2 + rand.N(3*time.Second)):
		}
		if w.drains.Add(1)%3 == 0 {
			w.hasty.Add(1)
			w.drain(rand.N(50 * time.Millisecond))()
			w.hasty.Add(1)
		} else {
			w.drain(time.Minute)()
		}
		w.renew()
	}
}

// readLog reads what is logged and forgets it: attackers fill logs, too.
func (w *soak) readLog(over <-chan struct{}) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for !isClosed(over) {
		select {
		case <-look.C:
		case <-over:
		}
		for line := range strings.Lines(w.log.Reset()) {
			if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
				w.t.Errorf("logged: %s", line)
			}
		}
	}
}

// Reset empties the log and returns what was in it.
func (b *syncBuffer) Reset() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.b.String()
	b.b.Reset()
	return was
}

// soakText is a text of n words of which no two are the same, nor those of two
// texts.
func soakText(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s wörd%d ✓ ", name, i)
	}
	return b.String()
}
