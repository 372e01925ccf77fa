package session

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// scribe is what a hub does with one reply on one node: it follows it, takes
// it over when nobody writes it, and writes on. Whoever writes, the text is to
// become the same.
type scribe struct {
	*page
	n     *node
	r     reply
	whole string
	work  sync.WaitGroup
	quit  chan struct{}
}

func newScribe(t *testing.T, n *node, r reply, whole string) *scribe {
	s := &scribe{page: &page{}, n: n, r: r, whole: whole, quit: make(chan struct{})}
	n.Follow(r.conversation, r.id, 0, 0, s)
	return s
}

func (s *scribe) Orphaned() {
	s.work.Go(func() {
		got, err := s.n.Adopt(s.n.ctx, s.r.conversation, s.r.id)
		if err != nil {
			return // another was faster, or is told again
		}
		s.mu.Lock()
		if got.Text != s.text || s.whole[:len(got.Text)] != got.Text {
			s.bad = fmt.Sprintf("adopted %d bytes, copied %d", len(got.Text), len(s.text))
		}
		s.mu.Unlock()
		s.writeOn(got.Text)
	})
}

// writeOn writes from where the text ends, and finishes.
func (s *scribe) writeOn(text string) {
	out := &page{text: text}
	wake, ok := s.n.Write(s.r.id, out)
	if !ok {
		return
	}
	out.wake = wake
	rng := rand.New(rand.NewPCG(uint64(len(text)), 1))
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for at := len(text); at < len(s.whole); {
		select {
		case <-s.quit:
			return
		case <-pace.C:
		}
		n := boundary(s.whole, min(len(s.whole), at+1+rng.IntN(60)))
		out.write(s.whole[at:n])
		at = n
		out.mu.Lock()
		lost := out.lost
		out.mu.Unlock()
		if lost {
			return
		}
	}
	m := Message{ID: s.r.id, Content: s.whole, FinishReason: FinishStop, Timestamp: Now()}
	for s.n.Finish(s.n.ctx, s.r.conversation, m) != nil {
		select {
		case <-s.quit:
			return
		case <-pace.C:
		}
	}
}

// die is a kill: nothing is given up.
func (s *scribe) die() {
	close(s.quit)
	s.n.stop()
	s.work.Wait()
}

// TestChaos has a reply written by nodes that die, whose Redis loses answers
// and, now and then, the tail of the text. Every copy is what was meant.
func TestChaos(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			p := newProxy(t, server.addr, 7)
			url := "redis://" + p.addr
			whole := passage(12_000)
			probe := newNode(t, RedisConfig{URL: "redis://" + server.addr})
			writer := newNode(t, RedisConfig{URL: url})
			r, _ := writer.begin(t)
			first := &scribe{page: &page{}, n: writer, r: r, whole: whole, quit: make(chan struct{})}
			first.work.Go(func() { first.writeOn("") })
			scribes := []*scribe{first}
			for range 2 {
				scribes = append(scribes, newScribe(t, newNode(t, RedisConfig{URL: url}), r, whole))
			}
			textKey := key(r.conversation.ID, "text:"+r.id.String())
			for death := range maxDeaths {
				goal := int64((death + 1) * len(whole) / (maxDeaths + 2))
				eventually(t, "the text grows", func() bool {
					n, err := probe.raw(t, "STRLEN", textKey).AsInt64()
					return err == nil && n >= goal
				})
				holder, err := probe.raw(t, "HGET", key(r.conversation.ID, "reply"), "lease").ToString()
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range scribes {
					if len(holder) > 16 && s.n.Redis.node == holder[:16] {
						s.die()
						scribes[i] = newScribe(t, newNode(t, RedisConfig{URL: url}), r, whole)
					}
				}
				if rng.IntN(2) == 0 {
					n, _ := probe.raw(t, "STRLEN", textKey).AsInt64()
					probe.raw(t, "SET", textKey, whole[:max(0, int(n)-1-rng.IntN(100))])
				}
				probe.raw(t, "DEL", key(r.conversation.ID, "turn")) // as if ten seconds had passed
			}
			eventually(t, "the reply ends", func() bool {
				s, err := probe.Get(t.Context(), r.conversation, Position{})
				return err == nil && len(s.Messages) == 2
			})
			for _, s := range scribes {
				s.mu.Lock()
				if s.bad != "" {
					t.Error(s.bad)
				}
				if got := s.text; whole[:len(got)] != got {
					t.Errorf("a copy of %d bytes goes wrong behind %d", len(got), common(got, whole))
				}
				s.mu.Unlock()
				s.die()
			}
			if m := probe.last(t, r.conversation); m.Content != whole || m.FinishReason != FinishStop {
				t.Errorf("stored %d bytes, %s, want %d; common: %d", len(m.Content), m.FinishReason, len(whole), common(m.Content, whole))
			}
			if p.lost.Load() == 0 {
				t.Error("no answer was lost")
			}
		})
	}
}
