package session_test

import (
	"context"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// setBack is t as a clock tells it that was set back by d before. The seconds of the
// wall clock are 33 bits of a Time's first word (see package time).
func setBack(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
	return t
}

// TestNewestWinsWhereTheClockIsSetBack: of two connections the later one wins, also when
// the machine's clock was set back in between.
func TestNewestWinsWhereTheClockIsSetBack(t *testing.T) {
	m := session.NewMemory(session.Config{})
	ref := newSession(t, m)
	for _, back := range []time.Duration{0, time.Hour} {
		c := session.Claim{Connection: uuid.New(), Arrived: setBack(time.Now(), back)}
		if err := m.Connect(t.Context(), ref, c); err != nil {
			t.Errorf("set back by %v: %v", back, err)
		}
		time.Sleep(time.Millisecond)
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
		time.Sleep(time.Millisecond)
	}
	if at == at.Round(0) {
		t.Errorf("followed at %v, by the clock that can be set", at)
	}
}
