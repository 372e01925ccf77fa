package session

import (
	"strings"
	"testing"
)

// snapshot is what a replica that lags has of a running reply.
type snapshot struct {
	reply       reply
	text, lease string
	fields      []string
}

func (n *node) snapshot(t *testing.T, r reply) snapshot {
	t.Helper()
	s := snapshot{reply: r}
	fields, err := n.raw(t, "HGETALL", key(r.conversation.ID, "reply")).AsStrMap()
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range fields {
		s.fields = append(s.fields, k, v)
	}
	s.lease = fields["lease"]
	if s.text, err = n.raw(t, "GET", key(r.conversation.ID, "text:"+r.id.String())).ToString(); err != nil {
		t.Fatal(err)
	}
	return s
}

// failOver has Redis be as it was in a snapshot, with the lease of then in
// force or run out. It is one step, as a failover is to who looks: in several,
// text of the one state would be read for the other's.
func (n *node) failOver(t *testing.T, s snapshot, leased bool) {
	t.Helper()
	const script = `redis.call('DEL', KEYS[1], KEYS[3])
		redis.call('SET', KEYS[2], ARGV[1])
		if ARGV[2] ~= '' then redis.call('SET', KEYS[3], ARGV[2]) end
		return redis.call('HSET', KEYS[1], unpack(ARGV, 3))`
	lease := ""
	if leased {
		lease = s.lease
	}
	id := s.reply.conversation.ID
	args := []string{
		"EVAL", script, "3", key(id, "reply"), key(id, "text:"+s.reply.id.String()), key(id, "turn"), s.text, lease,
	}
	if err := n.raw(t, append(args, s.fields...)...).Error(); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptionForgotten has Redis fail over to a state from before an adoption.
func TestAdoptionForgotten(t *testing.T) {
	t.Parallel()
	for name, leased := range map[string]bool{"the old lease has run out": false, "the old lease is in force": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onRedis(t, func(t *testing.T, url string) { adoptionForgotten(t, url, leased) })
		})
	}
}

func adoptionForgotten(t *testing.T, url string, leased bool) {
	a, b, c := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
	r, written := a.begin(t)
	text := passage(5000)
	written.write(text)
	written.keeps(t, len(text))
	was := b.snapshot(t, r)
	a.stop()
	b.raw(t, "DEL", key(r.conversation.ID, "turn"))
	got, err := b.Adopt(t.Context(), r.conversation, r.id)
	if err != nil {
		t.Fatal(err)
	}
	forgotten := b.write(t, r.id, got.Text)
	forgotten.write("of an epoch that never was")
	copied := c.follow(r)
	copied.reads(t, forgotten.text)

	b.failOver(t, was, leased)
	forgotten.write("!")
	forgotten.is(t, "who had adopted it knows", func() bool { return forgotten.lost })
	copied.reads(t, text)
	if leased {
		if _, err := c.Adopt(t.Context(), r.conversation, r.id); err != ErrBusy {
			t.Errorf("adopt while the old lease is in force: %v, want ErrBusy", err)
		}
		b.raw(t, "DEL", key(r.conversation.ID, "turn"))
	}
	back := &page{text: forgotten.text} // what B's followers have seen
	b.Follow(r.conversation, r.id, len(back.text), got.Said.Running.Epoch(), back)
	copied.is(t, "nobody writes it", func() bool { return copied.orphaned > 0 })
	again, err := c.Adopt(t.Context(), r.conversation, r.id)
	if err != nil || again.Text != text {
		t.Fatalf("adopted %d bytes, want %d, %v", len(again.Text), len(text), err)
	}
	if was := got.Said.Running.Epoch(); again.Said.Running.Epoch() <= was {
		t.Errorf("epoch %d follows %d", again.Said.Running.Epoch(), was)
	}
	last := c.write(t, r.id, again.Text)
	last.write(strings.Repeat("x", 200))
	back.reads(t, last.text)
	c.ends(t, r, last)
	back.is(t, "it has ended", func() bool { return back.ended })
	if got := b.last(t, r.conversation).Content; got != last.text {
		t.Errorf("stored %d bytes, want %d", len(got), len(last.text))
	}
}
