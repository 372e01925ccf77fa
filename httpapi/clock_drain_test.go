package httpapi_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// drain begins to drain the hub, and returns a function that waits until it
// has, and tells how long it took.
func (r *rig) drain(limit time.Duration) (wait func() time.Duration) {
	began, took := time.Now(), make(chan time.Duration, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		r.hub.Drain(ctx)
		took <- time.Since(began)
	}()
	return func() time.Duration { return <-took }
}

// TestDrain: idle connections go over two seconds, one with a running reply
// behind its end, and meanwhile nothing new begins.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const idle = 40
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 10), Pace: time.Second})
		busy := r.join("/ws")
		left := make(chan time.Time, idle)
		for range idle {
			p := r.join("/ws")
			go func() { p.wantClose(1001); left <- time.Now() }()
		}
		busy.say("", "go")
		began, drained := time.Now(), r.drain(time.Minute)
		pass(5 * time.Second)

		var when []time.Duration
		for range idle {
			when = append(when, (<-left).Sub(began))
		}
		slices.Sort(when)
		if first, last := when[0], when[idle-1]; last > 2*time.Second || last-first < time.Second {
			t.Errorf("sent away between %v and %v, want it spread over 2 s", first, last)
		}
		r.do("GET", "/readyz", "").wantError(http.StatusServiceUnavailable, "draining")
		r.do("HEAD", "/readyz", "").want(http.StatusServiceUnavailable)
		r.do("HEAD", "/healthz", "").want(http.StatusOK)
		r.do("POST", "/chat", chatBody("", "hi")).wantError(http.StatusServiceUnavailable, "draining")
		r.dial("/ws").wantClose(1001)
		r.dial("/ws/" + busy.ready.Conversation).wantClose(1001)

		busy.ask(message("", "more"))
		text, refused, end := "", false, ""
		for _, f := range busy.wantClose(1001) {
			switch text += f.Delta; {
			case f.Type == "error":
				refused = refused || f.Code == "draining"
			case f.Type == "finish" || f.Type == "abort":
				end = f.Type
			}
		}
		if text != strings.Repeat("word ", 10) || end != "finish" || !refused {
			t.Errorf("got %q and %q; a new message was refused: %v", text, end, refused)
		}
		if took := drained(); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("drained after %v, the reply takes 9 s", took)
		}
	})
}

// TestDrainDeadline: what runs too long is stopped and stored.
func TestDrainDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 100), Pace: time.Second})
		p := r.join("/ws")
		p.say("", "go")
		waiting := r.later("POST", "/chat", chatBody("", "go"))
		pass(time.Second)
		drained := r.drain(20 * time.Second)
		frames := p.wantClose(1001)
		if last := frames[len(frames)-1]; last.Type != "abort" {
			t.Errorf("the reply ends with %+v", last)
		}
		if got := decode[chatReply](t, waiting().want(http.StatusOK)); got.FinishReason != "stopped" || len(got.Response) < 100 {
			t.Errorf("got %+v", got)
		}
		if took := drained(); took != 20*time.Second {
			t.Errorf("drained after %v", took)
		}
		m := r.session(p.ready.Conversation).Messages
		if len(m) != 2 || m[1].FinishReason != "stopped" || len(m[1].Content) < 100 {
			t.Errorf("stored: %+v", m)
		}
	})
}

// TestDrainBeforeSaid: a reply that is given up before the store has it does
// not keep its conversation busy.
func TestDrainBeforeSaid(t *testing.T) {
	f := new(storetest.Faults)
	bubble(t, func(t *testing.T, r *rig) {
		id := r.newSession()
		var once sync.Once
		f.Set(func(c storetest.Call) error {
			if c.Method == "Commit" { // it is said, which takes a while
				once.Do(func() { r.drain(0); time.Sleep(time.Second) })
			}
			return nil
		})
		waiting := r.later("POST", "/chat", chatBody(id, "hi"))
		pass(10 * time.Second)
		waiting()
		if m := r.session(id).Messages; len(m) != 2 || m[1].FinishReason != "stopped" {
			t.Errorf("stored: %+v", m)
		}
	}, withStore(store(session.Memory).behind(f)))
}

// TestDrainStalled: a client that takes nothing does not hold the end.
func TestDrainStalled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Text: strings.Repeat("x", 1<<20)})
		p := r.join("/ws")
		p.say("", "go") // and reads no more
		pass(time.Second)
		if took := r.drain(5 * time.Second)(); took > 8*time.Second {
			t.Errorf("drained after %v", took)
		}
		if m := r.session(p.ready.Conversation).Messages; len(m) != 2 || m[1].FinishReason != "stop" {
			t.Errorf("stored: %d messages", len(m))
		}
	})
}

// TestAbandon: a reply that nobody follows for so long is stopped; following it
// in time, from anywhere, keeps it.
func TestAbandon(t *testing.T) {
	const limit = 30 * time.Second
	for _, tt := range []struct {
		name string
		keep func(r *rig, conversation string)
		want string
	}{
		{"nobody comes", func(*rig, string) {}, "stopped"},
		{"a stream comes in time and stays", func(r *rig, id string) {
			pass(limit - time.Second)
			r.follow("GET", "/sessions/"+id+"/stream", "").rest()
		}, "stop"},
		{"a WebSocket comes in time and stays", func(r *rig, id string) {
			pass(limit - time.Second)
			r.join("/ws/" + id).reply()
		}, "stop"},
		{"somebody looks now and then", func(r *rig, id string) {
			for range 3 {
				pass(limit - time.Second)
				r.follow("GET", "/sessions/"+id+"/stream", "").close()
			}
		}, "stop"},
		{"somebody looks too late", func(r *rig, id string) {
			pass(limit - time.Second)
			r.follow("GET", "/sessions/"+id+"/stream", "").close()
			pass(limit + time.Second)
			r.do("GET", "/sessions/"+id+"/stream", "").want(http.StatusNoContent)
		}, "stopped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 110), Pace: time.Second})
				id := r.newSession()
				s := r.follow("POST", "/chat", chatBody(id, "go"))
				s.until("text-delta")
				s.close()
				tt.keep(r, id)
				pass(5 * time.Minute)
				m := r.session(id).Messages
				if len(m) != 2 || m[1].FinishReason != tt.want || (len(m[1].Content) == 550) != (tt.want == "stop") {
					t.Errorf("stored: %+v, want %s", m, tt.want)
				}
			}, withHub(func(c *hub.Config) { c.AbandonAfter = limit }))
		})
	}
}
