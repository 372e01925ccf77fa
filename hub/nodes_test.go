package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

// endless says a word every 20 ms until it is stopped.
func endless(ctx context.Context, _ []llms.MessageContent, say func(string) error) (string, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if err := say("word "); err != nil {
			return "", err
		}
	}
}

// hubOnRedis runs a hub over a Redis, until the test ends.
func hubOnRedis(t *testing.T, addr string, abandonAfter time.Duration) *Hub {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := session.NewRedis(session.RedisConfig{URL: "redis://" + addr, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{
		Sessions: session.NewManager(store), Model: modelFunc(endless), ModelName: "m", Logger: log, AbandonAfter: abandonAfter,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	running.Go(func() { _ = store.Run(ctx, h.Gone) })
	t.Cleanup(func() { cancel(); running.Wait(); store.Close() })
	return h
}

// eventually polls until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-limit.C:
			t.Fatalf("in vain waited until %s", what)
		case <-tick.C:
		}
	}
}

// TestGivenUp: who follows a reply that its writer could not store in time goes
// on with it as soon as the store is back, and is not sent away then.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	h := hubOnRedis(t, server.Addr(), 0)
	s, err := h.sessions.New(t.Context(), "", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := h.Say(t.Context(), Caller{}, s.Ref(), session.Turn{User: session.Message{Content: "go on"}})
	if err != nil {
		t.Fatal(err)
	}
	// A subscription that is refused is taken back, and rueidis panics when that is refused too.
	eventually(t, "the node listens", func() bool { return len(server.PubSubChannels("")) > 0 })
	server.SetError("OOM command not allowed when used memory > 'maxmemory'.")
	h.giveUp(r)
	server.SetError("")
	if outcome, _, err := h.Stop(t.Context(), s.Ref(), uuid.Nil); outcome != OutcomeStopped || err != nil {
		t.Fatalf("%s, %v", outcome, err)
	}
	if e, err := h.Wait(t.Context(), r); err != nil || e.Err != nil || e.Message.FinishReason != session.FinishStopped {
		t.Errorf("%v, %v", e, err)
	}
}

// unstorable is a store that takes the end of no reply, and never will.
type unstorable struct{ session.Store }

func (unstorable) Finish(context.Context, session.Ref, session.Message) error {
	return errors.New("a script failed")
}

// TestUnstorable: who follows a reply whose end is refused for good is sent
// away, and does not have the model asked again and again.
func TestUnstorable(t *testing.T) {
	t.Parallel()
	h := hubOnRedis(t, miniredis.RunT(t).Addr(), 0)
	s, err := h.sessions.New(t.Context(), "", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	h.sessions.Store = unstorable{h.sessions.Store}
	r, _, err := h.Say(t.Context(), Caller{}, s.Ref(), session.Turn{User: session.Message{Content: "go on"}})
	if err != nil {
		t.Fatal(err)
	}
	sock := newMemSocket()
	h.Serve(t.Context(), sock, Join{Conversation: s.Ref(), Arrived: time.Now(), Offset: -1})
	eventually(t, "it is followed", func() bool { return sock.text() != "" })
	h.giveUp(r)
	eventually(t, "the follower is sent away", func() bool { _, ended := sock.ended(); return ended })
	if code, _ := sock.ended(); code != CloseTryLater {
		t.Errorf("closed with %d", code)
	}
	if other := h.reply(r.ID); other != nil && other != r {
		t.Error("the reply goes on")
	}
}

// TestStrayAttempt: a page's attempt to connect that it gave up does not take
// its conversation from its live connection at another node.
func TestStrayAttempt(t *testing.T) {
	t.Parallel()
	addr := miniredis.RunT(t).Addr()
	a, b := hubOnRedis(t, addr, 0), hubOnRedis(t, addr, 0)
	s, err := a.sessions.New(t.Context(), "", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	client := uuid.New()
	connect := func(h *Hub, sock *memSocket) {
		h.Serve(t.Context(), sock, Join{Conversation: s.Ref(), Client: client, Arrived: time.Now(), Offset: -1})
	}
	live, stray, next := newMemSocket(), newMemSocket(), newMemSocket()
	stray.set(&stray.silent)
	connect(a, live)
	connect(b, stray)
	if code, ended := stray.ended(); !ended || code != CloseTryLater {
		t.Errorf("the stray one is closed with %d, ended %v", code, ended)
	}
	live.in <- []byte(`{"type":"ping"}`)
	eventually(t, "the live one is answered", func() bool { return slices.Contains(live.types(), "pong") })
	connect(b, next)
	eventually(t, "the next one takes over", func() bool {
		code, ended := live.ended()
		return ended && code == CloseTakenOver && slices.Contains(next.types(), "ready")
	})
}

// TestEditedElsewhere: a connection that follows a reply which another node
// writes stays when that is stopped and edited away there, and goes on with what
// took its place.
func TestEditedElsewhere(t *testing.T) {
	t.Parallel()
	addr := miniredis.RunT(t).Addr()
	a, b := hubOnRedis(t, addr, 0), hubOnRedis(t, addr, 0)
	s, err := a.sessions.New(t.Context(), "", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	sock := newMemSocket()
	b.Serve(t.Context(), sock, Join{Conversation: s.Ref(), Arrived: time.Now(), Offset: -1})
	eventually(t, "it is connected", func() bool { return len(sock.took()) > 0 })
	turn := session.Turn{User: session.Message{ID: uuid.New(), Content: "one"}}
	for round := range 20 {
		r, _, err := a.Say(t.Context(), Caller{}, s.Ref(), turn)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reply is followed, and the connection stays", func() bool {
			if code, ended := sock.ended(); ended {
				t.Fatalf("round %d: closed with %d", round, code)
			}
			frames := sock.took()
			return slices.ContainsFunc(frames, func(f map[string]any) bool { return f["type"] == "message" && f["content"] == turn.User.Content }) &&
				frames[len(frames)-1]["type"] == "text-delta" && frames[len(frames)-1]["id"] == r.ID.String()
		})
		if outcome, _, err := a.Stop(t.Context(), s.Ref(), uuid.Nil); outcome != OutcomeStopped || err != nil {
			t.Fatalf("%s, %v", outcome, err)
		}
		turn.Kind, turn.User.Content = session.Edit, fmt.Sprint("edited ", round)
	}
}
