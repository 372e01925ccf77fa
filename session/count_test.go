package session

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

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
