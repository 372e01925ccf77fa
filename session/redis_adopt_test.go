package session

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestAdoption(t *testing.T) {
	t.Parallel()
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
	if _, err := c.Adopt(t.Context(), Ref{ID: uuid.New()}, r.id); err != ErrNotFound {
		t.Errorf("adopt in no session: %v, want ErrNotFound", err)
	}
}

// TestPausedWriter wakes a node up whose lease has run out.
func TestPausedWriter(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		expire := func(r reply) {
			if err := a.raw(t, "DEL", key(r.conversation.ID, "turn")).Error(); err != nil {
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
			a.raw(t, "DEL", key(r.conversation.ID, "turn"))
			if _, err := newNode(t, RedisConfig{URL: url}).Adopt(t.Context(), r.conversation, r.id); err != nil {
				t.Fatal(err)
			}
		}
		a.raw(t, "DEL", key(r.conversation.ID, "turn"))
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
