package httpapi_test

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/httpapi"
	"lumos/backend/llm/mistralsim"
)

// muted is a connection of which, once it is switched, nothing arrives any
// more, like that of a telephone in a tunnel: the peer hears, and cannot answer.
type muted struct {
	net.Conn
	off atomic.Bool
}

func (m *muted) Write(p []byte) (int, error) {
	if m.off.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// mutable has a WebSocket run over a connection that can be muted.
func (r *rig) mutable(m *muted) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) {
		dial := r.client.Transport.(*http.Transport).DialContext
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			m.Conn = c
			return m, err
		}}}
	}
}

// closes reads a connection in the background, so that it answers pings, and
// returns a function that waits until it was closed with code.
func (p *peer) closes(code websocket.StatusCode) (wait func()) {
	done := make(chan struct{})
	go func() { defer close(done); p.wantClose(code) }()
	return func() { <-done }
}

// TestIdlePing: a peer that answers stays for ever, and so does its session.
func TestIdlePing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.join("/ws")
		wait := p.closes(1001)
		pass(3 * time.Hour)
		r.session(p.ready.Conversation)
		r.stop()
		wait()
	})
}

// TestPingUnanswered: a peer that hears and cannot answer, and one that does
// not even read.
func TestPingUnanswered(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads bool
	}{{"cannot answer", true}, {"does not read", false}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				wire := &muted{}
				p := r.join("/ws", r.mutable(wire))
				path := "/ws/" + p.ready.Conversation + "?again=1&client=" + someID
				wire.off.Store(true)
				wait := func() {}
				if tt.reads {
					wait = p.closes(-1)
				}
				r.dial(path).wantClose(4001) // p still holds the conversation
				pass(time.Minute)
				r.join(path)
				wait()
			})
		})
	}
}

// TestWriteTimeout: a client that stops reading in the middle of a reply is cut
// off when it has taken nothing for the write timeout. The reply goes on.
func TestWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const pause = time.Second
		words := slices.Repeat([]string{"word "}, 100)
		r.answer("go", mistralsim.Answer{Tokens: words, Pace: pause})
		p := r.join("/ws")
		p.say("", "go")
		reply := p.begin()
		p.delta(&reply, "word word ")
		stopped := time.Now() // it takes nothing from now on
		path := "/ws/" + p.ready.Conversation + "?again=1&client=" + someID
		for {
			if _, err := r.dial(path).read(); err == nil {
				break
			}
			pass(100 * time.Millisecond)
		}
		// The deadline of a write may be an eighth old.
		if cut := time.Since(stopped); cut < httpapi.DefaultWriteTimeout*7/8 || cut > httpapi.DefaultWriteTimeout+2*pause {
			t.Errorf("cut off after %v, want %v", cut, httpapi.DefaultWriteTimeout)
		}
		// It comes back, and gets what it lacks.
		again := r.join(path + "&after=" + reply.id + "&offset=10")
		rest := again.reply()
		if rest.offset != 10 || reply.text+rest.text != strings.Join(words, "") {
			t.Errorf("%q and from %d on %q", reply.text, rest.offset, rest.text)
		}
	})
}

// TestSlowReader: who takes a little now and then is not cut off.
func TestSlowReader(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{strings.Repeat("x", 1<<10)}, 100)})
		pass(time.Second) // off the beat of the hub's pings
		p := r.join("/ws")
		p.say("", "go")
		reply := p.begin()
		p.open(&reply, p.want("text-start"))
		for len(reply.text) < 100<<10 {
			pass(5 * time.Second) // 4 KiB, what the client reads at once, in 20 s
			p.take(&reply, p.want("text-delta"))
		}
		p.finish(&reply)
	})
}

// TestTakeoverFromStalled: ready does not wait for an older connection whose
// peer takes nothing.
func TestTakeoverFromStalled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 1000), Pace: time.Second})
		old := r.join("/ws")
		old.say("", "go")
		pass(10 * time.Second) // its follower is stuck in a write
		asked := time.Now()
		p := r.join("/ws/" + old.ready.Conversation)
		if took := time.Since(asked); took > 250*time.Millisecond {
			t.Errorf("ready came after %v", took)
		}
		if p.ready.Running == "" {
			t.Errorf("ready is %+v", p.ready)
		}
		reply := p.begin()
		p.delta(&reply, strings.Repeat("word ", 12))
	})
}

// TestTakeoverTellsTheOld: the older one is told why, when it listens.
func TestTakeoverTellsTheOld(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old := r.join("/ws")
		asked := time.Now()
		wait := old.closes(4001)
		p := r.join("/ws/" + old.ready.Conversation)
		wait()
		if took := time.Since(asked); took > 0 {
			t.Errorf("it took %v", took)
		}
		p.wantQuiet()
	})
}
