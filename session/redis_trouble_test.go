package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestRestart kills Redis in mid-reply, with its log on disk.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	url := "redis://" + server.addr
	a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
	r, written := a.begin(t)
	copied := b.follow(r)
	text := passage(9000)
	written.write(text[:boundary(text, 3000)])
	copied.reads(t, written.text)

	server.kill()
	begun, was, _ := written.now()
	a.hasty()
	written.write(text[len(begun):boundary(text, 6000)])
	for name, err := range map[string]error{
		"ready":  a.Ready(t.Context()),
		"hold":   a.Hold(t.Context(), r.conversation),
		"finish": a.Finish(t.Context(), r.conversation, Message{ID: r.id, Content: text}),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	_, stored, _ := written.now()
	if shown, _, _ := copied.now(); stored != was || len(shown) != was {
		t.Error("text is shown that Redis does not have")
	}

	a.limit = b.limit
	server.start(t)
	half, _, _ := written.now()
	copied.reads(t, half)
	written.write(text[len(half):])
	copied.reads(t, text)
	written.keeps(t, len(text))
	a.ends(t, r, written)
	copied.is(t, "the copy has ended", func() bool { return copied.ended })
	if got := b.last(t, r.conversation).Content; got != text {
		t.Errorf("stored %d bytes, want %d", len(got), len(text))
	}
	if _, _, lost := written.now(); lost || len(copied.cuts) > 0 {
		t.Errorf("lost %v, cut at %v", lost, copied.cuts)
	}
}

// TestStartWithoutRedis begins before Redis does.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.kill()
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr}).hasty()
	if err := a.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("ready: %v, want ErrUnavailable", err)
	}
	server.start(t)
	eventually(t, "it is ready", func() bool { return a.Ready(t.Context()) == nil })
	a.limit *= 10
	r, written := a.begin(t)
	written.write("text")
	written.keeps(t, 4)
	a.ends(t, r, written)
}

func TestSlowRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	r, written := a.begin(t)
	if got := server.ask("CLIENT PAUSE 700"); got != "+OK" {
		t.Fatal(got)
	}
	written.write("text")
	if _, err := a.Get(t.Context(), r.conversation, End); err != nil {
		t.Errorf("get: %v", err)
	}
	written.keeps(t, 4)
	if got := server.ask("CLIENT PAUSE 60000"); got != "+OK" {
		t.Fatal(got)
	}
	if _, err := a.hasty().Get(t.Context(), r.conversation, End); !errors.Is(err, ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
}

// TestFullRedis fills Redis up in mid-reply.
func TestFullRedis(t *testing.T) {
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	r, written := a.begin(t)
	written.write("one ")
	written.keeps(t, 4)
	ending, ends := a.begin(t)
	ends.write("end")
	ends.keeps(t, 3)
	if got := server.ask("CONFIG SET maxmemory 1"); got != "+OK" {
		t.Fatal(got)
	}
	if _, err := a.Create(t.Context(), Creation{ID: uuid.New()}); err != ErrFull {
		t.Errorf("create: %v, want ErrFull", err)
	}
	if _, err := a.Create(t.Context(), Creation{ID: uuid.New(), Key: uuid.New()}); err != ErrFull {
		t.Errorf("create with a key: %v, want ErrFull", err)
	}
	if _, err := a.Get(t.Context(), r.conversation, End); err != nil {
		t.Errorf("get: %v", err)
	}
	if err := a.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	written.write("two ")
	a.ends(t, ending, ends) // what has begun may end
	if _, err := a.Say(t.Context(), ending.conversation, submit("x")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("say: %v, want ErrUnavailable", err)
	}
	if s, err := a.Get(t.Context(), ending.conversation, Position{}); err != nil || len(s.Messages) != 2 || s.Running != nil {
		t.Errorf("a turn that was refused left %+v, %v", s, err)
	}
	if _, stored, _ := written.now(); stored != 4 {
		t.Error("text is shown that Redis does not have")
	}
	if got := server.ask("CONFIG SET maxmemory 0"); got != "+OK" {
		t.Fatal(got)
	}
	written.keeps(t, 8)
	a.ends(t, r, written)
}

func TestPolicyWarning(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--maxmemory-policy", "allkeys-lru")
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	eventually(t, "it warns", func() bool { return strings.Contains(a.log.String(), "maxmemory-policy=allkeys-lru") })
	policy, err := maxmemoryPolicy(t.Context(), *newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr}).dialed(t))
	if err != nil || policy != "noeviction" {
		t.Errorf("policy %q, %v", policy, err)
	}
}

// TestFailedOver has what was the master refuse to write.
func TestFailedOver(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	r, written := a.begin(t)
	if got := server.ask("REPLICAOF 127.0.0.1 1"); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	if err := a.hasty().Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ready: %v, want ErrUnavailable", err)
	}
	written.write("text")
	if got := server.ask("REPLICAOF NO ONE"); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	written.keeps(t, 4)
	a.ends(t, r, written)
}

// TestLateDeadline: a step whose time was over before it began, as after a pause
// of the process, says no more than that nothing is known.
func TestLateDeadline(t *testing.T) {
	t.Parallel()
	a := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	r, written := a.begin(t)
	written.write("text")
	written.keeps(t, 4)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	m := Message{ID: r.id, Content: "text", FinishReason: FinishStop, Timestamp: Now()}
	if err := a.Finish(ctx, r.conversation, m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	a.ends(t, r, written)
}

// TestStopBeforeFinish: a writer that has come to the end when another node
// stops the reply must not take what that one stored for its own end.
func TestStopBeforeFinish(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		r, written := a.begin(t)
		written.write("one ")
		written.keeps(t, 4)
		stopped := Message{ID: r.id, FinishReason: FinishStopped, Timestamp: Now()}
		if _, err := b.Stop(t.Context(), r.conversation, stopped); err != nil {
			t.Fatal(err)
		}
		m := Message{ID: r.id, Content: "one two", FinishReason: FinishStop, Timestamp: Now()}
		for range 2 {
			if err := a.Finish(t.Context(), r.conversation, m); !errors.Is(err, ErrLost) {
				t.Errorf("%v, want ErrLost", err)
			}
		}
		if got := a.last(t, r.conversation); got.Content != "one " || got.FinishReason != FinishStopped {
			t.Errorf("stored is %q %s", got.Content, got.FinishReason)
		}
	})
}
