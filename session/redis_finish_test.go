package session

import (
	"strings"
	"testing"
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
