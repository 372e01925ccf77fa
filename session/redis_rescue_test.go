package session

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// poison is a source that panics whenever it is asked for text.
type poison struct {
	page
	asked atomic.Int32
}

func (p *poison) From(int, int) []byte {
	p.asked.Add(1)
	panic("cannot bear my darling secret")
}

// TestPanicsInTheBackground: what panics on the goroutines that serve all replies of a
// node fails once, and is tried again; a reply that always does holds up no other.
func TestPanicsInTheBackground(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		var trips atomic.Int32
		cfg := RedisConfig{URL: url, OnTrip: func(step string, _ time.Duration, _ bool) {
			if step == "pipeline" && trips.Add(1)%3 == 0 {
				panic("cannot count my darling secret")
			}
		}}
		a, b := newNode(t, cfg), newNode(t, cfg)
		bad := &poison{}
		r, _ := a.begin(t)
		wake, ok := a.Write(r.id, bad)
		if !ok {
			t.Fatal("the right to write is lost")
		}
		want := passage(3000)
		var replies []reply
		var written, copied []*page
		for range 3 {
			r, p := a.begin(t)
			replies, written, copied = append(replies, r), append(written, p), append(copied, b.follow(r))
		}
		for _, piece := range strings.SplitAfter(want, " ") {
			wake()
			for _, p := range written {
				p.write(piece)
			}
		}
		for i, p := range written {
			p.keeps(t, len(want))
			copied[i].reads(t, want)
			a.ends(t, replies[i], p)
			copied[i].is(t, "it has ended", func() bool { return copied[i].ended })
			if got := b.last(t, replies[i].conversation).Content; got != want {
				t.Errorf("stored %d bytes, want %d", len(got), len(want))
			}
		}
		if bad.asked.Load() == 0 || trips.Load() < 3 {
			t.Error("nothing has panicked")
		}
		if log := a.log.String() + b.log.String(); !strings.Contains(log, "stack=") || strings.Contains(log, "darling") {
			t.Errorf("the log: %.2000s", log)
		}
	})
}

// TestSweepPanics: a session of which nobody can be told that it expired does not keep
// others from it.
func TestSweepPanics(t *testing.T) {
	m, log := NewMemory(time.Millisecond, 0), &lockedBuffer{}
	m.Logger = slog.New(slog.NewTextHandler(log, nil))
	told := make(chan Ref)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		_ = m.Run(ctx, func(ref Ref) {
			told <- ref
			panic("cannot bear it")
		})
	})
	defer run.Wait()
	defer cancel()
	expired := map[Ref]bool{}
	for range 3 {
		expired[made(t, m, Creation{ID: uuid.New()})] = true
	}
	for len(expired) > 0 {
		delete(expired, <-told)
	}
	if n := m.Len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if !strings.Contains(log.String(), "stack=") {
		t.Errorf("the log: %s", log.String())
	}
}
