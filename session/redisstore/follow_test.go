package redisstore

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

func TestFollow(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		text := passage(300 << 10)
		said := a.begin(t)
		early := b.follow(t, said.Text.Ref)
		rng := rand.New(rand.NewPCG(1, 2))
		late := early
		for rest := text; rest != ""; {
			n := boundary(rest, min(len(rest), 1+rng.IntN(4096)))
			said.Text.Append([]byte(rest[:n]))
			rest = rest[n:]
			if rng.IntN(30) == 0 && late == early {
				shown(t, said.Text, len(text)-len(rest))
				late = c.follow(t, said.Text.Ref)
			}
		}
		reads(t, early, text)
		reads(t, late, text)
		if late == early {
			t.Fatal("nobody came late")
		}
		a.end(t, said.Text)
		for _, copied := range []*session.Text{early, late} {
			if end := ended(t, copied); end.Message == nil || end.Message.Content != text {
				t.Errorf("ended as %+v", end)
			}
		}
		if got := b.last(t, said.Text.Ref); got.Content != text {
			t.Errorf("stored %d bytes, want %d", len(got.Content), len(text))
		}
		if text, err := b.Follow(t.Context(), said.Text.Ref); text != nil || err != nil {
			t.Errorf("follow of what has ended: %v, %v", text, err)
		}
	})
}

// TestUnfollowedIsNotTold: a node that follows no more, or holds no more, is
// forgotten within moments, not when its registration runs out.
func TestUnfollowedIsNotTold(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		said := a.begin(t)
		followers := func() []string {
			names, err := a.raw(t, "ZRANGE", key(said.Text.Ref, followersKey), "0", "-1").AsStrSlice()
			if err != nil {
				t.Fatal(err)
			}
			return names
		}
		has := func(want ...string) func() bool {
			return func() bool { return slices.Equal(followers(), want) }
		}
		copied := b.follow(t, said.Text.Ref)
		reader := watchedBy(copied)
		eventually(t, "the follower is told", has(b.store.node))
		reader.left.Store(true)
		eventually(t, "it is no more", has())
		if end := ended(t, copied); end.Err != session.ErrUnfollowed {
			t.Errorf("ended as %+v", end)
		}
		if err := b.Hold(t.Context(), said.Text.Ref); err != nil {
			t.Fatal(err)
		}
		eventually(t, "who watches is told", has(b.store.node))
		b.Release(said.Text.Ref)
		eventually(t, "it is no more", has())
		copied = b.follow(t, said.Text.Ref)
		eventually(t, "the follower is told", has(b.store.node))
		a.end(t, said.Text)
		ended(t, copied)
		eventually(t, "it is no more, behind the end", has())
	})
}

// TestPublishedToFollowers: text is published once its writer knows that another node reads
// it. That a node watches the conversation is not enough.
func TestPublishedToFollowers(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).hears(t)
		said := a.begin(t)
		if err := b.Hold(t.Context(), said.Text.Ref); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it watches", func() bool {
			n, err := a.raw(t, "EXISTS", key(said.Text.Ref, followersKey)).AsInt64()
			return n == 1 && err == nil
		})
		hears := a.subscribe(t, channelOf(b.store.node))
		said.Text.Append([]byte("some"))
		shown(t, said.Text, 4)
		a.raw(t, "PUBLISH", channelOf(b.store.node), "last")
		if got := hears(t); got != "last" {
			t.Errorf("told %q, though nobody reads", got)
		}
		hint := "text " + said.Text.Ref.ID.String() + " " + said.Text.Fence
		copied := b.follow(t, said.Text.Ref)
		if got, want := hears(t), hint+" 4\n"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		said.Text.Append([]byte(" text"))
		reads(t, copied, "some text")
		got := hears(t)
		for got == hint+" 4\n" { // the writer polls
			got = hears(t)
		}
		if want := hint + " 4\n text"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestHintsLost has a node that hears nothing: it looks every second. It is never
// heard of, and so may not write.
func TestHintsLost(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, Config{URL: "redis://" + server.addr})
	if got := server.ask("ACL SETUSER deaf on >pw ~* &* +@all -subscribe"); got != "+OK" {
		t.Fatal(got)
	}
	b := newNode(t, Config{URL: "redis://deaf:pw@" + server.addr})
	said := a.begin(t)
	copied := b.follow(t, said.Text.Ref)
	text := passage(1 << 10)
	for i := range 3 {
		said.Text.Append([]byte(text))
		reads(t, copied, strings.Repeat(text, i+1))
	}
	a.end(t, said.Text)
	if end := ended(t, copied); end.Message == nil {
		t.Errorf("ended as %+v", end)
	}
	b.await(t, "changed", said.Text.Ref.ID.String())
	if !strings.Contains(b.log.String(), "cannot be heard") || strings.Contains(b.log.String(), "pw") {
		t.Errorf("log: %s", b.log)
	}
	b.store.limit = 100 * time.Millisecond
	if _, err := b.Say(t.Context(), said.Text.Ref, storetest.Submit("hi")); err == nil {
		t.Error("it may write, though nobody hears of it")
	}
	if err := b.Ready(t.Context()); err == nil {
		t.Error("it is ready")
	}
}
