package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// failingNode runs f in a bubble, on a node of a shared store whose calls may fail.
func failingNode(t *testing.T, f func(t *testing.T, m *session.Manager, faults *storetest.Faults)) {
	synctest.Test(t, func(t *testing.T) {
		backend, kind := new(storetest.Shared).Node()
		faults := &storetest.Faults{Backend: backend}
		m := session.NewManager(faults, kind, session.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		f(t, m, faults)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestHoldThatFails: a hold of which the store told nothing does not keep the session.
func TestHoldThatFails(t *testing.T) {
	failingNode(t, func(t *testing.T, m *session.Manager, faults *storetest.Faults) {
		ref := newSession(t, m)
		faults.Set(func(c storetest.Call) error {
			if c.Method == "Load" {
				return session.ErrUnavailable
			}
			return nil
		})
		if err := m.Hold(t.Context(), ref); !errors.Is(err, session.ErrUnavailable) {
			t.Fatalf("hold: %v", err)
		}
		faults.Set(nil)
		pass(10 * time.Minute)
		if n := m.Stored(); n != 0 {
			t.Errorf("%d sessions are kept in memory that nobody needs", n)
		}
	})
}

// TestClaimBehindAnOutage: a claim ends whose connection closed, or could not be made,
// while the store was away: nobody is refused for a connection that is not there.
func TestClaimBehindAnOutage(t *testing.T) {
	for name, during := range map[string]func(t *testing.T, m *session.Manager, ref session.Ref, c session.Claim, faults *storetest.Faults){
		"closed": func(t *testing.T, m *session.Manager, ref session.Ref, c session.Claim, faults *storetest.Faults) {
			if err := m.Connect(t.Context(), ref, c); err != nil {
				t.Fatal(err)
			}
			faults.Set(func(storetest.Call) error { return session.ErrUnavailable })
			m.Disconnect(ref, c.Connection)
		},
		"its answer lost": func(t *testing.T, m *session.Manager, ref session.Ref, c session.Claim, faults *storetest.Faults) {
			faults.Set(func(c storetest.Call) error {
				if c.Method == "Commit" && c.Done {
					return session.ErrUnavailable
				}
				return nil
			})
			if err := m.Connect(t.Context(), ref, c); !errors.Is(err, session.ErrUnavailable) {
				t.Fatalf("connect: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			failingNode(t, func(t *testing.T, m *session.Manager, faults *storetest.Faults) {
				ref := newSession(t, m)
				claim := func() session.Claim { return session.Claim{Connection: uuid.New(), Mode: session.FromNobody} }
				during(t, m, ref, claim(), faults)
				pass(10 * time.Second)
				faults.Set(nil)
				pass(5 * time.Second)
				if err := m.Connect(t.Context(), ref, claim()); err != nil {
					t.Errorf("connect behind the outage: %v", err)
				}
			})
		})
	}
}

// twoNodes runs f in a bubble, on two nodes of a shared store. The first node's calls may fail.
func twoNodes(t *testing.T, f func(ctx context.Context, t *testing.T, nodes [2]*session.Manager, faults *storetest.Faults)) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(storetest.Shared)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		var nodes [2]*session.Manager
		var faults storetest.Faults
		for i := range nodes {
			b, kind := shared.Node()
			if i == 0 {
				faults.Backend = b
				b = &faults
			}
			nodes[i] = session.NewManager(b, kind, session.Config{})
			go nodes[i].Run(ctx)
		}
		f(ctx, t, nodes, &faults)
	})
}

// TestFollowerHeardBeforeTheAnswer: a node may follow a reply, and say so, before its writer
// knows that the reply runs.
func TestFollowerHeardBeforeTheAnswer(t *testing.T) {
	twoNodes(t, func(ctx context.Context, t *testing.T, nodes [2]*session.Manager, faults *storetest.Faults) {
		ref := newSession(t, nodes[0])
		if _, err := nodes[1].Check(ctx, ref.ID, ""); err != nil {
			t.Fatal(err)
		}
		faults.Set(func(c storetest.Call) error {
			if c.Method == "Commit" && c.Done {
				if text, err := nodes[1].Follow(ctx, ref); text == nil || err != nil {
					t.Errorf("follow: %v, %v", text, err)
				}
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		})
		said, err := nodes[0].Say(ctx, ref, storetest.Submit("hi"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !said.Text.IsFollowedElsewhere() {
			t.Error("the writer does not know that it is followed")
		}
	})
}

// TestFollowerIsServedAtOnce: a store need not tell a node of text from before it was known
// to follow. So a writer who hears of a follower appends at once, not at the next poll.
func TestFollowerIsServedAtOnce(t *testing.T) {
	twoNodes(t, func(ctx context.Context, t *testing.T, nodes [2]*session.Manager, faults *storetest.Faults) {
		ref := newSession(t, nodes[0])
		if _, err := nodes[0].Say(ctx, ref, storetest.Submit("hi")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var appends atomic.Int64
		faults.Set(func(c storetest.Call) error {
			if c.Method == "Append" && !c.Done {
				appends.Add(1)
			}
			return nil
		})
		if _, err := nodes[1].Follow(ctx, ref); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := appends.Load(); n != 1 {
			t.Errorf("%d appends, want 1", n)
		}
		// Whoever is known to follow is told of everything. An append for each of its polls
		// could have it read, and say that it follows, without end.
		pass(4500 * time.Millisecond)
		if n := appends.Load(); n > 1+4 {
			t.Errorf("%d appends in four seconds, want one a second", n-1)
		}
	})
}
