package session

import (
	"errors"
	"testing"

	"github.com/google/uuid"
)

// TestSessionOfAnOlderVersion: a session that a node of an older version made has no
// incarnation. Every step reaches it, other nodes hear of it, and one that is made
// again under its id is another.
func TestSessionOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}).hears(t), newNode(t, RedisConfig{URL: url}).hears(t)
		was := Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()}
		made(t, a, was)
		a.raw(t, "HDEL", key(was.ID, "session"), "born")
		s, err := a.Find(t.Context(), was.ID)
		if err != nil || s.Owner != "ann" || s.Born != uuid.Nil {
			t.Fatalf("found %+v, %v", s, err)
		}
		old := s.Ref()
		again := was
		again.ID = uuid.New()
		if got := made(t, b, again); got != old {
			t.Errorf("its key finds %v, want %v", got, old)
		}
		connection := uuid.New()
		if err := errors.Join(a.Hold(t.Context(), old), a.Connect(t.Context(), old, Claim{Connection: connection})); err != nil {
			t.Fatal(err)
		}
		r, written := b.ask(t, old)
		a.await(t, "changed "+was.ID.String())
		copied := a.follow(r)
		written.write("one two")
		copied.reads(t, "one two")
		b.ends(t, r, written)
		copied.is(t, "it has ended", func() bool { return copied.ended })
		if got := a.last(t, old).Content; got != "one two" {
			t.Errorf("stored is %q", got)
		}
		if err := b.Connect(t.Context(), old, Claim{Connection: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		a.await(t, "taken "+was.ID.String()+" "+connection.String())
		if err := b.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		a.await(t, "gone "+was.ID.String())
		if next := made(t, b, Creation{ID: was.ID, Owner: "bob"}); next == old {
			t.Error("the one that is made again is the same")
		}
		if _, err := a.Get(t.Context(), old, Position{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("the old one: %v", err)
		}
	})
}
