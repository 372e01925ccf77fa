package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestTable holds the store to the table of all stores.
func TestTable(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			return newNode(t, Config{URL: "redis://" + miniredis.RunT(t).Addr()})
		})
	})
	t.Run("redis", func(t *testing.T) {
		server := startRedis(t)
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			return newNode(t, Config{URL: "redis://" + server.addr})
		})
	})
}

// alternating has each step done by another node than the one before, but for what
// only the node that writes a reply can do.
type alternating struct {
	nodes [2]*node
	mu    sync.Mutex
	next  int
	asked map[uuid.UUID]*node // by reply
	texts map[*session.Text]*node
}

func (a *alternating) node() *node {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return a.nodes[a.next%2]
}

func (a *alternating) Create(ctx context.Context, c session.Creation) (session.Session, error) {
	return a.node().Create(ctx, c)
}

func (a *alternating) Check(ctx context.Context, id uuid.UUID, owner string) (session.Session, error) {
	return a.node().Check(ctx, id, owner)
}

func (a *alternating) Get(ctx context.Context, ref session.Ref, after session.Position) (session.Session, error) {
	return a.node().Get(ctx, ref, after)
}

func (a *alternating) Say(ctx context.Context, ref session.Ref, turn session.Turn) (session.Said, error) {
	n := a.node()
	a.mu.Lock()
	if before := a.asked[turn.Reply]; before != nil {
		n = before
	}
	a.asked[turn.Reply] = n
	a.mu.Unlock()
	said, err := n.Say(ctx, ref, turn)
	if said.Text != nil {
		a.mu.Lock()
		a.texts[said.Text] = n
		a.mu.Unlock()
	}
	return said, err
}

func (a *alternating) Finish(ctx context.Context, text *session.Text, m session.Message) error {
	n := a.node()
	a.mu.Lock()
	if writer := a.texts[text]; writer != nil {
		n = writer
	}
	a.mu.Unlock()
	return n.Finish(ctx, text, m)
}

func (a *alternating) Take(ctx context.Context, ref session.Ref, reply uuid.UUID) (session.Said, string, error) {
	return a.node().Take(ctx, ref, reply)
}

func (a *alternating) Follow(ctx context.Context, ref session.Ref) (*session.Text, error) {
	return a.node().Follow(ctx, ref)
}

func (a *alternating) Stop(ctx context.Context, ref session.Ref, reply uuid.UUID) error {
	return a.node().Stop(ctx, ref, reply)
}

func (a *alternating) Connect(ctx context.Context, ref session.Ref, c session.Claim) error {
	return a.node().Connect(ctx, ref, c)
}
func (a *alternating) Delete(ctx context.Context, ref session.Ref) error {
	return a.node().Delete(ctx, ref)
}
func (a *alternating) Hold(ctx context.Context, ref session.Ref) error {
	return a.node().Hold(ctx, ref)
}
func (a *alternating) Release(ref session.Ref)         { a.node().Release(ref) }
func (a *alternating) Ready(ctx context.Context) error { return a.node().Ready(ctx) }

// TestTableAlternating holds two nodes on one Redis to the table.
func TestTableAlternating(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			return &alternating{
				nodes: [2]*node{newNode(t, Config{URL: url}), newNode(t, Config{URL: url})},
				asked: make(map[uuid.UUID]*node), texts: make(map[*session.Text]*node),
			}
		})
	})
}

// stutter sends every commit again: at once, as when an answer was lost, and once
// more at some later time, as from a connection that was given up.
type stutter struct {
	*Store
	t       *testing.T
	refused *atomic.Int32

	mu   sync.Mutex
	sent []func() error
}

func (s *stutter) Commit(ctx context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	old := was
	if was != nil {
		old = &session.Conversation{Head: was.Head}
	}
	copied := *ch
	ch = &copied
	send := func() error { return s.Store.Commit(context.WithoutCancel(ctx), id, old, ch) }
	err := send()
	if err == nil {
		if again := send(); again != nil && !errors.Is(again, session.ErrConflict) {
			s.t.Error("again: ", again)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.sent); n > 3 && errors.Is(s.sent[rand.IntN(n-3)](), session.ErrConflict) {
		s.refused.Add(1)
	}
	s.sent = append(s.sent, send)
	return err
}

// TestTableStuttering holds a store to the table whose commits come twice, and old
// ones again at any time.
func TestTableStuttering(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		var refused atomic.Int32
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			n := openNode(t, Config{URL: url})
			b := &stutter{Store: n.store, t: t, refused: &refused}
			n.Manager = session.NewManager(b, n.store.Kind(), session.Config{})
			n.Watch(n)
			n.run(t)
			return n
		})
		if refused.Load() < 50 {
			t.Errorf("only %d commits that came late were refused", refused.Load())
		}
	})
}
