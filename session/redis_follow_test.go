package session

import (
	"math/rand/v2"
	"strings"
	"testing"
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
		size, err := a.raw(t, "STRLEN", key(r.conversation.ID, "text:"+r.id.String())).AsInt64()
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
	t.Parallel()
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
	b.await(t, "changed "+r.conversation.ID.String())
	if !strings.Contains(b.log.String(), "cannot be heard") || strings.Contains(b.log.String(), "pw") {
		t.Errorf("log: %s", b.log)
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
