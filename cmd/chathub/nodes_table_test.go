package main

import (
	"net/http"
	"testing"
)

// TestAcrossNodes holds that it does not matter which of two nodes a client
// speaks to. A runs the replies.
func TestAcrossNodes(t *testing.T) {
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	seed := uint64(0)
	begin := func(t *testing.T) (*page, *plan) {
		seed++
		return c.say(t, a, seed, 12, 6)
	}
	// upstreamEnds waits until the model sees its client go.
	upstreamEnds := func(t *testing.T, p *plan) {
		t.Helper()
		eventually(t, "the request to the model has ended", func() bool { return gone(p.requests()[0]) })
	}

	t.Run("stop", func(t *testing.T) {
		g, p := begin(t)
		b.call(t, "POST", "/sessions/"+g.session+"/stop", nil, nil).must(t, http.StatusOK)
		g.expect(t, "abort")
		upstreamEnds(t, p)
		stored, err := b.stored(g.session)
		if d := differs(g.messages, stored); err != nil || d != "" {
			t.Error(err, d)
		}
		if got := g.last(); got.Content != p.before(6) || got.FinishReason != "stopped" {
			t.Errorf("%q %s", got.Content, got.FinishReason)
		}
	})

	t.Run("stop by frame", func(t *testing.T) {
		g, p := begin(t)
		other := &page{session: g.session}
		t.Cleanup(other.hang)
		other.connect(t, b)
		other.readTo(t, p.before(6))
		other.send(t, frame{Type: "stop", ID: g.last().ID})
		if f := other.expect(t, "stopped"); f.Outcome != "stopped" || other.last().FinishReason != "stopped" {
			t.Errorf("%s, the reply is %q", f.Outcome, other.last().FinishReason)
		}
		upstreamEnds(t, p)
		other.send(t, frame{Type: "stop"})
		if f := other.expect(t, "stopped"); f.Outcome != "nothing_running" {
			t.Error(f.Outcome)
		}
	})

	t.Run("delete", func(t *testing.T) {
		g, p := begin(t)
		b.call(t, "DELETE", "/sessions/"+g.session, nil, nil).must(t, http.StatusOK)
		g.expect(t, "abort")
		if code := g.closes(t); code != 4404 {
			t.Errorf("closed with %d, want 4404", code)
		}
		upstreamEnds(t, p)
		a.call(t, "GET", "/sessions/"+g.session, nil, nil).must(t, http.StatusNotFound)
	})

	t.Run("a message by REST on B shows at A", func(t *testing.T) {
		g := newPage(t)
		g.open(t, a)
		g.connect(t, a)
		seed++
		p := c.model.plan(seed, 8, 0)
		key := newID()
		var got chatAnswer
		answer, err := b.chat(g.session, p.said, key)
		if err != nil {
			t.Fatal(err)
		}
		answer.must(t, http.StatusOK).json(t, &got)
		if got.Response != p.text {
			t.Error(textDiff(got.Response, p.text))
		}
		g.expect(t, "finish")
		stored, err := b.stored(g.session)
		if d := differs(g.messages, stored); err != nil || d != "" {
			t.Error(err, d)
		}
		if g.messages[0].ID != key {
			t.Error("the message has not the key for its id")
		}
	})

	t.Run("a newcomer at B closes the connection at A", func(t *testing.T) {
		g, p := begin(t)
		other := &page{session: g.session, messages: copies(g.messages), client: newID()}
		t.Cleanup(other.hang)
		closed := make(chan int, 1)
		go func() { closed <- g.closes(t) }()
		if err := other.dial(b, 0); err != nil {
			t.Fatal(err)
		}
		other.expect(t, "ready")
		// The close frame left A before ready left B.
		if code := <-closed; code != 4001 {
			t.Errorf("closed with %d, want 4001", code)
		}
		p.release()
		other.readTo(t, p.text)
		other.expect(t, "finish")
		if n := len(p.requests()); n != 1 {
			t.Errorf("the model was asked %d times", n)
		}
	})

	t.Run("again takes over from its own page only", func(t *testing.T) {
		g, _ := begin(t)
		again := func(client string) (*page, error) {
			other := &page{session: g.session, client: client}
			t.Cleanup(other.hang)
			return other, other.dialQuery(b, "again=1&client="+client, 0)
		}
		stranger, err := again(newID())
		if err != nil {
			t.Fatal(err)
		}
		if code := stranger.closes(t); code != 4001 {
			t.Errorf("a forgotten page is closed with %d, want 4001", code)
		}
		g.send(t, frame{Type: "ping"})
		g.expect(t, "pong") // it still has the conversation
		itself, err := again(g.client)
		if err != nil {
			t.Fatal(err)
		}
		itself.expect(t, "ready")
		if code := g.closes(t); code != 4001 {
			t.Errorf("the page's older connection is closed with %d, want 4001", code)
		}
	})

	t.Run("GET stream", func(t *testing.T) {
		g, p := begin(t)
		e := &events{}
		defer e.close()
		if err := e.open(b, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
			t.Fatal(err)
		}
		e.readTo(t, p.before(6))
		p.release()
		e.readAll(t)
		if e.text != p.text || e.end != "finish" {
			t.Error(e.end, textDiff(e.text, p.text))
		}
		b.call(t, "GET", "/sessions/"+g.session+"/stream", nil, nil).must(t, http.StatusNoContent)
	})

	t.Run("the same Idempotency-Key", func(t *testing.T) {
		g, p := begin(t)
		key := g.messages[0].ID
		type result struct {
			a   answer
			err error
		}
		results := make(chan result, 2)
		for _, at := range c.nodes {
			go func() {
				a, err := at.chat(g.session, p.said, key)
				results <- result{a, err}
			}()
		}
		busy, err := b.chat(g.session, "another", newID())
		if err != nil || busy.status != http.StatusConflict || busy.code() != "conversation_busy" {
			t.Errorf("another message meanwhile: %d %s %v", busy.status, busy.body, err)
		}
		reused, err := b.chat(g.session, "another", key)
		if err != nil || reused.status != http.StatusConflict || reused.code() != "id_reused" {
			t.Errorf("the key with another text: %d %s %v", reused.status, reused.body, err)
		}
		p.release()
		for range c.nodes {
			r := <-results
			if r.err != nil {
				t.Fatal(r.err)
			}
			var got chatAnswer
			r.a.must(t, http.StatusOK).json(t, &got)
			if got.Response != p.text || got.MessageID != g.messages[1].ID {
				t.Errorf("%s, want %s: %s", got.MessageID, g.messages[1].ID, textDiff(got.Response, p.text))
			}
		}
		if n := len(p.requests()); n != 1 {
			t.Errorf("the model was asked %d times", n)
		}
	})

	t.Run("the key alone finds the session", func(t *testing.T) {
		seed++
		p, key := c.model.plan(seed, 8, 0), newID()
		var first, second chatAnswer
		for at, got := range map[*node]*chatAnswer{a: &first, b: &second} {
			answer, err := at.chat("", p.said, key)
			if err != nil {
				t.Fatal(err)
			}
			answer.must(t, http.StatusOK).json(t, got)
		}
		if first != second || first.Response != p.text {
			t.Errorf("%+v at A, %+v at B", first, second)
		}
	})

	t.Run("regenerate", func(t *testing.T) {
		g, p := begin(t)
		p.release()
		g.expect(t, "finish")
		was := g.last().ID
		other := &page{session: g.session}
		t.Cleanup(other.hang)
		other.connect(t, b)
		other.send(t, frame{Type: "regenerate", Of: was})
		other.send(t, frame{Type: "regenerate", Of: was})
		other.expect(t, "finish")
		if m := other.last(); m.ID == was || m.Content != p.text || len(other.messages) != 2 {
			t.Errorf("%s after %s: %s", m.ID, was, textDiff(m.Content, p.text))
		}
		stored, err := a.stored(g.session)
		if d := differs(other.messages, stored); err != nil || d != "" {
			t.Error(err, d)
		}
		if n := len(p.requests()); n != 2 {
			t.Errorf("the model was asked %d times", n)
		}
	})
}

