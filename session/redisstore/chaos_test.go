package redisstore

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"lumos/backend/session"
)

// scribe is what a hub does with one reply on one node: it follows it, takes it over
// when nobody writes it, and writes on. Whoever writes, the text is to become the
// same.
type scribe struct {
	*testing.T
	n      *node
	ref    session.Ref
	whole  string
	copied *session.Text // nil: this one began it
	work   sync.WaitGroup
	quit   chan struct{}
}

func newScribe(t *testing.T, n *node, ref session.Ref, whole string) *scribe {
	s := &scribe{T: t, n: n, ref: ref, whole: whole, quit: make(chan struct{})}
	var err error
	if s.copied, err = n.Follow(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if s.copied == nil {
		return s // it has just ended
	}
	reply := s.copied.Reply
	s.work.Go(func() {
		for {
			select {
			case <-s.quit:
				return
			case told := <-n.told:
				if told != "orphaned "+ref.ID.String()+" "+reply.String() {
					continue
				}
			}
			said, how, err := n.Take(t.Context(), ref, reply)
			if err != nil {
				continue // another was faster, or it is told again
			}
			if how != "" {
				t.Errorf("to be ended as %q", how)
			}
			s.writeOn(said.Text)
		}
	})
	return s
}

// writeOn writes from where the text ends, and finishes.
func (s *scribe) writeOn(text *session.Text) {
	at := text.Appended()
	rng := rand.New(rand.NewPCG(uint64(at), 1))
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	pause := func() bool {
		select {
		case <-s.quit:
			return false
		case <-pace.C:
			return true
		}
	}
	for at < len(s.whole) && pause() {
		n := boundary(s.whole, min(len(s.whole), at+1+rng.IntN(60)))
		if !text.Append([]byte(s.whole[at:n])) {
			return // another writes
		}
		at = n
	}
	for at == len(s.whole) && text.End() == nil && pause() {
		_ = s.n.Finish(s.Context(), text, session.Message{FinishReason: session.FinishStop})
	}
}

// die is a kill: nothing is given up.
func (s *scribe) die() {
	close(s.quit)
	s.n.stop()
	s.work.Wait()
}

// TestChaos has a reply written by nodes that die, whose Redis loses answers and,
// now and then, the tail of the text. Every copy is what was meant.
func TestChaos(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7))
			p := newProxy(t, server.addr, 11)
			url := "redis://" + p.addr
			whole := passage(16_000)
			probe := newNode(t, Config{URL: "redis://" + server.addr})
			writer := newNode(t, Config{URL: url})
			said := writer.begin(t)
			ref := said.Text.Ref
			first := &scribe{T: t, n: writer, ref: ref, whole: whole, quit: make(chan struct{})}
			first.work.Go(func() { first.writeOn(said.Text) })
			scribes := []*scribe{first}
			for range 2 {
				scribes = append(scribes, newScribe(t, newNode(t, Config{URL: url}), ref, whole))
			}
			for death := range 3 {
				goal := int64((death + 1) * len(whole) / 6)
				eventually(t, "the text grows", func() bool {
					n, err := probe.raw(t, "STRLEN", key(ref, textKey)).AsInt64()
					return err == nil && n >= goal
				})
				fence, err := probe.raw(t, "GET", key(ref, fenceKey)).ToString()
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range scribes {
					if s.n.store.node == session.FenceNode(fence) {
						s.die()
						scribes[i] = newScribe(t, newNode(t, Config{URL: url}), ref, whole)
					}
				}
				if rng.IntN(2) == 0 {
					n, _ := probe.raw(t, "STRLEN", key(ref, textKey)).AsInt64()
					probe.raw(t, "SET", key(ref, textKey), whole[:max(0, int(n)-1-rng.IntN(100))], "KEEPTTL")
				}
			}
			eventually(t, "the reply ends", func() bool {
				return len(probe.session(t, ref).Messages) == 2
			})
			for _, s := range scribes {
				if s.copied != nil {
					text := latest(s.copied)
					if got := text.String(text.Safe()); whole[:len(got)] != got {
						t.Errorf("a copy of %d bytes goes wrong behind %d", len(got), common(got, whole))
					}
				}
				s.die()
			}
			if m := probe.last(t, ref); m.Content != whole || m.FinishReason != session.FinishStop {
				t.Errorf("stored %d bytes, %s, want %d; common: %d", len(m.Content), m.FinishReason, len(whole), common(m.Content, whole))
			}
			if p.lost.Load() == 0 {
				t.Error("no answer was lost")
			}
		})
	}
}
