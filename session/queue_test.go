package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// TestGather: texts that come seldom are sent at once; of texts that come fast, a batch has
// several, and none waits longer than some more take to come, or than 2 ms.
func TestGather(t *testing.T) {
	for _, tt := range []struct {
		what  string
		every time.Duration // between two texts
		most  time.Duration // that one waits
		least float64       // texts of a batch
		disk  bool
	}{
		{"seldom", 2 * time.Millisecond, 0, 1, false},
		{"less seldom", 400 * time.Microsecond, 2 * time.Millisecond, 4, false},
		{"less fast", 125 * time.Microsecond, 1005 * time.Microsecond, 8, false},
		{"fast", 50 * time.Microsecond, 155 * time.Microsecond, 3, false},
		{"to a disk", 10 * time.Microsecond, 50 * time.Microsecond, 4, true},
		{"to a disk, less fast", 200 * time.Microsecond, 0, 1, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				woken := map[*Text]time.Time{} // guarded by the steps of the bubble
				var batches, sent int
				var longest time.Duration
				counts := false
				q := newQueue(func(_ context.Context, batch []*Text) {
					if !counts {
						return
					}
					batches, sent = batches+1, sent+len(batch)
					for _, text := range batch {
						longest = max(longest, time.Since(woken[text]))
					}
				}, func(*Text) verdict { return rest }, true)
				if tt.disk {
					q.gather = gatherForDisk
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); q.run(ctx) }()
				texts := make([]*Text, 50)
				for i := range texts {
					texts[i] = new(Text)
				}
				for i := range 50_000 {
					counts = i > 25_000 // when the rate is known
					text := texts[i%len(texts)]
					woken[text] = time.Now()
					q.wake(text)
					time.Sleep(tt.every)
					synctest.Wait()
				}
				cancel()
				<-ended
				if each := float64(sent) / float64(batches); each < tt.least || longest > tt.most {
					t.Errorf("%.1f texts a batch, at least %.0f wanted; one waited %v, at most %v wanted", each, tt.least, longest, tt.most)
				}
			})
		})
	}
}

// TestNobodyWaitsToBeRead: where the store is ours alone nothing is read, so no
// text waits for that, and stays, when its reply has long ended.
func TestNobodyWaitsToBeRead(t *testing.T) {
	ctx, m := t.Context(), NewMemory(Config{})
	s, err := m.New(ctx, "ann", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	turn := Turn{User: Message{ID: uuid.New(), Content: "hi", Timestamp: Now()}, Reply: uuid.New(), Model: "m"}
	said, err := m.Say(ctx, s.Ref(), turn)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := m.Yield(ctx, said.Text); err != nil {
			t.Fatal(err)
		}
		if said, _, err = m.Take(ctx, s.Ref(), turn.Reply); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.reads.ready); n != 0 {
		t.Errorf("%d texts wait to be read", n)
	}
}
