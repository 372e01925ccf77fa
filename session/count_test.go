package session

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// TestCounters holds both counters to the same table, over two nodes where
// there are nodes.
func TestCounters(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		c := new(Counts)
		testCounter(t, c, c)
	})
	onRedis(t, func(t *testing.T, url string) {
		testCounter(t, newNode(t, RedisConfig{URL: url}).Counter(), newNode(t, RedisConfig{URL: url}).Counter())
	})
}

func testCounter(t *testing.T, one, other Counter) {
	ctx := context.Background()
	for i, c := range []Counter{one, other, one} {
		if wait, err := c.Take(ctx, "a", 3); wait != 0 || err != nil {
			t.Fatalf("thing %d of 3: wait %v, %v", i+1, wait, err)
		}
	}
	for _, c := range []Counter{one, other} { // asking does not make it longer
		if wait, err := c.Take(ctx, "a", 3); wait <= 0 || wait > 20*time.Second || err != nil {
			t.Errorf("a fourth of 3 a minute: wait %v, %v; want up to 20s", wait, err)
		}
	}
	if wait, err := other.Take(ctx, "b", 3); wait != 0 || err != nil {
		t.Errorf("another key: wait %v, %v", wait, err)
	}

	first, second := uuid.New(), uuid.New()
	enter := func(c Counter, reply uuid.UUID, want bool) {
		t.Helper()
		if got, err := c.Enter(ctx, "a", reply, 1); got != want || err != nil {
			t.Errorf("enter: %v, %v; want %v", got, err, want)
		}
	}
	full := func(c Counter, most int, want bool) {
		t.Helper()
		if got, err := c.Full(ctx, "a", most); got != want || err != nil {
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
	one.Leave("a", first)
	eventually(t, "there is room again", func() bool {
		ok, err := other.Enter(ctx, "a", second, 1)
		return ok && err == nil
	})
	enter(one, first, false)
}

// TestCountsForget: what is full again is not remembered, and no number of
// clients makes the table larger than it may be.
func TestCountsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		var c Counts
		take := func(want bool) {
			t.Helper()
			if wait, _ := c.Take(ctx, "a", 2); (wait == 0) != want {
				t.Errorf("after %v: wait %v", time.Since(c.begun), wait)
			}
		}
		take(true)
		take(true)
		take(false)
		time.Sleep(30 * time.Second)
		take(true)
		take(false)
		time.Sleep(59 * time.Second)
		take(true)
		time.Sleep(2 * time.Second)
		for i := range 3 * maxBuckets {
			_, _ = c.Take(ctx, strconv.Itoa(i), 2)
		}
		if n := len(c.buckets) + len(c.older); n > 2*maxBuckets {
			t.Errorf("%d keys are remembered", n)
		}
		time.Sleep(3 * time.Minute)
		_, _ = c.Take(ctx, "b", 2)
		time.Sleep(3 * time.Minute)
		_, _ = c.Take(ctx, "b", 2)
		if n := len(c.buckets) + len(c.older); n > 2 {
			t.Errorf("one key was used, but %d are remembered", n)
		}
		reply := uuid.New()
		_, _ = c.Enter(ctx, "a", reply, 1)
		c.Leave("a", reply)
		c.Leave("nobody", reply)
		if len(c.running) != 0 {
			t.Errorf("nothing runs, but counted are %v", c.running)
		}
	})
}

// TestRedisCountsRunOut: nothing that is counted stays in Redis.
func TestRedisCountsRunOut(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		n := newNode(t, RedisConfig{URL: url})
		ctx := context.Background()
		if _, err := n.Counter().Take(ctx, "a", 60); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Counter().Enter(ctx, "a", uuid.New(), 1); err != nil {
			t.Fatal(err)
		}
		for key, most := range map[string]time.Duration{"take:a": 2 * time.Second, "running:a": countedFor} {
			left, err := n.raw(t, "PTTL", key).AsInt64()
			if err != nil || left <= 0 || left > most.Milliseconds() {
				t.Errorf("%s lives %d ms (%v), want at most %v", key, left, err, most)
			}
		}
	})
}
