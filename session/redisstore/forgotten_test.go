package redisstore

import (
	"strings"
	"testing"

	"lumos/backend/session"
)

// snapshot is what a replica that lags has of a running reply.
type snapshot struct {
	ref         session.Ref
	text, fence string
	fields      []string
}

func (n *node) snapshot(t *testing.T, ref session.Ref) snapshot {
	t.Helper()
	s := snapshot{ref: ref}
	fields, err := n.raw(t, "HGETALL", key(ref, headKey)).AsStrMap()
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range fields {
		s.fields = append(s.fields, k, v)
	}
	if s.fence, err = n.raw(t, "GET", key(ref, fenceKey)).ToString(); err != nil {
		t.Fatal(err)
	}
	if s.text, err = n.raw(t, "GET", key(ref, textKey)).ToString(); err != nil {
		t.Fatal(err)
	}
	return s
}

// failOver has Redis be as it was in a snapshot. It is one step, as a failover is to
// who looks.
func (n *node) failOver(t *testing.T, s snapshot) {
	t.Helper()
	const script = `redis.call('DEL', KEYS[1])
		redis.call('SET', KEYS[2], ARGV[1])
		redis.call('SET', KEYS[3], ARGV[2])
		return redis.call('HSET', KEYS[1], unpack(ARGV, 3))`
	args := []string{"EVAL", script, "3", key(s.ref, headKey), key(s.ref, textKey), key(s.ref, fenceKey), s.text, s.fence}
	if err := n.raw(t, append(args, s.fields...)...).Error(); err != nil {
		t.Fatal(err)
	}
}

// TestTakeForgotten has Redis fail over to a state from before a reply was taken
// over: what was shown of the epoch that is lost is taken back, by words, and the
// next take has an epoch of its own.
func TestTakeForgotten(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).settle(t)
		c := newNode(t, Config{URL: url}).settle(t)
		said := a.begin(t)
		ref, reply := said.Text.Ref, said.Text.Reply
		text := passage(5000)
		said.Text.Append([]byte(text))
		shown(t, said.Text, len(text))
		copied := c.follow(t, ref)
		reads(t, copied, text)
		was := b.snapshot(t, ref)
		a.stop()
		got := b.take(t, ref, reply)
		got.Text.Append([]byte("of an epoch that never was"))
		reads(t, copied, text+"of an epoch that never was")

		b.failOver(t, was)
		got.Text.Append([]byte("!"))
		if end := ended(t, got.Text); end.Next == nil || end.Keep > len(text) {
			t.Errorf("the writer's text ends as %+v", end)
		}
		reads(t, copied, text)
		again := c.take(t, ref, reply)
		if have := again.Text.String(again.Text.Safe()); have != text {
			t.Fatalf("taken %d bytes, want %d", len(have), len(text))
		}
		if was := got.Running.Epoch(); again.Running.Epoch() <= was {
			t.Errorf("epoch %d follows %d", again.Running.Epoch(), was)
		}
		again.Text.Append([]byte(strings.Repeat("x", 200)))
		whole := text + strings.Repeat("x", 200)
		reads(t, b.follow(t, ref), whole)
		c.end(t, again.Text)
		if got := b.last(t, ref).Content; got != whole {
			t.Errorf("stored %d bytes, want %d", len(got), len(whole))
		}
	})
}
