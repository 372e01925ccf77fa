package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestTabsAtOnce has connections of one page take the conversation from each other
// at once, on one node and on two: in the end one has it, and the others were told.
func TestTabsAtOnce(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		for name, nodes := range map[string][]*node{
			"one node":  {newNode(t, Config{URL: url}).hears(t)},
			"two nodes": {newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)},
		} {
			t.Run(name, func(t *testing.T) {
				for range 30 {
					tabsAtOnce(t, nodes)
				}
			})
		}
	})
}

func tabsAtOnce(t *testing.T, nodes []*node) {
	ref := storetest.Made(t, nodes[0], session.Creation{ID: uuid.New()})
	tabs := make([]session.Claim, 3)
	var group sync.WaitGroup
	for i := range tabs {
		tabs[i] = session.Claim{Connection: uuid.New(), Client: uuid.New()}
		group.Go(func() {
			if err := nodes[i%len(nodes)].Connect(t.Context(), ref, tabs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	now, err := nodes[0].store.Load(t.Context(), ref.ID, nil)
	if err != nil || now.Conn == nil {
		t.Fatalf("%+v, %v", now, err)
	}
	waiting := map[string]bool{}
	for i, tab := range tabs {
		if tab.Connection != now.Conn.Connection {
			waiting["taken "+ref.ID.String()+" "+tab.Connection.String()] = true
		} else if nodes[i%len(nodes)].store.node != now.Conn.Node {
			t.Error("another node has it")
		}
	}
	if len(waiting) != len(tabs)-1 {
		t.Fatalf("%d have lost it", len(waiting))
	}
	eventually(t, "those that lost it are told", func() bool {
		for _, n := range nodes {
			select {
			case told := <-n.told:
				if strings.HasSuffix(told, now.Conn.Connection.String()) {
					t.Error("who has it is told that it has not")
				}
				delete(waiting, told)
			default:
			}
		}
		return len(waiting) == 0
	})
}

func TestConnectElsewhere(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)
		ref, client := storetest.Made(t, a, session.Creation{ID: uuid.New()}), uuid.New()
		connect := func(n *node, client uuid.UUID, mode session.ClaimMode, want error) uuid.UUID {
			t.Helper()
			c := session.Claim{Connection: uuid.New(), Client: client, Mode: mode}
			if err := n.Connect(t.Context(), ref, c); !errors.Is(err, want) {
				t.Fatalf("connect: %v, want %v", err, want)
			}
			return c.Connection
		}
		first := connect(a, client, session.FromNobody, nil)
		connect(b, uuid.New(), session.FromNobody, session.ErrTaken)
		connect(b, uuid.New(), session.FromItself, session.ErrTaken)
		connect(b, uuid.Nil, session.FromNobody, session.ErrTaken)
		second := connect(b, client, session.FromItself, nil)
		a.await(t, "taken", ref.ID.String(), first.String())
		a.Disconnect(ref, first) // late, and takes nothing with it
		connect(a, uuid.New(), session.FromNobody, session.ErrTaken)
		third := connect(a, uuid.New(), session.FromAnybody, nil)
		b.await(t, "taken", ref.ID.String(), second.String())
		a.Disconnect(ref, third)
		connect(b, uuid.New(), session.FromNobody, nil)
		b.stop()
		connected := func() bool {
			err := a.Connect(t.Context(), ref, session.Claim{Connection: uuid.New(), Client: uuid.New(), Mode: session.FromNobody})
			return err == nil
		}
		eventually(t, "a dead node's connection is let go of", connected)
	})
}

// TestGivenUpAttempt: of a page's two attempts to connect the one that it gave up
// does not win, wherever and whenever its claim comes.
func TestGivenUpAttempt(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		ref, client := storetest.Made(t, a, session.Creation{ID: uuid.New()}), uuid.New()
		attempt := func(alive ...error) (session.Claim, *int) {
			asked := 0
			return session.Claim{Connection: uuid.New(), Client: client, Responds: func(context.Context) error {
				asked++
				return alive[min(asked, len(alive))-1]
			}}, &asked
		}
		holds := func(c session.Claim) {
			t.Helper()
			got, err := a.store.Load(t.Context(), ref.ID, nil)
			if err != nil || got.Conn == nil || got.Conn.Connection != c.Connection {
				t.Errorf("%+v has the conversation, %v", got, err)
			}
		}
		gone := errors.New("gone")
		first, asked := attempt(gone)
		if err := a.Connect(t.Context(), ref, first); err != nil || *asked != 0 {
			t.Errorf("where nobody was: %v, asked %d times", err, *asked)
		}
		stray, _ := attempt(gone)
		if err := b.Connect(t.Context(), ref, stray); !errors.Is(err, session.ErrGivenUp) {
			t.Errorf("an attempt that was given up: %v, want ErrGivenUp", err)
		}
		holds(first)
		second, asked := attempt(nil)
		if err := b.Connect(t.Context(), ref, second); err != nil || *asked != 1 {
			t.Errorf("the page comes again: %v, asked %d times", err, *asked)
		}
		holds(second)

		// It was alive, and then given up for another before its claim came.
		third, _ := attempt(nil)
		late, asked := attempt(nil, gone)
		responds := late.Responds
		late.Responds = func(ctx context.Context) error {
			err := responds(ctx)
			if *asked == 1 {
				if err := b.Connect(ctx, ref, third); err != nil {
					t.Error(err)
				}
			}
			return err
		}
		if err := a.Connect(t.Context(), ref, late); !errors.Is(err, session.ErrGivenUp) || *asked != 2 {
			t.Errorf("it was given up meanwhile: %v, asked %d times", err, *asked)
		}
		holds(third)
	})
}
