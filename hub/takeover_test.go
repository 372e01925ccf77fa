package hub

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestTakeover: the newest wins, the older one is told, and a stalled one is
// not waited for longer than a moment.
func TestTakeover(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		inWorld(t, paced(100), nil, func(w *world) {
			id := w.session()
			old := w.join(id)
			w.say(old, "hello")
			if stalled {
				old.set(&old.stalled)
			}
			pass(3 * time.Second)
			began := time.Now()
			s := newMemSocket()
			w.hub.Serve(w.ctx, s, Join{Conversation: id, Offset: -1, Arrived: began})
			<-s.arrivals
			if took := time.Since(began); took > takeoverWait || stalled != (took > 0) {
				t.Errorf("stalled %v: ready after %v", stalled, took)
			}
			pass(3 * time.Second)
			if code, ended := old.ended(); !ended || code != CloseTakenOver {
				t.Errorf("stalled %v: the older one is closed with %d, ended %v", stalled, code, ended)
			}
			if got := s.text(); got != strings.Repeat("word ", 6) {
				t.Errorf("stalled %v: the newer one has %q", stalled, got)
			}
			if w.hub.conns[id] == nil || w.hub.conns[id].sock != s {
				t.Error("the newer one has not the conversation")
			}
		})
	}
}

// TestTakeoverByManyAtOnce: of all that come one is left, and it has everything.
func TestTakeoverByManyAtOnce(t *testing.T) {
	inWorld(t, paced(20), nil, func(w *world) {
		id := w.session()
		w.say(w.join(id), "hello")
		var all []*memSocket
		for i := range 50 {
			s := newMemSocket()
			all = append(all, s)
			go w.hub.Serve(w.ctx, s, Join{Conversation: id, Offset: -1, Arrived: time.Now()})
			if i%7 == 0 {
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			}
		}
		pass(time.Minute)
		open := 0
		for _, s := range all {
			if code, ended := s.ended(); !ended {
				open++
				if s.text() != strings.Repeat("word ", 20) {
					t.Errorf("the last one has %q", s.text())
				}
			} else if code != CloseTakenOver {
				t.Errorf("one was closed with %d", code)
			}
		}
		if open != 1 {
			t.Errorf("%d are open", open)
		}
	})
}

// TestStalledOthers: one that takes nothing delays nobody, and costs no frames.
func TestStalledOthers(t *testing.T) {
	inWorld(t, paced(100), nil, func(w *world) {
		stalled, lively := w.join(w.session()), w.join(w.session())
		w.say(stalled, "hello")
		w.say(lively, "hello")
		stalled.set(&stalled.stalled)
		pass(99 * time.Second)
		if got := lively.text(); got != strings.Repeat("word ", 99) {
			t.Errorf("the lively one has %d bytes", len(got))
		}
		if n := len(stalled.held); n > 2 {
			t.Errorf("%d frames are held for the stalled one", n)
		}
	})
}
