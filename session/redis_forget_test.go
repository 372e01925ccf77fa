package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestStoreForgets has Redis lose the tail of a text, as a failover to a
// replica that lags does.
func TestStoreForgets(t *testing.T) {
	t.Parallel()
	const tail = 100
	setup := func(t *testing.T, url string) (a, b *node, r reply, written, copied *page, text string) {
		a, b = newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		r, written = a.begin(t)
		copied = b.follow(r)
		text = passage(5000)
		written.write(text)
		copied.reads(t, text)
		return a, b, r, written, copied, text
	}
	forget := func(t *testing.T, n *node, r reply, text string) {
		if err := n.raw(t, "SET", key(r.conversation.ID, "text:"+r.id.String()), text[:len(text)-tail]).Error(); err != nil {
			t.Fatal(err)
		}
	}
	onRedis(t, func(t *testing.T, url string) {
		t.Run("the writer appends it again", func(t *testing.T) {
			a, b, r, written, copied, text := setup(t, url)
			forget(t, a, r, text)
			written.write("more")
			copied.reads(t, text+"more")
			late := b.follow(r)
			late.reads(t, text+"more")
			copied.mu.Lock()
			if len(copied.cuts) > 0 {
				t.Errorf("cut at %v", copied.cuts)
			}
			copied.mu.Unlock()
			if !strings.Contains(a.log.String(), "lost text") {
				t.Error("it is not in the log")
			}
		})
		t.Run("the writer finishes", func(t *testing.T) {
			a, b, r, written, _, text := setup(t, url)
			forget(t, a, r, text)
			a.ends(t, r, written)
			if got := b.last(t, r.conversation).Content; got != text {
				t.Errorf("stored %d bytes, want %d", len(got), len(text))
			}
		})
		t.Run("the writer is dead too", func(t *testing.T) {
			a, b, r, _, copied, text := setup(t, url)
			other := newNode(t, RedisConfig{URL: url})
			second := other.follow(r)
			second.reads(t, text)
			a.stop()
			forget(t, b, r, text)
			b.raw(t, "DEL", key(r.conversation.ID, "turn"))
			got, err := b.Adopt(t.Context(), r.conversation, r.id)
			if err != nil {
				t.Fatal(err)
			}
			kept := boundaryBefore(text, len(text)-tail)
			if copied, _, _ := copied.now(); got.Text != text[:kept] || copied != text[:kept] {
				t.Fatalf("adopted %d bytes, the copy has %d, want %d", len(got.Text), len(copied), kept)
			}
			// What the dead writer's last 100 bytes were is part of no text now.
			written := b.write(t, r.id, got.Text)
			written.write(strings.Repeat("x", 2*tail))
			second.reads(t, text[:kept]+strings.Repeat("x", 2*tail))
			if !slices.Equal(second.cuts, []int{kept}) {
				t.Errorf("cut at %v, want %d", second.cuts, kept)
			}
			run := got.Said.Running
			for offset, want := range map[int]int{0: 0, kept: kept, len(text): kept} {
				if got := run.Honour(0, offset); got != want {
					t.Errorf("%d bytes of the first epoch count as %d, want %d", offset, got, want)
				}
			}
			if got := run.Honour(run.Epoch(), len(text)); got != len(text) {
				t.Errorf("%d bytes of this epoch count as %d", len(text), got)
			}
		})
	})
}

func boundaryBefore(s string, n int) int {
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return n
}

func TestHonour(t *testing.T) {
	epochs := []Epoch{{N: 10, At: 100}, {N: 20, At: 80}, {N: 30, At: 300}}
	tests := []struct {
		epoch        int64
		offset, want int
	}{
		{0, 50, 50}, {0, 90, 80}, {0, 400, 80}, {10, 90, 80}, {10, 70, 70},
		{20, 90, 90}, {20, 400, 300}, {30, 400, 400}, {15, 50, 0}, {40, 50, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.epoch, tt.offset), func(t *testing.T) {
			if got := (&Running{Epochs: epochs}).Honour(tt.epoch, tt.offset); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	if got := (&Running{}).Honour(0, 7); got != 7 {
		t.Errorf("without epochs: %d", got)
	}
}
