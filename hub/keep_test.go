package hub

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

// TestPing: silent connections are asked, those that answer stay, and those
// that talk are not bothered.
func TestPing(t *testing.T) {
	inWorld(t, paced(1), nil, func(w *world) {
		alive, silent, talks := w.join(w.session()), w.join(w.session()), w.join(w.session())
		silent.set(&silent.silent)
		for range 60 {
			pass(10 * time.Second)
			w.say(talks, `{"type":"ping"}`)
		}
		if _, ended := alive.ended(); ended || alive.pings < 10 || alive.pings > 30 {
			t.Errorf("the one that answers was asked %d times in ten minutes, ended %v", alive.pings, ended)
		}
		if code, ended := silent.ended(); !ended || code != 0 || silent.pings != 1 {
			t.Errorf("the silent one was asked %d times and closed with %d, ended %v", silent.pings, code, ended)
		}
		if _, ended := talks.ended(); ended || talks.pings != 0 {
			t.Errorf("the one that talks was asked %d times, ended %v", talks.pings, ended)
		}
	})
}

// TestPingInTime: who does not answer is gone within a minute.
func TestPingInTime(t *testing.T) {
	inWorld(t, paced(1), nil, func(w *world) {
		for range 20 {
			s := w.join(w.session())
			s.set(&s.silent)
			began := time.Now()
			<-s.killed
			if took := time.Since(began); took < pingInterval/2+pongTimeout || took > time.Minute {
				t.Errorf("gone after %v", took)
			}
		}
	})
}

// TestDrainSpread: idle connections go one by one, over two seconds.
func TestDrainSpread(t *testing.T) {
	inWorld(t, paced(10), nil, func(w *world) {
		const n = 200
		began := time.Now()
		ended := make(chan time.Duration, n)
		for range n {
			s := w.join(w.session())
			go func() { <-s.killed; ended <- time.Since(began) }()
		}
		w.hub.Drain(w.ctx)
		if took := time.Since(began); took > drainSpread {
			t.Errorf("drained after %v", took)
		}
		var when []time.Duration
		for range n {
			when = append(when, <-ended)
		}
		slices.Sort(when)
		if middle := when[n/2]; when[n-1] > drainSpread || middle < drainSpread/4 || middle > drainSpread*3/4 {
			t.Errorf("from %v over %v to %v", when[0], middle, when[n-1])
		}
	})
}