// TestExpiryAcrossNodes has a session expire that another node served.
func TestExpiryAcrossNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "SESSION_TTL=1s")
	a, b := c.nodes[0], c.nodes[1]
	g := newPage(t)
	g.open(t, a)
	g.connect(t, a)
	p := c.model.plan(1, 4, 0)
	if answer, err := b.chat(g.session, p.said, newID()); err != nil || answer.status != http.StatusOK {
		t.Fatal(answer.status, err)
	}
	g.expect(t, "finish")
	g.hang() // an open connection keeps it alive
	eventually(t, "the session has expired", func() bool {
		return c.redis.do("EXISTS", c.redis.key(g.session, "head")) == "0"
	})
	for _, at := range c.nodes {
		at.call(t, "GET", "/sessions/"+g.session, nil, nil).must(t, http.StatusNotFound)
	}
	// One that goes under an open connection, as if Redis had lost it.
	g = newPage(t)
	g.open(t, b)
	g.connect(t, a)
	c.redis.do("DEL", c.redis.key(g.session, "head"))
	if code := g.closes(t); code != 4404 {
		t.Errorf("closed with %d, want 4404", code)
	}
}

func copies(messages []*message) []*message {
	out := make([]*message, len(messages))
	for i, m := range messages {
		one := *m
		out[i] = &one
	}
	return out
}
