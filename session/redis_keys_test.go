package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

func (n *node) dialed(t testing.TB) *rueidis.Client {
	t.Helper()
	c, err := n.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// keysOf lists what a Redis holds.
func keysOf(t testing.TB, c rueidis.Client) []string {
	t.Helper()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "chathub:ready" })
}

// busy leaves every key that a conversation can have.
func busy(t testing.TB, a, b *node) Ref {
	id := made(t, a, Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()})
	r, written := a.ask(t, id)
	written.write("one")
	a.ends(t, r, written)
	if _, err := a.Say(t.Context(), id, edit(r.said.User.ID, "edited")); err != nil {
		t.Fatal(err)
	}
	s, err := a.Get(t.Context(), id, End)
	if err != nil {
		t.Fatal(err)
	}
	r.id = s.Running.Reply
	written = a.write(t, r.id, "")
	written.write("two")
	b.follow(r).reads(t, "two")
	if err := a.Connect(t.Context(), id, Claim{Connection: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestEveryKeyRunsOut(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		id := busy(t, a, b)
		keys := keysOf(t, *a.dialed(t))
		if len(keys) != 11 { // all of keyNames, with two texts, and idem:
			t.Errorf("%d keys: %v", len(keys), keys)
		}
		for _, k := range keys {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			most := DefaultTTL
			switch {
			case strings.HasPrefix(k, "idem:"):
				most = 2 * DefaultTTL
			case k == key(id.ID, "turn"):
				most = leaseTTL
			}
			if err != nil || ms <= 0 || ms > most.Milliseconds() {
				t.Errorf("%s lives for %d ms, %v", k, ms, err)
			}
		}
		if err := b.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		// A deletion leaves its own name, and the text of an ended reply to
		// those that still read it; both for a minute at most.
		for _, k := range keysOf(t, *a.dialed(t)) {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			if err != nil || ms <= 0 || ms > time.Minute.Milliseconds() || !strings.Contains(k, ":text:") {
				t.Errorf("%s is left for %d ms, %v", k, ms, err)
			}
		}
		empty := uuid.New()
		if _, err := a.Create(t.Context(), Creation{ID: empty}); err != nil {
			t.Fatal(err)
		}
		if ms, err := a.raw(t, "PTTL", key(empty, "session")).AsInt64(); err != nil || ms <= 0 || ms > emptyTTL.Milliseconds() {
			t.Errorf("an empty session lives for %d ms, %v", ms, err)
		}
	})
}

// TestHeldSessionsLive has one of two sessions outlive its time.
func TestHeldSessionsLive(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr, TTL: 700 * time.Millisecond})
	held, free := create(t, a), create(t, a)
	if err := a.Hold(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	exists := func(ref Ref) bool {
		n, err := a.raw(t, "EXISTS", key(ref.ID, "session")).AsInt64()
		return err == nil && n == 1
	}
	eventually(t, "the free one expires", func() bool { return !exists(free) })
	if !exists(held) {
		t.Fatal("a held session expired")
	}
	a.Release(held)
	eventually(t, "the other one expires", func() bool { return !exists(held) })
	if found(t, a, held) {
		t.Error("it is found")
	}
}

// TestOneSlot holds the keys of a conversation to one hash tag.
func TestOneSlot(t *testing.T) {
	id := uuid.New()
	for _, name := range append([]string{"text:" + uuid.NewString(), "text:gone"}, keyNames...) {
		if k := key(id, name); !strings.HasPrefix(k, "{"+id.String()+"}:") {
			t.Errorf("key %s", k)
		}
	}
	for _, s := range scripts {
		if s == appendScript || s == claimScript {
			continue // their keys are a writer's, and an idempotency key
		}
		if !strings.HasPrefix(s.source, luaFile("prelude")) {
			t.Errorf("%s stands without the prelude", s.name)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, record := range []string{"", "u1", "u1 {}", "u1{}\nx", "u {}\nx", "ux {}\nx", "u1 {\nx"} {
		if m, err := parseRecord(record); err == nil {
			t.Errorf("%q is %+v", record, m)
		}
	}
	a := &answer{}
	_ = a.string()
	if a.err == nil || a.running() != nil || a.strings() != nil {
		t.Error("an answer that is too short is none")
	}
	a = &answer{}
	if a.epochs("1:x"); a.err == nil {
		t.Error("epochs without a length")
	}
}