// TestDrainBehindReply: a running reply ends first, and is told to its end.
func TestDrainBehindReply(t *testing.T) {
	inWorld(t, paced(10), nil, func(w *world) {
		id := w.session()
		s := w.join(id)
		w.say(s, "hello")
		_, _, err := w.hub.Say(w.ctx, Caller{}, w.session(), session.Turn{User: session.Message{Content: "by REST"}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w.hub.Drain(w.ctx)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("drained after %v", took)
		}
		types := s.types()
		if code, _ := s.ended(); code != CloseGoingAway || types[len(types)-1] != "finish" || s.text() != "word word word word word word word word word word " {
			t.Errorf("closed with %d behind %v", code, types)
		}
	})
}

// TestDrainRefuses: nothing new begins, and to drain again does no harm.
func TestDrainRefuses(t *testing.T) {
	inWorld(t, paced(10), nil, func(w *world) {
		s := w.join(w.session())
		w.say(s, "hello")
		go w.hub.Drain(w.ctx)
		pass(time.Second)
		if !w.hub.Draining() {
			t.Error("it does not drain")
		}
		w.say(s, "more")
		if f := s.took()[len(s.took())-1]; f["code"] != CodeDraining {
			t.Errorf("told %v", f)
		}
		w.hub.Drain(w.ctx)
		pass(time.Minute)
		if code, _ := s.ended(); code != CloseGoingAway {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestDrainDeadline: what runs is stopped and stored, and its end is told.
func TestDrainDeadline(t *testing.T) {
	inWorld(t, paced(100), nil, func(w *world) {
		id := w.session()
		s := w.join(id)
		w.say(s, "hello")
		pass(1500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
		defer cancel()
		began := time.Now()
		w.hub.Drain(ctx)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("drained after %v", took)
		}
		types := s.types()
		if code, _ := s.ended(); code != CloseGoingAway || types[len(types)-1] != "abort" {
			t.Errorf("closed with %d behind %v", code, types)
		}
		if m := w.stored(id); len(m) != 2 || m[1].FinishReason != session.FinishStopped || m[1].Content != s.text() {
			t.Errorf("stored: %+v", m)
		}
	})
}

// TestDrainStalled: a peer that takes nothing holds the end for the grace only.
func TestDrainStalled(t *testing.T) {
	inWorld(t, paced(3), nil, func(w *world) {
		s := w.join(w.session())
		s.set(&s.stalled)
		w.say(s, "hello")
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		defer cancel()
		began := time.Now()
		w.hub.Drain(ctx)
		if took := time.Since(began); took != 10*time.Second+drainGrace {
			t.Errorf("drained after %v", took)
		}
		w.stop() // and Run ends all the same
	})
}

// TestAbandonAfter: a reply that nobody follows ends as stopped.
func TestAbandonAfter(t *testing.T) {
	inWorld(t, paced(5000), func(c *Config) { c.AbandonAfter = time.Minute }, func(w *world) {
		id := w.session()
		s := w.join(id)
		w.say(s, "hello")
		pass(10 * time.Minute)
		if m := w.stored(id); len(m) != 1 {
			t.Fatalf("stored: %+v", m)
		}
		s.Kill()
		pass(59 * time.Second)
		s = w.join(id) // in time
		pass(5 * time.Minute)
		s.Kill()
		pass(61 * time.Second)
		if m := w.stored(id); len(m) != 2 || m[1].FinishReason != session.FinishStopped || len(m[1].Content) < 5*1000 {
			t.Errorf("stored: %d messages", len(m))
		}
	})
}

// TestRunJoinsEverything: when Run has returned nothing of the hub's is left,
// whatever was going on; the bubble itself fails on a goroutine that is.
func TestRunJoinsEverything(t *testing.T) {
	inWorld(t, paced(1000), func(c *Config) { c.AbandonAfter = time.Hour }, func(w *world) {
		var all []*memSocket
		for i := range 30 {
			s := w.join(w.session())
			if all = append(all, s); i%3 == 0 {
				s.set(&s.stalled)
			}
			if i%2 == 0 {
				w.say(s, "hello")
			}
		}
		reply, _, err := w.hub.Say(w.ctx, Caller{}, w.session(), session.Turn{User: session.Message{Content: "by REST"}})
		if err != nil {
			t.Fatal(err)
		}
		waited := make(chan End, 1)
		go func() {
			e, _ := w.hub.Wait(w.ctx, reply)
			waited <- e
		}()
		go w.hub.Drain(w.ctx)
		pass(500 * time.Millisecond)
		w.stop()
		for i, s := range all {
			if _, ended := s.ended(); !ended {
				t.Errorf("connection %d is left", i)
			}
		}
		if e := <-waited; e.Err == nil {
			t.Errorf("who waits is told %+v", e)
		}
		if _, _, err := w.hub.Say(w.ctx, Caller{}, session.Ref{}, session.Turn{User: session.Message{Content: "late"}}); err == nil {
			t.Error("something can be said to what has ended")
		}
		w.hub.Changed(session.Ref{})
		w.hub.Gone(session.Ref{})
		w.hub.Drain(w.ctx)
	})
}

// TestModelThatDoesNotListen: a model that ignores its context does not hold a
// stop, and what it says late is nobody's.
func TestModelThatDoesNotListen(t *testing.T) {
	deaf := modelFunc(func(_ context.Context, _ []llms.MessageContent, say func(string) error) (string, error) {
		if err := say("so far"); err != nil {
			return "", err
		}
		time.Sleep(time.Hour)
		return "stop", say("too late")
	})
	inWorld(t, deaf, nil, func(w *world) {
		id := w.session()
		s := w.join(id)
		w.say(s, "hello")
		w.say(s, `{"type":"stop"}`)
		types := s.types()
		if !slices.Equal(types[len(types)-2:], []string{"abort", "stopped"}) || s.text() != "so far" {
			t.Errorf("got %v saying %q", types, s.text())
		}
		w.say(s, "another") // while it still runs somewhere
		pass(2 * time.Hour)
		synctest.Wait()
		m := w.stored(id)
		if len(m) != 4 || m[1].Content != "so far" || m[3].Content != "so fartoo late" {
			t.Errorf("stored: %+v", m)
		}
	})
}
