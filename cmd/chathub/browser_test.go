package main

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs/chromium"
	"lumos/backend/static/browsertest"
)

// The page at / in Chromium against the program itself. What the widget does on
// every word of the wire is tested in package static; here both ends are real.

// shown is the newest reply's text, as the page holds it; talk is all of it.
const (
	shown = "$$('.assistant').at(-1).row.message.content"
	talk  = "$$('.msg').map((e) => e.row.message.content).join('|')"
)

// startPage opens the page of a new hub in memory, over a network that the test can cut.
func startPage(t *testing.T, b *browsertest.Browser) (*cluster, *cable, *browsertest.Tab) {
	t.Helper()
	c := &cluster{model: startSimulated(t)}
	c.join(t, 1, "", "DATA_DIR=none")
	w := startCable(t, c.nodes[0].addr)
	p := b.Tab(t)
	p.Open("http://" + w.addr)
	p.Until("w.state === 'ready'")
	return c, w, p
}

// quote is a string as JavaScript writes it.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

func TestBrowser(t *testing.T) {
	b := chromium.Start(t)

	t.Run("reload in mid-reply", func(t *testing.T) {
		c, _, p := startPage(t, b)
		plan := c.model.plan(1, 60, 0).halt(30)
		p.Do("w.send(" + quote(plan.said) + ")")
		p.Until(shown + " === " + quote(plan.before(30)))
		for range 3 {
			p.Run(chromedp.Reload())
			p.Until("w.state === 'writing' && " + shown + " === " + quote(plan.before(30)))
		}
		plan.release()
		p.Until("w.state === 'ready' && " + shown + " === " + quote(plan.text))
		p.Run(chromedp.Reload())
		p.Until("w.state === 'ready' && " + talk + " === " + quote(plan.said+"|"+plan.text))
	})

	t.Run("a network that breaks again and again", func(t *testing.T) {
		c, w, p := startPage(t, b)
		plan := c.model.plan(2, 400, 0)
		plan.pace = 5e6
		p.Do("Math.random = () => 0.01; w.send(" + quote(plan.said) + ")") // comes back quickly
		for i := 1; i <= 5; i++ {
			p.Until(shown + ".length > " + strconv.Itoa(i*50))
			w.cut()
		}
		p.Until("w.state === 'ready' && " + shown + " === " + quote(plan.text))
		if got := len(plan.requests()); got != 1 {
			t.Errorf("the model was asked %d times", got)
		}
	})

	t.Run("offline and back", func(t *testing.T) {
		c, w, p := startPage(t, b)
		plan := c.model.plan(3, 60, 0).halt(30)
		p.Do("w.send(" + quote(plan.said) + ")")
		p.Until(shown + " === " + quote(plan.before(30)))
		offline := func(off bool) {
			t.Helper()
			w.down(off)
			_, err := chromedp.Call(p.Ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1})
			if err != nil {
				t.Fatal(err)
			}
		}
		offline(true)
		p.MustContain("You are offline.")
		p.Do("w.send('said while offline')")
		p.MustContain("Sending")
		plan.release()
		p.Do("Math.random = () => 1e5") // the backoff alone would take hours
		offline(false)
		p.Until("$$('.assistant')[0].row.message.content === " + quote(plan.text))
	})

	t.Run("two tabs", func(t *testing.T) {
		c, _, p := startPage(t, b)
		plan := c.model.plan(4, 60, 0).halt(30)
		p.Do("w.send(" + quote(plan.said) + ")")
		p.Until(shown + " === " + quote(plan.before(30)))
		second := p.Sibling()
		second.Open(browsertest.Eval[string](p, "location.href"))
		second.Until(shown + " === " + quote(plan.before(30)))
		p.Until("w.state === 'writing' && w.hub.watching && !$('.notice').textContent")
		next := c.model.plan(40, 60, 0).halt(30)
		p.Do("w.send(" + quote(next.said) + ")") // waits for the end
		p.MustContain("Sending")
		plan.release()
		second.Until(shown + " === " + quote(next.before(30)) + " && w.hub.watching && w.state === 'writing'")
		p.Until(shown + " === " + quote(next.before(30)) + " && !w.hub.watching")
		second.Click(".send") // a person's stop is obeyed at once
		for _, tab := range []*browsertest.Tab{p, second} {
			tab.Until("w.state === 'ready' && $$('.note').at(-1).textContent === 'Stopped'")
		}
		p.Until("w.hub.watching && w.hub.state === 'ready'")
		next.release()
		p.Click(".tools .regenerate")
		for _, tab := range []*browsertest.Tab{p, second} {
			tab.Until("w.state === 'ready' && " + shown + " === " + quote(next.text))
		}
		second.Run(chromedp.Reload())
		for _, tab := range []*browsertest.Tab{p, second} {
			tab.Until("w.state === 'ready' && " + talk + " === " + quote(plan.said+"|"+plan.text+"|"+next.said+"|"+next.text))
		}
	})

	t.Run("stop, answer again, new chat", func(t *testing.T) {
		c, _, p := startPage(t, b)
		plan := c.model.plan(5, 60, 0).halt(30)
		p.Do("w.send(" + quote(plan.said) + ")")
		p.Until(shown + " === " + quote(plan.before(30)))
		p.Click(".send")
		p.MustContain("Stopped")
		eventually(t, "the model's client is gone", func() bool { return gone(plan.requests()[0]) })
		plan.release()
		p.Click(".tools .regenerate")
		p.Until("w.state === 'ready' && " + talk + " === " + quote(plan.said+"|"+plan.text))
		p.Click(".new")
		p.Until("w.state === 'ready' && !$('.msg')")
	})

	t.Run("a server that forgot everything", func(t *testing.T) {
		c, w, p := startPage(t, b)
		plan := c.model.plan(6, 60, 0).halt(30)
		defer plan.release()
		p.Do("Math.random = () => 0.1; w.send(" + quote(plan.said) + ")")
		p.Until(shown + " === " + quote(plan.before(30)))
		c.nodes[0].kill()
		w.cut()
		p.Until("w.state === 'reconnecting'")
		if err := c.nodes[0].start(); err != nil {
			t.Fatal(err)
		}
		p.MustContain("This chat has expired.")
		p.Until(shown + " === " + quote(plan.before(30))) // still there to be read
		p.Click(".notice button")
		p.Until("w.state === 'ready' && !$('.msg')")
	})
}

// With Redis, and in a directory, the conversation outlives the server: kill -9 in
// mid-reply is a pause.
func TestBrowserOverServerDeath(t *testing.T) {
	b := chromium.Start(t)
	t.Run("Redis", func(t *testing.T) { outlives(t, b, startCluster(t, 1)) })
	t.Run("a directory", func(t *testing.T) {
		c := &cluster{model: startSimulated(t)}
		c.join(t, 1, "")
		outlives(t, b, c)
	})
}

func outlives(t *testing.T, b *browsertest.Browser, c *cluster) {
	p := b.Tab(t)
	p.Open("http://" + c.nodes[0].addr)
	p.Until("w.state === 'ready'")
	plan := c.model.plan(7, 60, 0).halt(30)
	p.Do("w.send(" + quote(plan.said) + ")")
	p.Until(shown + " === " + quote(plan.before(30)))
	c.nodes[0].kill()
	p.Until("w.state === 'reconnecting'")
	if err := c.nodes[0].start(); err != nil {
		t.Fatal(err)
	}
	p.Until("w.state === 'writing'") // the next process goes on with it
	plan.release()
	p.Until("w.state === 'ready' && " + shown + " === " + quote(plan.text))
}
