package filestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestAtOnce has many conversations at work while segments begin, are synced and
// compacted, and calls to the disk fail. What a start finds then is what the
// Manager has.
func TestAtOnce(t *testing.T) {
	for _, mode := range []SyncMode{EverySecond, Always} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("mode %d seed %d", mode, seed), func(t *testing.T) {
				t.Parallel()
				atOnce(t, mode, seed)
			})
		}
	}
}

func atOnce(t *testing.T, mode SyncMode, seed uint64) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{Sync: mode, segmentBytes: 8 << 10}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	end := runs(t, store)
	var workers, others sync.WaitGroup
	for i := range 12 {
		workers.Go(func() { work(t, store, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	forever := func(f func(*rand.Rand)) {
		others.Go(func() {
			for rng := rand.New(rand.NewPCG(seed, 99)); ctx.Err() == nil; time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond) {
				f(rng)
			}
		})
	}
	forever(func(*rand.Rand) { _ = store.b.compact(ctx) })
	forever(func(*rand.Rand) { _ = store.b.j.sync(); store.b.j.mark() })
	forever(func(*rand.Rand) { _ = store.b.recover(ctx) })
	forever(func(rng *rand.Rand) {
		d.mu.Lock()
		d.failAt, d.partial = len(d.calls)+rng.IntN(20), rng.IntN(4)
		d.mu.Unlock()
	})
	workers.Wait()
	cancel()
	others.Wait()
	end()
	d.mu.Lock()
	d.failAt = -1
	failed := d.failed
	d.mu.Unlock()
	if err := store.b.recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !failed {
		t.Error("nothing has failed")
	}
	if err := store.b.j.sync(); err != nil {
		t.Fatal(err)
	}
	want := dump(t, store)
	left := d.afterMachine()
	left["process"] = d.afterProcess()
	for how, m := range left {
		again, err := open(m, "disk", quiet(Config{}))
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if diff := cmp.Diff(want, dump(t, again)); diff != "" {
			t.Errorf("%s: (-in memory +found):\n%s", how, diff)
		}
		if got := again.b.j.live; got != store.b.j.live {
			t.Errorf("%s: about %d bytes live, were %d", how, got, store.b.j.live)
		}
	}
}

// work does rounds in conversations of its own, and deletes some; what cannot be
// stored it tries again.
func work(t *testing.T, store *Store, rng *rand.Rand) {
	ctx := context.Background()
	try := func(f func() error) {
		for {
			err := f()
			if err == nil {
				return
			}
			if !errors.Is(err, session.ErrUnavailable) {
				t.Error(err)
				return
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
	for range 6 {
		var ref session.Ref
		try(func() error {
			got, err := store.Create(ctx, session.Creation{ID: uuid.New(), Owner: "ann"})
			ref = got.Ref()
			return err
		})
		for range 1 + rng.IntN(4) {
			turn := session.Turn{
				User:  session.Message{ID: uuid.New(), Content: fmt.Sprint("message ", rng.IntN(1000)), Timestamp: session.Now()},
				Reply: uuid.New(), Model: "m",
			}
			var text *session.Text
			try(func() error {
				said, err := store.Say(ctx, ref, turn)
				text = said.Text
				return err
			})
			if text == nil {
				return
			}
			if err := store.Connect(ctx, ref, session.Claim{Connection: uuid.New()}); err != nil {
				t.Error(err)
			}
			for i := range rng.IntN(30) {
				text.Append(fmt.Appendf(nil, "token %d of %d, ", i, rng.IntN(1000)))
				if rng.IntN(4) == 0 {
					time.Sleep(20 * time.Microsecond)
				}
			}
			if rng.IntN(5) == 0 {
				try(func() error { return store.Yield(ctx, text) })
				try(func() error {
					said, _, err := store.Take(ctx, ref, turn.Reply)
					text = said.Text
					return err
				})
				text.Append([]byte("and more"))
			}
			if rng.IntN(4) > 0 {
				try(func() error { return store.Finish(ctx, text, session.Message{FinishReason: session.FinishStop}) })
				continue
			}
			break
		}
		if rng.IntN(3) == 0 {
			try(func() error {
				err := store.Delete(ctx, ref)
				if errors.Is(err, session.ErrNotFound) {
					return nil
				}
				return err
			})
		}
	}
}
