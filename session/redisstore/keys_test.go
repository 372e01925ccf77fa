package redisstore

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// keysIn lists what a Redis holds of conversations.
func keysIn(t testing.TB, c rueidis.Client) []string {
	t.Helper()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "hub:ready" || strings.HasPrefix(k, "hub:{beat}:") })
}

// busy leaves every key that a conversation can have.
func busy(t testing.TB, a, b *node) session.Ref {
	ref := storetest.Made(t, a, session.Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()})
	said := a.ask(t, ref)
	a.end(t, said.Text)
	said = a.ask(t, ref)
	said.Text.Append([]byte("two"))
	reads(t, b.follow(t, ref), "two")
	if err := a.Connect(t.Context(), ref, session.Claim{Connection: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestEveryKeyRunsOut(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		done := a.begin(t)
		done.Text.Append([]byte("text"))
		shown(t, done.Text, 4)
		a.end(t, done.Text)
		for _, which := range []int{fenceKey, textKey} {
			if n, err := a.raw(t, "EXISTS", key(done.Text.Ref, which)).AsInt64(); n != 0 || err != nil {
				t.Errorf("behind a reply's end there is its %s: %d, %v", keyNames[which], n, err)
			}
		}
		if err := a.Delete(t.Context(), done.Text.Ref); err != nil {
			t.Fatal(err)
		}
		a.raw(t, "DEL", key(done.Text.Ref, headKey))

		ref := busy(t, a, b)
		c, err := a.store.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keys := keysIn(t, c)
		if len(keys) != len(keyNames)+1 {
			t.Errorf("%d keys: %v", len(keys), keys)
		}
		for _, k := range keys {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			if most := session.DefaultTTL + time.Minute; err != nil || ms <= 0 || ms > most.Milliseconds() {
				t.Errorf("%s lives for %d ms, %v", k, ms, err)
			}
		}
		if err := b.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		// A deletion leaves its own name, and the idempotency key, which is nobody's.
		for _, k := range keysIn(t, c) {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			if strings.HasPrefix(k, "hub:idem:") {
				continue
			}
			if err != nil || ms <= 0 || ms > time.Minute.Milliseconds() || k != key(ref, headKey) {
				t.Errorf("%s is left for %d ms, %v", k, ms, err)
			}
		}
		empty := storetest.Made(t, a, session.Creation{ID: uuid.New()})
		if ms, err := a.raw(t, "PTTL", key(empty, headKey)).AsInt64(); err != nil || ms <= 0 || ms > session.EmptyTTL.Milliseconds() {
			t.Errorf("an empty session lives for %d ms, %v", ms, err)
		}
	})
}

// TestGrave: a creation that comes late does not undo a deletion, and one that is
// meant does.
func TestGrave(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		id := uuid.New()
		created := &session.Change{Head: session.Head{Version: "made", Born: "b", Created: session.Now()}, Had: -1}
		if err := a.store.Commit(t.Context(), id, nil, created); err != nil {
			t.Fatal(err)
		}
		was, err := b.store.Load(t.Context(), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.store.Commit(t.Context(), id, was, deletion(was)); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.store.Commit(t.Context(), id, nil, created); !errors.Is(err, session.ErrConflict) {
			t.Errorf("a late creation: %v, want ErrConflict", err)
		}
		grave, err := a.store.Load(t.Context(), id, was)
		if !errors.Is(err, session.ErrNotFound) || grave == nil || grave.Born != "" || grave.Version == "" {
			t.Fatalf("the grave is %+v, %v", grave, err)
		}
		if again, err := a.store.Load(t.Context(), id, grave); !errors.Is(err, session.ErrNotFound) || again.Version != grave.Version {
			t.Errorf("looked at again it is %+v, %v", again, err)
		}
		again := &session.Change{Head: session.Head{Version: "again", Born: "c", Created: session.Now()}, Had: -1}
		for range 2 {
			if err := a.store.Commit(t.Context(), id, grave, again); err != nil {
				t.Error(err)
			}
		}
		if err := b.store.Commit(t.Context(), id, was, deletion(was)); !errors.Is(err, session.ErrConflict) {
			t.Errorf("a late deletion: %v, want ErrConflict", err)
		}
		if ms, err := a.raw(t, "PTTL", keysOf(id)[headKey]).AsInt64(); err != nil || ms <= graveTTL.Milliseconds() {
			t.Errorf("made again it lives for %d ms, %v", ms, err)
		}
	})
}

