package redisstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestRestart kills Redis in mid-reply, with its log on disk.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	url := "redis://" + server.addr
	a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
	said := a.begin(t)
	ref := said.Text.Ref
	copied := b.follow(t, ref)
	text := passage(9000)
	third, two := boundary(text, 3000), boundary(text, 6000)
	said.Text.Append([]byte(text[:third]))
	reads(t, copied, text[:third])

	server.kill()
	was := said.Text.Safe()
	a.hasty()
	said.Text.Append([]byte(text[third:two]))
	_, say := a.Say(t.Context(), storetestRef, storetest.Submit("x"))
	for name, err := range map[string]error{
		"ready":  a.Ready(t.Context()),
		"hold":   a.Hold(t.Context(), storetestRef),
		"say":    say,
		"finish": a.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}),
	} {
		if !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if said.Text.Safe() != was || copied.Safe() != was {
		t.Error("text is shown that Redis does not have")
	}
	if log := a.log.String(); !strings.Contains(log, "cannot be reached") {
		t.Errorf("log: %s", log)
	}

	a.store.limit = b.store.limit
	server.start(t)
	eventually(t, "the end is stored", func() bool {
		return a.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}) == nil
	})
	if end := ended(t, copied); end.Message == nil || end.Message.Content != text[:two] {
		t.Errorf("the copy ends as %+v", end)
	}
	if got := b.last(t, ref).Content; got != text[:two] {
		t.Errorf("stored %d bytes, want %d", len(got), two)
	}
}

var storetestRef = session.Ref{ID: uuid.New(), Born: "never"}

// TestRestartAmidText has text go on behind an outage.
func TestRestartAmidText(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	url := "redis://" + server.addr
	a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
	said := a.begin(t)
	copied := b.follow(t, said.Text.Ref)
	said.Text.Append([]byte("one "))
	reads(t, copied, "one ")
	server.kill()
	said.Text.Append([]byte("two "))
	server.start(t)
	reads(t, copied, "one two ")
	said.Text.Append([]byte("three"))
	reads(t, copied, "one two three")
	a.end(t, said.Text)
	if copied.End() != nil && copied.End().Next != nil {
		t.Error("the reply had another writer")
	}
}

// TestStartWithoutRedis begins before Redis does, and says so at once.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.kill()
	a := openNode(t, Config{URL: "redis://" + server.addr}).hasty()
	a.store.outages.Interval = 6 * time.Second // in place of a minute
	a.run(t)
	eventually(t, "it says so", func() bool { return strings.Contains(a.log.String(), "Redis cannot be reached") })
	if err := a.Ready(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Fatalf("ready: %v, want ErrUnavailable", err)
	}
	if log := a.log.String(); strings.Count(log, "cannot be reached") != 1 {
		t.Errorf("too soon: %s", log)
	}
	eventually(t, "it says so again", func() bool { return strings.Count(a.log.String(), "cannot be reached") == 2 })
	server.start(t)
	eventually(t, "it is ready", func() bool { return a.Ready(t.Context()) == nil })
	a.store.limit *= 10
	said := a.begin(t)
	said.Text.Append([]byte("text"))
	shown(t, said.Text, 4)
	a.end(t, said.Text)
}

func TestSlowRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, Config{URL: "redis://" + server.addr})
	said := a.begin(t)
	if got := server.ask("CLIENT PAUSE 700"); got != "+OK" {
		t.Fatal(got)
	}
	said.Text.Append([]byte("text"))
	if _, err := a.Get(t.Context(), said.Text.Ref, session.End); err != nil {
		t.Errorf("get: %v", err)
	}
	shown(t, said.Text, 4)
	if got := server.ask("CLIENT PAUSE 60000"); got != "+OK" {
		t.Fatal(got)
	}
	if _, err := a.hasty().Get(t.Context(), said.Text.Ref, session.End); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
}

