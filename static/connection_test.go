package static_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Each close code does what the contract says of it.
func TestCloseCodes(t *testing.T) {
	for code, state := range map[int]string{
		1000: "reconnecting", 1001: "reconnecting", 1011: "reconnecting", 1013: "reconnecting",
		1003: "failed", 1007: "failed", 1009: "failed", 4401: "denied", 4404: "expired",
	} {
		h, p, c := openPage(t)
		_, r := ask(p, c, "Hello", "")
		r.delta("Hi").finish("stop")
		p.Until("w.state === 'ready'")
		c.close(code)
		if state == "reconnecting" {
			if c = h.next(); c.query.Get("again") != "1" {
				t.Errorf("%d: query %v", code, c.query)
			}
			continue
		}
		p.Until("w.state === '" + state + "'")
		if !eval[bool](p, "$('.send').disabled") {
			t.Errorf("%d: the composer still sends", code)
		}
		h.none(300 * time.Millisecond)
		p.Click(".notice button")
		c = h.next()
		if c.query.Has("again") || (code == 4404) == c.query.Has("after") {
			t.Errorf("%d: a person's click connects with %v", code, c.query)
		}
	}
}

// An expired conversation that the page only remembers makes way for a new one.
func TestExpiredSinceLastVisit(t *testing.T) {
	h, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	old := c.conversation
	p.Run(chromedp.Reload())
	c = h.next()
	c.close(4404)
	if c = h.next(); c.conversation == old {
		t.Error("asks for the same conversation again")
	}
	c.ready()
	p.Until("w.state === 'ready' && $('.greeting').checkVisibility()")
}

func TestTokenArrives(t *testing.T) {
	h, p, c := openPage(t)
	c.close(4401)
	p.Until("w.state === 'denied'")
	p.Do("w.setAttribute('token', 'a.b-c.d_e')")
	c = h.next()
	if got := strings.Join(c.protocols, ","); got != "chathub.v1, bearer.a.b-c.d_e" {
		t.Errorf("subprotocols %q", got)
	}
}

// fastPage is the demo with a clock that runs a hundred times as fast.
func fastPage() http.Handler {
	return page(`<!doctype html><html lang="en"><title>fast</title>
		<script>window.st = setTimeout; window.setTimeout = (f, ms) => st(f, ms / 100)</script>
		<chat-widget inline></chat-widget><script src="/widget.js" defer></script>`)
}

// A connection over which nothing comes is asked, and given up without answer.
func TestDeadConnection(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/fast", fastPage())
	p.Open(h.URL + "/fast")
	h.next() // never says ready
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	c.deaf.Store(true)
	if c = h.next(); c.query.Get("again") != "1" {
		t.Errorf("query %v", c.query)
	}
}

// Back online, or back in the tab: at once, whatever the backoff says.
func TestOnline(t *testing.T) {
	h, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi")
	p.Until("w.state === 'writing'")
	p.Do("Math.random = () => 1e5") // the next try is hours away
	c.cut()
	p.Until("w.state === 'reconnecting'")
	h.none(300 * time.Millisecond)
	p.Do("dispatchEvent(new Event('online'))")
	c = h.next()
	c.cut()
	p.Until("w.state === 'reconnecting' && $('.notice').textContent.includes('lost')")
	p.Do("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
	c = h.next()
	c.readyAfter(r.id, r.id)
	p.Until("w.state !== 'reconnecting'")
	c.cut()
	p.Until("w.state === 'reconnecting'")
	p.Do("dispatchEvent(new Event('online'))")
	h.next().cut()
	p.Click(".notice button") // "Try now"
	h.next()
}
