package hub

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// fitful is a Sink that takes what it is pushed only now and then, as a peer
// does whose window is full, and keeps what reached it.
type fitful struct {
	acting sync.Mutex // as follow's
	rng    *rand.Rand
	held   string
	got    string
	pushed int
	ended  bool
}

func (s *fitful) Start(_ *Reply, offset int) error {
	s.got, s.held = s.got[:offset], ""
	return nil
}

func (s *fitful) Delta(_ *Reply, delta []byte, _ int) error {
	s.held += string(delta)
	return nil
}

func (s *fitful) End(*Reply, *End) error {
	s.got, s.held, s.ended = s.got+s.held, "", true
	return nil
}

func (s *fitful) Wait(wake <-chan struct{}) error {
	s.got, s.held = s.got+s.held, ""
	s.acting.Unlock()
	<-wake
	s.acting.Lock()
	return nil
}

func (s *fitful) enter() bool {
	if !s.acting.TryLock() {
		return false
	}
	if s.held != "" {
		s.acting.Unlock()
		return false
	}
	return true
}

func (s *fitful) leave() { s.acting.Unlock() }

func (s *fitful) flushNow() bool {
	n := s.rng.IntN(2 * len(s.held))
	if n < len(s.held) {
		s.got, s.held = s.got+s.held[:n], s.held[n:]
		return false
	}
	s.got, s.held = s.got+s.held, ""
	s.pushed++
	return true
}

// TestPush has one follower, and now and then a second one, of a reply that
// grows at a model's pace or in bursts. What is pushed and what is fetched make
// the text, once each, in order.
func TestPush(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { pushes(t, false) })
	t.Run("a Log keeps it", func(t *testing.T) { pushes(t, true) })
}

func pushes(t *testing.T, logged bool) {
	pushed := 0
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
			r.gated = logged
			has := 0 // the Log, in bytes
			var following sync.WaitGroup
			var all []*fitful
			join := func() {
				s := &fitful{rng: rand.New(rand.NewPCG(seed, uint64(len(all))))}
				all = append(all, s)
				following.Go(func() {
					s.acting.Lock()
					if _, err := r.stream(s, make(chan struct{}, 1), Place{}); err != nil {
						t.Error(err)
					}
				})
			}
			join()
			var want strings.Builder
			for i := range 100 {
				if len(all) < 2 && rng.IntN(100) == 0 {
					join()
				}
				time.Sleep([]time.Duration{0, 0, pushGap, 20 * pushGap}[rng.IntN(4)])
				token := fmt.Sprintf(" %dä", i)
				if rng.IntN(50) == 0 {
					token = strings.Repeat(token, maxPush)
				}
				want.WriteString(token)
				r.append([]byte(token))
				if logged && rng.IntN(3) > 0 {
					has += len(firstWhole([]byte(want.String()[has:]), 1+rng.IntN(want.Len()-has)))
					writing{r: r}.Stored(has, rng.IntN(4) > 0)
					synctest.Wait()
					for i, s := range all {
						if len(s.got) > has {
							t.Fatalf("seed %d, follower %d: shown %d bytes, stored are %d", seed, i, len(s.got), has)
						}
					}
				}
			}
			r.finishAs(session.FinishStop)
			following.Wait()
			for i, s := range all {
				if s.got != want.String() || !s.ended {
					t.Fatalf("seed %d, follower %d: %d bytes, want %d; ended %t", seed, i, len(s.got), want.Len(), s.ended)
				}
				pushed += s.pushed
			}
		})
	}
	if pushed < 1000 {
		t.Errorf("%d deltas were pushed, of some 10,000", pushed)
	}
}

// TestPushAfterNews: whoever has to be told something else first gets no text
// pushed, but hears of both in their order.
func TestPushAfterNews(t *testing.T) {
	for name, news := range map[string]func(r *Reply, f *follower){
		"the Log was away":              func(r *Reply, _ *follower) { writing{r: r}.Away() },
		"another writer":                func(r *Reply, _ *follower) { copying{r: r}.Rewritten(3, nil) },
		"a place that it may never get": func(_ *Reply, f *follower) { f.claimed = true; f.poke() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollow(&Conn{hub: new(Hub), sock: nullSocket{}, dialect: ChatHub{}})
			f.acting.Unlock() // it waits
			r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
			r.gated, r.shown = true, 3
			r.append([]byte("one two"))
			follower := r.follow(&follower{wake: f.wake, pusher: f}, Place{Offset: 3})
			news(r, follower)
			<-f.wake
			writing{r: r}.Stored(7, true)
			if follower.off != 3 {
				t.Errorf("text was pushed, to byte %d", follower.off)
			}
			if len(f.wake) == 0 {
				t.Error("the follower does not know that there is more")
			}
		})
	}
}

// TestPushStalls: a peer that takes nothing does not hold up the reply.
func TestPushStalls(t *testing.T) {
	const words = 30
	inWorld(t, paced(words), nil, func(w *world) {
		id := w.session()
		s := w.join(id)
		w.say(s, "hello")
		pass(3 * time.Second)
		before := s.text()
		if before == "" {
			t.Fatal("nothing was said")
		}
		s.set(&s.stalled)
		pass(words * time.Second)
		if all := w.stored(id); len(all) != 2 || len(all[1].Content) != words*len("word ") {
			t.Errorf("stored: %+v", all)
		}
		if s.text() != before {
			t.Error("the peer took something")
		}
	})
}

// nullSocket is a Socket whose peer takes everything.
type nullSocket struct{ Socket }

func (nullSocket) Write([]byte) error { return nil }
func (nullSocket) Cork()              {}
func (nullSocket) FlushNow() bool     { return true }

// TestPushAllocates: nothing, from the text to the frame in the socket.
func TestPushAllocates(t *testing.T) {
	f := newFollow(&Conn{hub: new(Hub), sock: nullSocket{}, dialect: ChatHub{}})
	f.acting.Unlock() // it waits
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	follower := r.follow(&follower{wake: f.wake, pusher: f}, Place{})
	token := []byte(" Grüße")
	allocs := testing.AllocsPerRun(100_000, func() {
		r.mu.Lock()
		r.grown = 0 // the last token is long ago
		r.mu.Unlock()
		r.append(token)
	})
	if allocs != 0 {
		t.Errorf("%v allocations per token", allocs)
	}
	if len(f.wake) > 0 || follower.off != r.Len() {
		t.Error("it was not pushed")
	}
}
