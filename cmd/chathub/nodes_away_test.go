package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestRedisAwayForLong keeps Redis away until nobody waits any more: for longer
// than the 30 s for which followers are kept.
func TestRedisAwayForLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ends    bool // the model is done while Redis is away
		givesUp bool // and so long ago that its writer has given up
	}{
		"the writer stores it late": {ends: true},
		"the writer has given up":   {ends: true, givesUp: true},
		"the model is silent":       {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cluster{redis: startRedis(t, durable...), model: startSimulated(t)}
			debug := []string{freeAddr(t), freeAddr(t)}
			for _, addr := range debug {
				c.join(t, 1, c.redis.addr, "DEBUG_ADDR="+addr)
			}
			before := []int{c.nodes[0].goroutines(t), c.nodes[1].goroutines(t)}
			l := followLong(t, c, debug)
			c.redis.kill()
			if test.ends {
				l.plan.release()
			}
			for _, at := range c.nodes {
				refuses(t, at, newID())
			}
			l.areCut(t)
			if test.givesUp {
				eventually(t, "the writer gives up", func() bool { return c.nodes[0].log.says("could not be handed over at once", l.page.session[:8]) })
			}
			if err := c.redis.start(); err != nil {
				t.Fatal(err)
			}
			l.comeBack(t, !test.ends)
			for i, at := range c.nodes {
				recovers(t, at, before[i])
			}
		})
	}
}

// long is a reply that is written at the first node and followed at both, in
// every way there is.
type long struct {
	c      *cluster
	page   *page
	plan   *plan
	events *events
	in     frames
	waits  chan answer // of two POST /chat
}

func followLong(t *testing.T, c *cluster, debug []string) *long {
	l := &long{c: c, events: &events{within: 2 * patience}, waits: make(chan answer, 2)}
	l.page, l.plan = c.say(t, c.nodes[0], 1, 60, 20)
	t.Cleanup(l.events.close)
	if err := l.events.open(c.nodes[1], "GET", "/sessions/"+l.page.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	l.events.readTo(t, l.plan.before(20))
	for _, at := range c.nodes {
		go func() {
			a, err := at.tryFor(2*patience, "POST", "/chat", chatMessageBody{l.plan.said, l.page.session},
				map[string]string{"Idempotency-Key": l.page.messages[0].ID})
			if err != nil {
				t.Error(err)
			}
			l.waits <- a
		}()
	}
	for _, addr := range debug {
		eventually(t, "the node has found the reply", func() bool {
			stacks := (&node{addr: addr}).call(t, "GET", "/debug/pprof/goroutine?debug=2", nil, nil)
			return strings.Contains(string(stacks.body), "hub.(*Hub).Wait")
		})
	}
	l.in = l.page.background()
	return l
}

// areCut returns when all that followed were cut off, as the contract says.
func (l *long) areCut(t *testing.T) {
	var lost broken
	if err := <-l.in.over; !errors.As(err, &lost) || closeCode(err) != 1013 {
		t.Errorf("the writer's follower: %v, want close code 1013", err)
	}
	if err := l.events.next(); !errors.As(err, &lost) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the follower at the other node: %v, want its stream to be cut", err)
	}
	for range l.c.nodes {
		if a := <-l.waits; a.status != http.StatusServiceUnavailable || a.code() != "store_unavailable" {
			t.Errorf("who waits by REST: %d %s", a.status, a.body)
		}
	}
	if got := l.page.last().Content; got != l.plan.before(20) {
		t.Error(textDiff(got, l.plan.before(20)))
	}
}

// arrives connects the page, unless the node does not reach Redis yet.
func (l *long) arrives(at *node) bool {
	if err := l.page.dial(at, 0); err != nil {
		return false
	}
	f, err := l.page.read(patience)
	return err == nil && f.Type == "ready"
}

// comeBack has all of them resume, at the node where they were not, and then
// says something at both.
func (l *long) comeBack(t *testing.T, running bool) {
	a, b := l.c.nodes[0], l.c.nodes[1]
	eventually(t, "the node takes connections", func() bool { return l.arrives(b) })
	if err := l.events.open(a, "GET", "/sessions/"+l.page.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	if running {
		l.plan.release()
	}
	l.ends(t, l.plan)
	l.events.readAll(t)
	if l.events.text != l.plan.text {
		t.Error(textDiff(l.events.text, l.plan.text))
	}
	for i, at := range l.c.nodes {
		q := l.c.model.plan(uint64(2+i), 5, 0)
		l.page.connect(t, at)
		l.page.send(t, frame{Type: "message", ID: newID(), Content: q.said})
		l.page.expect(t, "finish")
		whole(t, l.c.nodes[1-i], l.page, q)
	}
	l.page.hang()
}

// ends reads until the page has the reply whole: it comes in ready if the store
// has it by then, and no finish follows.
func (l *long) ends(t *testing.T, p *plan) {
	for l.page.last().partial {
		if f, err := l.page.read(patience); err != nil {
			t.Fatalf("behind %q: %v", f.Type, err)
		}
	}
	whole(t, l.c.nodes[1], l.page, p)
}