// TestFullRedis fills Redis up in mid-reply: what has begun may end, in any way;
// nothing begins.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	url := "redis://" + server.addr
	a, b, dead := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).settle(t), newNode(t, Config{URL: url})
	goesOn, ends, stops, yields, orphan, deleted := a.begin(t), a.begin(t), a.begin(t), a.begin(t), dead.begin(t), a.begin(t)
	for _, said := range []session.Said{goesOn, ends, stops, yields, orphan, deleted} {
		said.Text.Append([]byte("one "))
		shown(t, said.Text, 4)
	}
	copied := b.follow(t, orphan.Text.Ref)
	reads(t, copied, "one ")
	if got := server.ask("CONFIG SET maxmemory 1"); got != "+OK" {
		t.Fatal(got)
	}
	dead.stop()
	beat := func() string {
		s, err := a.raw(t, "GET", beatKey(a.store.node)).ToString()
		if err != nil {
			t.Error(err)
		}
		return s
	}
	before := beat()
	eventually(t, "the beat rises", func() bool { return beat() != before })
	_, create := a.Create(t.Context(), session.Creation{ID: uuid.New()})
	_, keyed := a.Create(t.Context(), session.Creation{ID: uuid.New(), Key: uuid.New()})
	for name, err := range map[string]error{"create": create, "create with a key": keyed} {
		if !errors.Is(err, session.ErrFull) {
			t.Errorf("%s: %v, want ErrFull", name, err)
		}
	}
	if _, err := a.Get(t.Context(), goesOn.Text.Ref, session.End); err != nil {
		t.Errorf("get: %v", err)
	}
	if err := a.Ready(t.Context()); err == nil {
		t.Error("it is ready")
	}
	goesOn.Text.Append([]byte("two "))
	ends.Text.Append([]byte("more that no append gets in"))
	a.end(t, ends.Text)
	if got := b.last(t, ends.Text.Ref).Content; got != "one more that no append gets in" {
		t.Errorf("stored %q", got)
	}
	if err := b.Stop(t.Context(), stops.Text.Ref, stops.Text.Reply); err != nil {
		t.Errorf("stop: %v", err)
	}
	a.await(t, "stopping", stops.Text.Ref.ID.String(), stops.Text.Reply.String())
	if err := a.Finish(t.Context(), stops.Text, session.Message{FinishReason: session.FinishStopped}); err != nil {
		t.Errorf("the end of what is stopped: %v", err)
	}
	if err := a.Yield(t.Context(), yields.Text); err != nil {
		t.Errorf("yield: %v", err)
	}
	b.take(t, yields.Text.Ref, yields.Text.Reply)
	b.await(t, "orphaned", orphan.Text.Ref.ID.String(), orphan.Text.Reply.String())
	taken := b.take(t, orphan.Text.Ref, orphan.Text.Reply)
	b.end(t, taken.Text)
	if _, err := a.store.Touch(t.Context(), []session.Use{{ID: ends.Text.Ref.ID, Held: true}}); err != nil {
		t.Errorf("touch: %v", err)
	}
	claim := session.Claim{Connection: uuid.New()}
	if err := a.Connect(t.Context(), ends.Text.Ref, claim); err != nil {
		t.Errorf("connect: %v", err)
	}
	if err := a.Delete(t.Context(), deleted.Text.Ref); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := a.Say(t.Context(), ends.Text.Ref, storetest.Submit("x")); !errors.Is(err, session.ErrFull) {
		t.Errorf("say: %v, want ErrFull", err)
	}
	if s := b.session(t, ends.Text.Ref); len(s.Messages) != 2 || s.Running != nil {
		t.Errorf("a turn that was refused left %+v", s)
	}
	if goesOn.Text.Safe() != 4 {
		t.Error("text is shown that Redis does not have")
	}
	if !strings.Contains(a.log.String(), "OOM command not allowed") {
		t.Errorf("log: %s", a.log)
	}
	if got := server.ask("CONFIG SET maxmemory 0"); got != "+OK" {
		t.Fatal(got)
	}
	shown(t, goesOn.Text, 8)
	a.end(t, goesOn.Text)
}

func TestPolicyWarning(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--maxmemory-policy", "allkeys-lru")
	a := newNode(t, Config{URL: "redis://" + server.addr})
	eventually(t, "it warns", func() bool { return strings.Contains(a.log.String(), "maxmemory-policy=allkeys-lru") })
	c, err := newNode(t, Config{URL: "redis://" + startRedis(t).addr}).store.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if policy, err := maxmemoryPolicy(t.Context(), c); err != nil || policy != "noeviction" {
		t.Errorf("policy %q, %v", policy, err)
	}
}

// TestFailedOver has what was the master refuse to write: the log has Redis' own
// word, once a minute.
func TestFailedOver(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, Config{URL: "redis://" + server.addr})
	said := a.begin(t)
	if got := server.ask("REPLICAOF 127.0.0.1 1"); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	if err := a.hasty().Ready(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("ready: %v, want ErrUnavailable", err)
	}
	said.Text.Append([]byte("text"))
	eventually(t, "the log has it", func() bool { return strings.Contains(a.log.String(), "READONLY You can't write") })
	if log := a.log.String(); strings.Count(log, "Redis refuses") != 1 {
		t.Errorf("log: %s", log)
	}
	if got := server.ask("REPLICAOF NO ONE"); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	shown(t, said.Text, 4)
	a.end(t, said.Text)
}

// TestMisconfigured has Redis refuse to write since it cannot save: no node is held
// dead for that its beat does not get through.
func TestMisconfigured(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	url := "redis://" + server.addr
	a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).settle(t)
	said := a.begin(t)
	copied := b.follow(t, said.Text.Ref)
	if got := server.ask("CONFIG SET min-replicas-to-write 1"); got != "+OK" {
		t.Fatal(got)
	}
	said.Text.Append([]byte("text"))
	eventually(t, "the log has it", func() bool { return strings.Contains(a.log.String(), "NOREPLICAS") })
	looks := func() time.Duration {
		b.store.peers.mu.Lock()
		defer b.store.peers.mu.Unlock()
		return time.Since(b.store.peers.raised)
	}
	eventually(t, "the own beat has established for longer than a dead one's would", func() bool { return looks() > deadBeat+time.Second })
	if !b.store.Alive(a.store.node) {
		t.Error("the writer is held dead")
	}
	if got := server.ask("CONFIG SET min-replicas-to-write 0"); got != "+OK" {
		t.Fatal(got)
	}
	reads(t, copied, "text")
	a.end(t, said.Text)
}

// TestLateDeadline: a step whose time was over before it began, as after a pause
// of the process, says no more than that nothing is known.
func TestLateDeadline(t *testing.T) {
	t.Parallel()
	a := newNode(t, Config{URL: "redis://" + startRedis(t).addr})
	said := a.begin(t)
	said.Text.Append([]byte("text"))
	shown(t, said.Text, 4)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := a.store.Load(ctx, said.Text.Ref.ID, nil); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	a.end(t, said.Text)
}
