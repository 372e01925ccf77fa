package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

func TestStopElsewhere(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		for name, text := range map[string]string{"before the first token": "", "in the middle": passage(1000)} {
			t.Run(name, func(t *testing.T) {
				a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url})
				said := a.begin(t)
				said.Text.Append([]byte(text))
				copied := newNode(t, Config{URL: url}).follow(t, said.Text.Ref)
				reads(t, copied, text)
				for range 2 { // again is found done
					if err := b.Stop(t.Context(), said.Text.Ref, said.Text.Reply); err != nil {
						t.Fatal(err)
					}
				}
				a.await(t, "stopping", said.Text.Ref.ID.String(), said.Text.Reply.String())
				if err := a.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStopped}); err != nil {
					t.Fatal(err)
				}
				if end := ended(t, copied); end.Message == nil || end.Message.Content != text || end.Message.FinishReason != session.FinishStopped {
					t.Errorf("the copy ends as %+v", end)
				}
			})
		}
		t.Run("a writer that hears nothing", func(t *testing.T) {
			a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url})
			said := a.begin(t)
			a.raw(t, "HSET", key(said.Text.Ref, headKey), "v", "as if changed without a hint")
			b.raw(t, "PUBLISH", "nothing", "")
			a.await(t, "changed", said.Text.Ref.ID.String())
		})
	})
}

func TestDeleteElsewhere(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).hears(t)
		said := a.begin(t)
		ref := said.Text.Ref
		said.Text.Append([]byte("some text"))
		copied := c.follow(t, ref)
		reads(t, copied, "some text")
		if err := b.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		for _, text := range []*session.Text{said.Text, copied} {
			if end := ended(t, text); !errors.Is(end.Err, session.ErrNotFound) {
				t.Errorf("ended as %+v", end)
			}
		}
		a.await(t, "gone", ref.ID.String())
		c.await(t, "gone", ref.ID.String())
		if said.Text.Append([]byte("too late")) {
			t.Error("it may write what is deleted")
		}
		if err := a.Finish(t.Context(), said.Text, session.Message{}); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("finish: %v, want ErrNotFound", err)
		}
		if err := b.Delete(t.Context(), ref); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("delete: %v, want ErrNotFound", err)
		}
	})
}

// TestChangedElsewhere tells the nodes that hold a conversation, by a connection or
// watching.
func TestChangedElsewhere(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).hears(t)
		said := b.begin(t)
		b.end(t, said.Text)
		ref := said.Text.Ref
		if err := a.Connect(t.Context(), ref, session.Claim{Connection: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		if err := c.Hold(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it watches", func() bool {
			n, err := c.raw(t, "EXISTS", key(ref, followersKey)).AsInt64()
			return n == 1 && err == nil
		})
		for range 3 {
			for len(a.told)+len(c.told) > 0 {
				select {
				case <-a.told:
				case <-c.told:
				}
			}
			said = b.ask(t, ref)
			a.await(t, "changed", ref.ID.String())
			c.await(t, "changed", ref.ID.String())
			b.end(t, said.Text)
		}
	})
}

// TestMissedHints has a node miss every hint, and find by its touches what they
// would have told.
func TestMissedHints(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url, TTL: 3 * time.Second}), newNode(t, Config{URL: url, TTL: 3 * time.Second})
		ref := storetest.Made(t, b, session.Creation{ID: uuid.New()})
		if err := a.Hold(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		mine := session.Claim{Connection: uuid.New()}
		if err := a.Connect(t.Context(), ref, mine); err != nil {
			t.Fatal(err)
		}
		was, err := b.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		ch := &session.Change{Head: was.Head, Had: -1}
		ch.Version, ch.Conn = "taken", &session.Claimed{Node: b.store.node, Connection: uuid.New()}
		a.raw(t, "HSET", key(ref, headKey), "v", "taken", "state", string(mustJSON(ch.Head)))
		a.await(t, "taken", ref.ID.String(), mine.Connection.String())
		a.raw(t, "DEL", key(ref, headKey))
		a.await(t, "gone", ref.ID.String())
		a.Release(ref)
	})
}

// TestOldHub: a hub of before this format has other keys, so that two histories
// would grow under one id.
func TestOldHub(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		other := newNode(t, Config{URL: url}).hears(t)
		n := openNode(t, Config{URL: url})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		old := other.subscribe(t, "chathub:0123456789abcdef")
		n.store.limit = 100 * time.Millisecond
		n.run(t)
		if err := n.store.Check(ctx); !errors.Is(err, errOld) {
			t.Errorf("check: %v", err)
		}
		ref := storetest.Made(t, n, session.Creation{ID: uuid.New()})
		if _, err := n.Say(ctx, ref, storetest.Submit("hi")); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("say: %v, want ErrUnavailable", err)
		}
		if err := other.store.Check(ctx); err == nil {
			t.Error("a second check does not see it")
		}
		_ = old
	})
}

// TestFollowedElsewhere: the writer's node knows since when nobody follows a reply
// at another: nodes come, leave, and die.
func TestFollowedElsewhere(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		said := a.begin(t)
		since := func() time.Duration { return time.Since(said.Text.FollowedElsewhere()) }
		if d := since(); d < time.Hour {
			t.Errorf("nobody ever followed; %v", d)
		}
		followed := func() bool { return since() < time.Second }
		left := func() bool { return since() > 2*time.Second }
		reader := watchedBy(b.follow(t, said.Text.Ref))
		eventually(t, "it is followed", followed)
		for range 2 {
			last := said.Text.FollowedElsewhere()
			eventually(t, "it still is", func() bool { return said.Text.FollowedElsewhere().After(last) })
		}
		reader.left.Store(true)
		eventually(t, "the last one has left", left)
		c.follow(t, said.Text.Ref)
		eventually(t, "it is followed again", followed)
		c.stop() // as a kill would
		eventually(t, "the node is dead", left)
	})
}
