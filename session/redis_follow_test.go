package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestFollow(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		text := passage(300 << 10)
		r, written := a.begin(t)
		early := b.follow(r)
		rng := rand.New(rand.NewPCG(1, 2))
		late := []*page{}
		for rest := text; rest != ""; {
			n := boundary(rest, min(len(rest), 1+rng.IntN(4096)))
			written.write(rest[:n])
			rest = rest[n:]
			if rng.IntN(30) == 0 && len(late) == 0 {
				written.keeps(t, len(text)-len(rest))
				late = append(late, &page{text: text[:8]})
				newNode(t, RedisConfig{URL: url}).Follow(r.conversation, r.id, 8, 0, late[0])
			}
		}
		early.reads(t, text)
		for _, p := range late {
			p.reads(t, text)
		}
		if len(late) != 1 {
			t.Fatal("nobody came late")
		}
		written.keeps(t, len(text))
		a.ends(t, r, written)
		for _, p := range append(late, early) {
			p.is(t, "the copy has ended", func() bool { return p.ended })
			if len(p.cuts) > 0 || p.orphaned > 0 {
				t.Errorf("cut at %v, orphaned %d times", p.cuts, p.orphaned)
			}
		}
		if got := b.last(t, r.conversation); got.Content != text {
			t.Errorf("stored %d bytes, want %d", len(got.Content), len(text))
		}
		// A reply that has ended is followed to its end at once.
		ended := b.follow(r)
		ended.is(t, "it has ended", func() bool { return ended.ended && ended.text == "" })
	})
}

// TestShownOnceStored looks into Redis whenever the writer is told that text
// may be shown.
func TestShownOnceStored(t *testing.T) {
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	r, written := a.begin(t)
	text := passage(10 << 10)
	for rest := text; rest != ""; {
		n := boundary(rest, min(len(rest), 300))
		written.write(rest[:n])
		rest = rest[n:]
		_, stored, _ := written.now()
		size, err := a.raw(t, "STRLEN", key(r.conversation, "text:"+r.id.String())).AsInt64()
		if err != nil || int(size) < stored {
			t.Fatalf("%d bytes are shown, Redis has %d (%v)", stored, size, err)
		}
	}
	written.keeps(t, len(text))
	// Unfollow: nothing comes any more.
	b := newNode(t, RedisConfig{URL: a.cfg.URL})
	left, stays := b.follow(r), newNode(t, RedisConfig{URL: a.cfg.URL}).follow(r)
	left.reads(t, text)
	b.Unfollow(r.id)
	written.write("more")
	stays.reads(t, text+"more")
	left.mu.Lock()
	defer left.mu.Unlock()
	if left.text != text || left.ended {
		t.Error("a copy that nobody follows was fed")
	}
}

// TestHintsLost has a node that hears nothing: it looks every second.
func TestHintsLost(t *testing.T) {
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	if got := server.ask("ACL SETUSER deaf on >pw ~* +@all -subscribe"); got != "+OK" {
		t.Fatal(got)
	}
	b := newNode(t, RedisConfig{URL: "redis://deaf:pw@" + server.addr})
	r, written := a.begin(t)
	copied := b.follow(r)
	text := passage(1 << 10)
	for i := 0; i < 3; i++ {
		written.write(text)
		copied.reads(t, strings.Repeat(text, i+1))
	}
	if err := b.Hold(t.Context(), r.conversation); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.holds[r.conversation].next = b.holds[r.conversation].next.Add(-DefaultTTL) // soon
	b.mu.Unlock()
	a.ends(t, r, written)
	copied.is(t, "the copy has ended", func() bool { return copied.ended })
	b.await(t, "changed "+r.conversation.String())
	if !strings.Contains(b.log.String(), "cannot be heard") || strings.Contains(b.log.String(), "pw") {
		t.Errorf("log: %s", b.log)
	}
}

