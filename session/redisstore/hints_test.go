package redisstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// noTouch is a store whose touches tell nothing.
type noTouch struct{ *Store }

func (noTouch) Touch(context.Context, []session.Use) ([]uuid.UUID, error) { return nil, nil }

// TestWriterMissesAHint: a writer's appends tell it that its conversation has
// changed, also while the model is silent.
func TestWriterMissesAHint(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		n := openNode(t, Config{URL: url})
		n.Manager = session.NewManager(noTouch{n.store}, n.store.Kind(), session.Config{})
		n.Watch(n)
		n.run(t)
		said := n.begin(t)
		ref := said.Text.Ref
		now, err := n.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, running := now.Head, *now.Running
		running.Stopping = true
		h.Version, h.Running = "stopped", &running
		n.raw(t, "HSET", key(ref, headKey), "v", h.Version, "state", string(mustJSON(h)))
		n.await(t, "stopping", ref.ID.String(), said.Text.Reply.String())
	})
}

// overheard is a store whose hints are counted.
type overheard struct {
	*Store
	any chan struct{} // one for each that any conversation may have changed
}

func (o overheard) Run(ctx context.Context, heard func(session.Hint)) error {
	return o.Store.Run(ctx, func(h session.Hint) {
		if h.ID == uuid.Nil {
			o.any <- struct{}{}
		}
		heard(h)
	})
}

// TestResubscribed: behind a connection that was lost anything may have changed.
func TestResubscribed(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	n := openNode(t, Config{URL: "redis://" + server.addr})
	o := overheard{n.store, make(chan struct{}, 10)}
	n.Manager = session.NewManager(o, n.store.Kind(), session.Config{})
	n.Watch(n)
	n.run(t)
	for range 3 {
		eventually(t, "it is told", func() bool { return len(o.any) > 0 })
		<-o.any
		if got := server.ask("CLIENT KILL TYPE pubsub"); !strings.HasPrefix(got, ":") {
			t.Fatal(got)
		}
	}
}

// TestChannelsThatTellNothing: that nobody listens on a node's channel counts only
// once the own subscription has settled, and while it is seen.
func TestChannelsThatTellNothing(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		unheard := func(s *Store) int {
			s.Alive("gone")
			s.checkPeers(t.Context())
			s.peers.mu.Lock()
			defer s.peers.mu.Unlock()
			return s.peers.nodes["gone"].unheard
		}
		age := func(s *Store, d time.Duration) {
			s.subscription.mu.Lock()
			defer s.subscription.mu.Unlock()
			s.subscription.since = time.Now().Add(-d)
		}
		s := newNode(t, Config{URL: url}).hears(t).store
		age(s, 0)
		if n := unheard(s); n != 0 {
			t.Errorf("young, it counts %d", n)
		}
		age(s, time.Hour)
		if n := unheard(s); n == 0 {
			t.Error("settled, it does not count")
		}
		deaf := openNode(t, Config{URL: url}).store
		defer deaf.Close()
		if _, err := deaf.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		age(deaf, time.Hour)
		if n := unheard(deaf); n != 0 {
			t.Errorf("where the own is not seen either, it counts %d", n)
		}
	})
}
