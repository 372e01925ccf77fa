package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNodeDeath kills a node in the middle of several replies, each followed in
// another way.
func TestNodeDeath(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	const halt = 20
	begin := func(seed uint64) (*page, *plan) {
		g, p := c.say(t, a, seed, 40, halt)
		return g, p
	}
	socket, socketPlan := begin(1)
	rest, restPlan := begin(2)
	stream, streamPlan := begin(3)
	alone, alonePlan := begin(4)
	busy, busyPlan := begin(5)
	copied, copiedPlan := begin(6)

	sse := &events{}
	defer sse.close()
	if err := sse.open(a, "GET", "/sessions/"+stream.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	sse.readTo(t, streamPlan.before(halt))
	along := &events{} // follows at B what A writes, and notices nothing
	defer along.close()
	if err := along.open(b, "GET", "/sessions/"+copied.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	along.readTo(t, copiedPlan.before(halt))

	a.kill()
	var lost broken
	if err := sse.next(); !errors.As(err, &lost) {
		t.Fatalf("the stream of the dead node: %v", err)
	}
	for _, p := range []*plan{socketPlan, restPlan, streamPlan, alonePlan, busyPlan, copiedPlan} {
		p.release()
	}

	t.Run("group", func(t *testing.T) {
		t.Run("WebSocket", func(t *testing.T) {
			t.Parallel()
			had := len(socket.last().Content)
			ready := socket.connect(t, b)
			if ready.Running != socket.last().ID || ready.After != socket.last().ID {
				t.Errorf("ready: %+v", ready)
			}
			if f := socket.expect(t, "start"); *f.Offset != had {
				t.Errorf("it goes on from %d, the page has %d", *f.Offset, had)
			}
			socket.expect(t, "finish")
			whole(t, b, socket, socketPlan)
		})
		t.Run("the same key by REST", func(t *testing.T) {
			t.Parallel()
			answer, err := b.chat(rest.session, restPlan.said, rest.messages[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			var got chatAnswer
			answer.must(t, http.StatusOK).json(t, &got)
			if got.Response != restPlan.text || got.MessageID != rest.messages[1].ID {
				t.Error(got.MessageID, textDiff(got.Response, restPlan.text))
			}
		})
		t.Run("Last-Event-ID", func(t *testing.T) {
			t.Parallel()
			if err := sse.open(b, "GET", "/sessions/"+stream.session+"/stream", nil, nil); err != nil {
				t.Fatal(err)
			}
			sse.readAll(t)
			if sse.text != streamPlan.text || sse.end != "finish" {
				t.Error(sse.end, textDiff(sse.text, streamPlan.text))
			}
		})
		t.Run("who followed at B", func(t *testing.T) {
			t.Parallel()
			along.readAll(t)
			if along.text != copiedPlan.text || along.end != "finish" {
				t.Error(along.end, textDiff(along.text, copiedPlan.text))
			}
		})
		t.Run("who finds it busy", func(t *testing.T) {
			t.Parallel()
			eventually(t, "the conversation is free", func() bool {
				a, err := b.chat(busy.session, "not planned", newID())
				return err == nil && a.code() == "upstream_error"
			})
			stored, err := b.stored(busy.session)
			if err != nil || len(stored) != 4 || stored[1].Content != busyPlan.text || stored[1].FinishReason != "stop" {
				t.Errorf("%v, %d messages", err, len(stored))
			}
		})
	})

	// All others have their end by now; what nobody follows waits.
	stored, err := b.stored(alone.session)
	if err != nil || len(stored) != 1 || len(alonePlan.requests()) != 1 {
		t.Errorf("%v, %d messages, asked %d times", err, len(stored), len(alonePlan.requests()))
	}
	alone.connect(t, b)
	alone.expect(t, "finish")
	whole(t, b, alone, alonePlan)
}

// whole holds that a page has all of a plan, and the store the same.
func whole(t *testing.T, at *node, g *page, p *plan) {
	t.Helper()
	stored, err := at.stored(g.session)
	if d := differs(g.messages, stored); err != nil || d != "" {
		t.Error(err, d)
	}
	if m := g.last(); m.Content != p.text || m.FinishReason != "stop" {
		t.Error(m.FinishReason, textDiff(m.Content, p.text))
	}
}

// TestPausedNode stops a node until another has taken its reply over, with
// other words than it would have found. Whoever comes back too late changes
// nothing.
func TestPausedNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	g, p := c.say(t, a, 1, 40, 20)
	p.fork = true
	had := p.before(20)
	key := g.messages[0].ID

	a.pause()
	answer, err := b.chat(g.session, p.said, key)
	if err != nil {
		t.Fatal(err)
	}
	var got chatAnswer
	answer.must(t, http.StatusOK).json(t, &got)
	if !strings.HasPrefix(got.Response, had) || !strings.Contains(got.Response, "went on by 2") {
		t.Errorf("B's reply is %q, behind %q", got.Response, had)
	}
	p.release() // the model sends A the rest of the other words
	a.resume()
	eventually(t, "A says that it is too late", func() bool {
		return a.log.says("reply ended", "end=moved", g.session[:8])
	})
	// The page never left A.
	g.expect(t, "finish")
	if m := g.last(); m.Content != got.Response {
		t.Error(textDiff(m.Content, got.Response))
	}
	stored, err := a.stored(g.session)
	if d := differs(g.messages, stored); err != nil || d != "" {
		t.Error(err, d)
	}
}

// TestStrayConnection: an attempt to connect that the page gave up, because the
// node was paused, does not take the conversation from it when it gets through.
func TestStrayConnection(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	g := newPage(t)
	g.open(t, b)
	a.pause()
	g.within = 200 * time.Millisecond
	eventually(t, "A is paused", func() bool { return g.dial(a, 0) != nil }) // it may take the signal a moment
	g.within = 0
	g.connect(t, b)
	a.resume()
	eventually(t, "A has seen the attempt", func() bool { return a.log.says("msg=request", "/ws/"+g.session[:8]) })
	if holder := c.redis.holder(g.session); !strings.Contains(holder, g.client) {
		t.Errorf("the conversation has %q", holder)
	}
	g.send(t, frame{Type: "ping"})
	g.expect(t, "pong")
}

// TestStrayClaim: nor does one whose connection is up, but at which the page is
// not any more.
func TestStrayClaim(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	g := newPage(t)
	g.open(t, a)
	g.connect(t, a)
	holder := c.redis.holder(g.session)
	stray := &page{session: g.session, client: g.client} // reads nothing, so answers nothing
	t.Cleanup(stray.hang)
	if err := stray.dial(b, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "B has judged the attempt", func() bool { return b.log.says("msg=request", "/ws/"+g.session[:8]) })
	if got := c.redis.holder(g.session); got != holder {
		t.Errorf("%q has the conversation, which was %q", got, holder)
	}
	g.send(t, frame{Type: "ping"})
	g.expect(t, "pong")
	if code := stray.closes(t); code != 1013 {
		t.Errorf("the attempt is closed with %d, want 1013", code)
	}
	g.connect(t, b) // the page itself may go where it likes
}

// TestDeadlyReply has every node die that writes one reply.
func TestDeadlyReply(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	g, p := c.say(t, c.nodes[0], 1, 40, 8)
	for i := range 4 {
		dead, other := c.nodes[i%2], c.nodes[(i+1)%2]
		dead.kill()
		g.connect(t, other)
		if i < 3 {
			eventually(t, "the other node asks the model", func() bool { return len(p.requests()) == i+2 })
			if err := dead.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f := g.expect(t, "error"); f.Code != "internal" || f.ID != g.last().ID {
		t.Errorf("%+v", f)
	}
	if m := g.last(); m.Content != p.before(8) || m.FinishReason != "error" {
		t.Errorf("%s %q", m.FinishReason, m.Content)
	}
	if n := len(p.requests()); n != 4 {
		t.Errorf("the model was asked %d times, want 4", n)
	}
	// It can be asked anew.
	p.release()
	g.send(t, frame{Type: "message", ID: g.messages[0].ID, Content: p.said})
	g.expect(t, "finish")
	whole(t, c.nodes[0], g, p)
}

// TestRollingDeploy ends a node as a deployment does. Its reply goes on
// elsewhere at once, not when the node is held dead.
func TestRollingDeploy(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "DRAIN_TIMEOUT=500ms")
	a, b := c.nodes[0], c.nodes[1]
	g, p := c.say(t, a, 1, 40, 20)
	key := g.messages[0].ID
	e := &events{}
	defer e.close()
	if err := e.open(a, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	e.readTo(t, p.before(20))
	refused := make(chan answer, 1)
	go func() {
		a, err := a.chat(g.session, p.said, key)
		if err != nil {
			t.Error(err)
		}
		refused <- a
	}()
	idle := newPage(t)
	idle.open(t, a)
	idle.connect(t, a)

	a.signal(syscall.SIGTERM)
	eventually(t, "A says that it drains", func() bool { return a.status("/readyz") == http.StatusServiceUnavailable })
	if code := g.closes(t); code != 1001 {
		t.Errorf("closed with %d, want 1001", code)
	}
	if code := idle.closes(t); code != 1001 {
		t.Errorf("the idle connection is closed with %d, want 1001", code)
	}
	var cut broken
	for cut.error == nil {
		if err := e.next(); err == io.EOF || err != nil && !errors.As(err, &cut) {
			t.Fatalf("the stream ends with %v", err)
		}
	}
	if a := <-refused; a.status != http.StatusServiceUnavailable || a.code() != "draining" {
		t.Errorf("who waits by REST gets %d %s", a.status, a.body)
	}

	had := len(g.last().Content)
	if f := g.connect(t, b); f.Running != g.last().ID {
		t.Errorf("ready: %+v", f)
	}
	p.release()
	for {
		f, err := g.read(soon)
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == "start" && *f.Offset != had {
			t.Errorf("it goes on from %d, the page has %d", *f.Offset, had)
		}
		if f.Type == "text-delta" {
			break
		}
	}
	g.expect(t, "finish")
	whole(t, b, g, p)
	if err := e.open(b, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	e.readAll(t)
	if e.text != p.text {
		t.Error(textDiff(e.text, p.text))
	}
	a.wait()
}