// TestHeldSessionsLive has one of several sessions outlive its time: that which is
// held, and that whose reply runs, however short the time is.
func TestHeldSessionsLive(t *testing.T) {
	t.Parallel()
	a := newNode(t, Config{URL: "redis://" + startRedis(t).addr, TTL: 100 * time.Millisecond})
	make := func() session.Ref { return storetest.Made(t, a, session.Creation{ID: uuid.New()}) }
	held, free, running := make(), make(), make()
	if err := a.Hold(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	said := a.ask(t, running) // and is silent
	if ms, err := a.raw(t, "PTTL", key(running, headKey)).AsInt64(); err != nil || ms < usedTTL.Milliseconds()/2 {
		t.Errorf("while its reply runs it lives for %d ms, %v", ms, err)
	}
	exists := func(ref session.Ref) bool {
		n, err := a.raw(t, "EXISTS", key(ref, headKey)).AsInt64()
		return err == nil && n == 1
	}
	eventually(t, "the held one has time to be touched again", func() bool {
		ms, err := a.raw(t, "PTTL", key(held, headKey)).AsInt64()
		return err == nil && ms > usedTTL.Milliseconds()/2
	})
	eventually(t, "the free one expires", func() bool { return !exists(free) })
	if !exists(held) || !exists(running) {
		t.Fatal("a session in use expired")
	}
	said.Text.Append([]byte("text"))
	a.end(t, said.Text)
	a.Release(held)
	eventually(t, "the held one expires", func() bool { return !exists(held) })
	eventually(t, "the one that ran expires", func() bool { return !exists(running) })
	for _, ref := range []session.Ref{held, running} {
		if _, err := a.Get(t.Context(), ref, session.End); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("it is found: %v", err)
		}
	}
}

// TestTouch: all keys slide together, and what is not as the node has it is told.
func TestTouch(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, Config{URL: url})
		said := a.begin(t)
		said.Text.Append([]byte("text"))
		shown(t, said.Text, 4)
		ref := said.Text.Ref
		now, err := a.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		all := []int{headKey, logKey, fenceKey, textKey}
		for _, which := range all {
			a.raw(t, "PEXPIRE", key(ref, which), "10000")
		}
		gone := uuid.New()
		changed, err := a.store.Touch(t.Context(), []session.Use{
			{ID: ref.ID, Version: now.Version}, {ID: gone, Version: "x"}, {ID: ref.ID, Version: "before"},
		})
		if err != nil || !slices.Equal(changed, []uuid.UUID{gone, ref.ID}) {
			t.Errorf("changed are %v, %v", changed, err)
		}
		for _, which := range all {
			if ms, err := a.raw(t, "PTTL", key(ref, which)).AsInt64(); err != nil || ms <= time.Hour.Milliseconds() {
				t.Errorf("%s lives for %d ms, %v", keyNames[which], ms, err)
			}
		}
	})
}

// TestClaim: a key stands for the first session that claims it, until that is stale.
func TestClaim(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		s := newNode(t, Config{URL: url}).store
		first, second, none := uuid.New(), uuid.New(), uuid.Nil
		for i, c := range []struct{ id, stale, want uuid.UUID }{
			{first, none, first}, {first, none, first}, {second, none, first}, {second, uuid.New(), first},
			{none, second, none}, {second, none, first}, // it stood for another
			{second, first, second}, {second, first, second}, {first, none, second},
			{none, second, none}, {none, second, none}, {first, none, first},
		} {
			if got, err := s.Claim(t.Context(), "key", c.id, c.stale); got != c.want || err != nil {
				t.Errorf("claim %d: %v, %v, want %v", i, got, err, c.want)
			}
		}
	})
}

// TestKeysLive: an idempotency key finds its session as long as that lives.
func TestKeysLive(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, Config{URL: url})
		c := session.Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()}
		ref := storetest.Made(t, a, c)
		name := idemKey(session.ClaimName("ann", c.Key))
		said := a.ask(t, ref)
		a.end(t, said.Text)
		a.raw(t, "PEXPIRE", name, "10000")
		eventually(t, "its time slides with the session's", func() bool {
			if _, err := a.Get(t.Context(), ref, session.End); err != nil {
				t.Fatal(err)
			}
			ms, err := a.raw(t, "PTTL", name).AsInt64()
			return err == nil && ms > session.DefaultTTL.Milliseconds()
		})
		c.ID = uuid.New()
		if again := storetest.Made(t, a, c); again != ref {
			t.Errorf("the key finds %v, want %v", again, ref)
		}
	})
}