func TestAdoption(t *testing.T) {
	server := miniredis.RunT(t)
	url := "redis://" + server.Addr()
	text := passage(4000)
	half := boundary(text, 2000)
	dead, b, c := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
	r, first := dead.begin(t)
	copied, other := b.follow(r), c.follow(r)
	first.write(text[:half])
	copied.reads(t, text[:half])
	other.reads(t, text[:half])
	if _, err := b.Adopt(t.Context(), r.conversation, r.id); err != ErrBusy {
		t.Fatalf("adopt of what is written: %v, want ErrBusy", err)
	}
	dead.stop() // as a kill would: the lease stays
	copied.mu.Lock()
	orphaned := copied.orphaned
	copied.mu.Unlock()
	if orphaned > 0 {
		t.Error("orphaned while it was written")
	}
	server.FastForward(leaseTTL + 1)

	copied.is(t, "it is told", func() bool { return copied.orphaned > 0 })
	got, err := b.Adopt(t.Context(), r.conversation, r.id)
	if err != nil {
		t.Fatal(err)
	}
	want := r.said
	want.Running.Epochs = []Epoch{{N: got.Said.Running.Epoch(), At: half}}
	if diff := cmp.Diff(Adoption{Said: want, Text: text[:half]}, got); diff != "" {
		t.Errorf("adoption (-want +got):\n%s", diff)
	}
	if _, err := c.Adopt(t.Context(), r.conversation, r.id); err != ErrBusy {
		t.Fatalf("second adopt: %v, want ErrBusy", err)
	}
	if _, err := b.Adopt(t.Context(), r.conversation, r.id); err != ErrBusy {
		t.Fatalf("adopt of what is written here: %v, want ErrBusy", err)
	}
	second := b.write(t, r.id, got.Text)
	second.write(text[half:])
	other.reads(t, text)
	if len(other.cuts) > 0 {
		t.Errorf("cut at %v", other.cuts)
	}
	s, err := c.Get(t.Context(), r.conversation, End)
	if err != nil || len(s.Running.Epochs) != 1 {
		t.Fatalf("running: %+v, %v", s.Running, err)
	}
	b.ends(t, r, second)
	if got := c.last(t, r.conversation); got.Content != text {
		t.Errorf("stored %q", got.Content)
	}
	if _, err := c.Adopt(t.Context(), r.conversation, r.id); err != ErrLost {
		t.Errorf("adopt of what has ended: %v, want ErrLost", err)
	}
	if _, err := c.Adopt(t.Context(), uuid.New(), r.id); err != ErrNotFound {
		t.Errorf("adopt in no session: %v, want ErrNotFound", err)
	}
}

// TestPausedWriter wakes a node up whose lease has run out.
func TestPausedWriter(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		expire := func(r reply) {
			if err := a.raw(t, "DEL", key(r.conversation, "turn")).Error(); err != nil {
				t.Fatal(err)
			}
		}
		t.Run("it takes a free lease again", func(t *testing.T) {
			r, written := a.begin(t)
			written.write("one ")
			written.keeps(t, 4)
			expire(r)
			written.write("two")
			written.keeps(t, 7)
			if _, err := b.Adopt(t.Context(), r.conversation, r.id); err != ErrBusy {
				t.Errorf("adopt: %v, want ErrBusy", err)
			}
		})
		t.Run("it changes nothing once another has it", func(t *testing.T) {
			r, written := a.begin(t)
			written.write("one ")
			written.keeps(t, 4)
			expire(r)
			got, err := b.Adopt(t.Context(), r.conversation, r.id)
			if err != nil || got.Text != "one " {
				t.Fatal(got, err)
			}
			written.write("two")
			written.is(t, "the old writer knows", func() bool { return written.lost })
			m := Message{ID: r.id, Content: "one two", FinishReason: FinishStop, Timestamp: Now()}
			if err := a.Finish(t.Context(), r.conversation, m); err != ErrLost {
				t.Errorf("finish: %v, want ErrLost", err)
			}
			if !strings.Contains(a.log.String(), "no longer this node's to write") {
				t.Error("it does not say so in its log")
			}
			second := b.write(t, r.id, got.Text)
			second.write("three")
			b.ends(t, r, second)
			if got := a.last(t, r.conversation).Content; got != "one three" {
				t.Errorf("stored %q", got)
			}
		})
	})
}

