package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// TestFinishAmidAppends ends replies whose last text is on its way to Redis:
// that it comes too late is no loss of the right to write.
func TestFinishAmidAppends(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	for range 200 {
		r, written := a.begin(t)
		written.write("one ")
		written.keeps(t, 4)
		written.write("two")
		if err := a.Finish(t.Context(), r.conversation, Message{ID: r.id, Content: "one two", FinishReason: FinishStop}); err != nil {
			t.Fatal(err)
		}
		if _, _, lost := written.now(); lost {
			t.Fatal("the writer is told that it lost its reply")
		}
	}
	if log := a.log.String(); strings.Contains(log, "no longer") {
		t.Errorf("told as %s", log)
	}
}

// TestYieldAmidFinish: who yields text that another node has the right to write
// by now does not offer it for ever, although it is Finish that is to tell.
func TestYieldAmidFinish(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + miniredis.RunT(t).Addr()})
	r, written := a.begin(t)
	a.ending(r.id, true)
	for _, taken := range [][]string{
		{"HSET", key(r.conversation, "reply"), "lease", "another"}, {"SET", key(r.conversation, "turn"), "another"},
	} {
		if err := a.raw(t, taken...).Error(); err != nil {
			t.Fatal(err)
		}
	}
	written.write("too late")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Yield(ctx, r.conversation, r.id); err != nil {
		t.Error(err)
	}
}
