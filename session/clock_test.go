package session_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestNewestWinsWhereTheClockIsSetBack: of two connections the later one wins, also when
// the machine's clock was set back in between.
func TestNewestWinsWhereTheClockIsSetBack(t *testing.T) {
	m := session.NewMemory(session.Config{})
	ref := newSession(t, m)
	first := time.Now()
	for _, arrived := range []time.Time{first, storetest.SetBack(first.Add(time.Second), time.Hour)} {
		c := session.Claim{Connection: uuid.New(), Arrived: arrived}
		if err := m.Connect(t.Context(), ref, c); err != nil {
			t.Errorf("arrived at %v: %v", arrived, err)
		}
	}
}

// TestFollowedElsewhereByTheSteadyClock: for how long nobody has followed a reply is not
// told by a clock that can be set.
func TestFollowedElsewhereByTheSteadyClock(t *testing.T) {
	shared := new(storetest.Shared)
	ctx, cancel := context.WithCancel(t.Context())
	var nodes [2]*session.Manager
	var running sync.WaitGroup
	for i := range nodes {
		b, kind := shared.Node()
		nodes[i] = session.NewManager(b, kind, session.Config{})
		running.Go(func() { _ = nodes[i].Run(ctx) })
	}
	defer running.Wait()
	defer cancel()
	ref := newSession(t, nodes[0])
	said, err := nodes[0].Say(ctx, ref, storetest.Submit("hi"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[1].Follow(ctx, ref); err != nil {
		t.Fatal(err)
	}
	at := said.Text.FollowedElsewhere()
	for ; at.IsZero(); at = said.Text.FollowedElsewhere() {
		runtime.Gosched()
	}
	if at == at.Round(0) {
		t.Errorf("followed at %v, by the clock that can be set", at)
	}
}