// TestTooManyDeaths has a reply end that kills whoever writes it.
func TestTooManyDeaths(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, RedisConfig{URL: url})
		r, written := a.begin(t)
		written.write("fatal")
		written.keeps(t, 5)
		copied := newNode(t, RedisConfig{URL: url}).follow(r)
		for range maxDeaths {
			a.raw(t, "DEL", key(r.conversation, "turn"))
			if _, err := newNode(t, RedisConfig{URL: url}).Adopt(t.Context(), r.conversation, r.id); err != nil {
				t.Fatal(err)
			}
		}
		a.raw(t, "DEL", key(r.conversation, "turn"))
		if _, err := newNode(t, RedisConfig{URL: url}).Adopt(t.Context(), r.conversation, r.id); err != ErrLost {
			t.Fatalf("adopt: %v, want ErrLost", err)
		}
		m := a.last(t, r.conversation)
		if m.Content != "fatal" || m.FinishReason != FinishError || m.Failure == "" {
			t.Errorf("stored %+v", m)
		}
		copied.is(t, "the copy has ended", func() bool { return copied.ended })
	})
}

func TestYield(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		nodes := []*node{newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})}
		r, written := nodes[0].begin(t)
		text := ""
		// More often than writers may die: giving up is no death.
		for i := range 2 * maxDeaths {
			from, to := nodes[i%2], nodes[(i+1)%2]
			copied := &page{text: text}
			to.Follow(r.conversation, r.id, len(text), (&Running{}).Epoch(), copied)
			part := passage(100 << 10)
			text += part
			written.write(part)
			if err := from.Yield(t.Context(), r.conversation, r.id); err != nil {
				t.Fatal(err)
			}
			copied.is(t, "it is told", func() bool { return copied.orphaned > 0 })
			got, err := to.Adopt(t.Context(), r.conversation, r.id)
			if err != nil || got.Text != text || copied.text != text {
				t.Fatalf("adopted %d bytes, copied %d, want %d, %v", len(got.Text), len(copied.text), len(text), err)
			}
			if _, _, lost := written.now(); lost {
				t.Error("lost, though it was given up")
			}
			written = to.write(t, r.id, text)
		}
		if err := nodes[1].Yield(t.Context(), r.conversation, r.id); err != nil {
			t.Errorf("yield of what is not written here: %v", err)
		}
		nodes[0].ends(t, r, written)
		if got := nodes[1].last(t, r.conversation).Content; got != text {
			t.Errorf("stored %d bytes, want %d", len(got), len(text))
		}
	})
}

// TestStoreForgets has Redis lose the tail of a text, as a failover to a
// replica that lags does.
func TestStoreForgets(t *testing.T) {
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
		if err := n.raw(t, "SET", key(r.conversation, "text:"+r.id.String()), text[:len(text)-tail]).Error(); err != nil {
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
			b.raw(t, "DEL", key(r.conversation, "turn"))
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
		t.Run("and the adoption", func(t *testing.T) {
			a, b, r, _, _, text := setup(t, url)
			a.stop()
			was, err := b.raw(t, "HGET", key(r.conversation, "reply"), "lease").ToString()
			if err != nil {
				t.Fatal(err)
			}
			b.raw(t, "DEL", key(r.conversation, "turn"))
			got, err := b.Adopt(t.Context(), r.conversation, r.id)
			if err != nil {
				t.Fatal(err)
			}
			written := b.write(t, r.id, got.Text)
			written.write("of an epoch that never was")
			other := newNode(t, RedisConfig{URL: url})
			copied := other.follow(r)
			copied.reads(t, written.text)
			b.raw(t, "HSET", key(r.conversation, "reply"), "lease", was, "epochs", "")
			b.raw(t, "DEL", key(r.conversation, "turn"))
			b.raw(t, "SET", key(r.conversation, "text:"+r.id.String()), text)
			written.write("!")
			written.is(t, "it knows", func() bool { return written.lost })
			copied.is(t, "it is started over", func() bool { return copied.text == text })
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

func TestWholeRunes(t *testing.T) {
	const s = "aé語🙂z"
	for n := range len(s) + 1 {
		if got, want := wholeRunes([]byte(s[:n])), boundaryBefore(s+"x", n); got != want {
			t.Errorf("of %d bytes %d are whole, want %d", n, got, want)
		}
	}
}
