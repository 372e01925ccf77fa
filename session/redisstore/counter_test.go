package redisstore

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestCounters holds both counters to the same table, over two nodes where there
// are nodes.
func TestCounters(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		c := new(session.Counts)
		testCounter(t, c, c)
	})
	onRedis(t, func(t *testing.T, url string) {
		testCounter(t, newNode(t, Config{URL: url}).store, newNode(t, Config{URL: url}).store)
	})
}

func testCounter(t *testing.T, one, other session.Counter) {
	ctx := context.Background()
	rate, running := uuid.NewString(), uuid.NewString()
	for i, c := range []session.Counter{one, other, one} {
		if wait, err := c.Take(ctx, rate, 3); wait != 0 || err != nil {
			t.Fatalf("thing %d of 3: wait %v, %v", i+1, wait, err)
		}
	}
	for _, c := range []session.Counter{one, other} { // asking does not make it longer
		if wait, err := c.Take(ctx, rate, 3); wait <= 0 || wait > 20*time.Second || err != nil {
			t.Errorf("a fourth of 3 a minute: wait %v, %v; want up to 20s", wait, err)
		}
	}
	if wait, err := other.Take(ctx, running, 3); wait != 0 || err != nil {
		t.Errorf("another key: wait %v, %v", wait, err)
	}

	first, second := uuid.New(), uuid.New()
	enter := func(c session.Counter, reply uuid.UUID, want bool) {
		t.Helper()
		if got, err := c.Enter(ctx, running, reply, 1); got != want || err != nil {
			t.Errorf("enter: %v, %v; want %v", got, err, want)
		}
	}
	full := func(c session.Counter, most int, want bool) {
		t.Helper()
		if got, err := c.Full(ctx, running, most); got != want || err != nil {
			t.Errorf("full of %d: %v, %v; want %v", most, got, err, want)
		}
	}
	full(one, 1, false)
	enter(one, first, true)
	enter(one, first, true)
	enter(other, second, false)
	full(one, 1, true)
	full(other, 1, true)
	full(other, 2, false)
	one.Leave(running, first)
	eventually(t, "there is room again", func() bool {
		ok, err := other.Enter(ctx, running, second, 1)
		return ok && err == nil
	})
	enter(one, first, false)
	enter(one, second, true) // as who takes a reply over
	other.Leave(running, second)
	one.Leave(running, second)
	eventually(t, "it counts no more", func() bool {
		ok, err := other.Enter(ctx, running, first, 1)
		return ok && err == nil
	})
}

// TestCountsRunOut: nothing that is counted stays in Redis.
func TestCountsRunOut(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		n := newNode(t, Config{URL: url})
		if _, err := n.store.Take(t.Context(), "a", 60); err != nil {
			t.Fatal(err)
		}
		if _, err := n.store.Enter(t.Context(), "a", uuid.New(), 1); err != nil {
			t.Fatal(err)
		}
		for key, most := range map[string]time.Duration{"hub:take:a": 2 * time.Second, "hub:running:a": countedFor} {
			left, err := n.raw(t, "PTTL", key).AsInt64()
			if err != nil || left <= 0 || left > most.Milliseconds() {
				t.Errorf("%s lives %d ms (%v), want at most %v", key, left, err, most)
			}
		}
	})
}

// TestClockStepsBack: what was counted before it did holds up nobody for longer
// than it would have.
func TestClockStepsBack(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		n := newNode(t, Config{URL: url})
		c := n.store
		later := time.Now().Add(time.Hour)
		n.raw(t, "SET", "hub:take:a", strconv.FormatInt(later.UnixMicro(), 10))
		if wait, err := c.Take(t.Context(), "a", 6); err != nil || wait > 11*time.Second {
			t.Errorf("wait %v, %v; want at most 10s", wait, err)
		}
		n.raw(t, "ZADD", "hub:running:a", strconv.FormatInt(later.UnixMilli(), 10), n.store.node+" "+uuid.NewString())
		if ok, err := c.Enter(t.Context(), "a", uuid.New(), 1); ok || err != nil {
			t.Errorf("enter: %v, %v", ok, err)
		}
		scores, err := n.raw(t, "ZRANGE", "hub:running:a", "0", "-1", "WITHSCORES").AsZScores()
		if err != nil || len(scores) != 1 || scores[0].Score > float64(time.Now().Add(countedFor).UnixMilli()) {
			t.Errorf("counted %v, %v", scores, err)
		}
	})
}

// TestDeadNodesCountNoMore: the replies of a node that was killed do not keep their
// client from asking again.
func TestDeadNodesCountNoMore(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		dead, n := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).settle(t)
		ctx := t.Context()
		enter := func(n *node, reply uuid.UUID) bool {
			ok, err := n.store.Enter(ctx, "a", reply, 2)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		alive := uuid.New()
		if !enter(dead, uuid.New()) || !enter(n, alive) || enter(n, uuid.New()) {
			t.Fatal("two of two")
		}
		dead.stop()
		next := uuid.New()
		eventually(t, "the dead node's counts no more", func() bool { return enter(n, next) })
		if enter(n, uuid.New()) {
			t.Error("the living one's does not count")
		}
		if left, err := n.raw(t, "ZCARD", "hub:running:a").AsInt64(); left != 2 || err != nil {
			t.Errorf("%d are left, %v", left, err)
		}
	})
}
