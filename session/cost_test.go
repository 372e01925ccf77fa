package session_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// long returns a conversation in s with n messages, and the last of them.
func long(t testing.TB, s *session.Manager, n int) (session.Ref, session.Message) {
	ref := storetest.Made(t, s, session.Creation{ID: uuid.New()})
	var last session.Message
	for range n / 2 {
		last = round(t, s, ref)
	}
	return ref, last
}

// round says something and ends the reply.
func round(t testing.TB, s *session.Manager, ref session.Ref) session.Message {
	turn := storetest.Submit("hi")
	said, err := s.Say(t.Context(), ref, turn)
	if err != nil {
		t.Fatal(err)
	}
	said.Text.Append([]byte("ho"))
	if err := s.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
		t.Fatal(err)
	}
	return *said.Text.End().Message
}

// TestLongConversationsCostNoMore compares what steps allocate in a short
// conversation and in one a thousand times as long. Growing the list of
// messages, shared among the rounds between, is all that may differ.
func TestLongConversationsCostNoMore(t *testing.T) {
	const rounds = 1000
	costs := map[int]map[string][2]uint64{}
	for _, n := range []int{10, 10_000} {
		m := session.NewMemory(session.Config{})
		id, last := long(t, m, n)
		get := func(p session.Position) func() {
			return func() {
				if s, err := m.Get(t.Context(), id, p); err != nil || len(s.Messages) != 0 {
					t.Fatal(err, len(s.Messages))
				}
			}
		}
		costs[n] = map[string][2]uint64{
			"get behind a place": allocated(rounds, get(last.Position())),
			"get behind an id":   allocated(rounds, get(session.Position{ID: last.ID})),
			"get behind the end": allocated(rounds, get(session.End)),
			"say and finish":     allocated(rounds, func() { round(t, m, id) }),
		}
	}
	for step, few := range costs[10] {
		many := costs[10_000][step]
		t.Logf("%s: %d allocations and %d bytes behind 10 messages, %d and %d behind 10,000",
			step, few[0], few[1], many[0], many[1])
		if many[0] > few[0]+1 || many[1] > 4*few[1]+64 {
			t.Errorf("%s costs more in a long conversation", step)
		}
	}
}

// allocated returns the allocations and bytes of one f, the mean over n.
func allocated(n int, f func()) [2]uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	per := uint64(n)
	return [2]uint64{(after.Mallocs - before.Mallocs) / per, (after.TotalAlloc - before.TotalAlloc) / per}
}

func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		m := session.NewMemory(session.Config{})
		id, last := long(b, m, n)
		b.Run(fmt.Sprintf("get/messages=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Get(b.Context(), id, session.Position{ID: last.ID}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("say/messages=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				round(b, m, id)
			}
		})
	}
}

// TestChangedHeadCostsNoMore: to learn that a connection has come or gone elsewhere costs
// a node the same in any conversation.
func TestChangedHeadCostsNoMore(t *testing.T) {
	m := session.NewMemory(session.Config{})
	costs := map[int]uint64{}
	for _, n := range []int{10, 10_000} {
		ref, _ := long(t, m, n)
		err := m.Each(t.Context(), func(id uuid.UUID, c *session.Conversation, _ *session.Text) error {
			if id != ref.ID {
				return nil
			}
			costs[n] = allocated(100, func() {
				h := c.Head
				h.Version = "another"
				if _, err := c.With(h, n, nil); err != nil {
					t.Fatal(err)
				}
			})[1]
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if costs[10_000] > 2*costs[10] {
		t.Errorf("%d bytes behind 10 messages, %d behind 10,000", costs[10], costs[10_000])
	}
}
