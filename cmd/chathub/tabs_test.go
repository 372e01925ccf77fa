package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs/chromium"
	"lumos/backend/static/browsertest"
)

// tabs are the pages of one person, one of them on a phone.
type tabs struct {
	t     *testing.T
	all   []*browsertest.Tab
	shots int
}

// until waits until something is true of every page.
func (p *tabs) until(js string) {
	p.t.Helper()
	for _, tab := range p.all {
		tab.Until(js)
	}
}

// look draws all pages, if SCREENSHOTS names a directory.
func (p *tabs) look(what string) {
	p.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	p.shots++
	for i, tab := range p.all {
		png, err := chromedp.Run(tab.Ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("tabs-%02d-%s-%d.png", p.shots, what, i)), png, 0o600)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// watching says of how many pages another has the conversation.
func (p *tabs) watching() (n int) {
	for _, tab := range p.all {
		if browsertest.Eval[bool](tab, "!!w.hub.watching") {
			n++
		}
	}
	return n
}

// TestTabs has two tabs and a phone's width beside each other. Whatever one of
// them does, all show the same; none is frozen, and none is asked anything.
func TestTabs(t *testing.T) {
	b := chromium.Start(t)
	c := &cluster{model: startSimulated(t)}
	c.join(t, 1, "") // in a directory: a restart forgets nothing
	w := startCable(t, c.nodes[0].addr)
	first := b.Tab(t)
	first.Open("http://" + w.addr)
	first.Until("w.state === 'ready'")
	begun := c.model.plan(61, 60, 0).halt(30)
	first.Do("w.send(" + quote(begun.said) + ")")
	first.Until(shown + " === " + quote(begun.before(30)))
	p := &tabs{t: t, all: []*browsertest.Tab{first}}
	for _, width := range []int64{1280, 390} {
		tab := first.Sibling()
		tab.Run(chromedp.EmulateViewport(width, 800))
		tab.Open("http://" + w.addr)
		p.all = append(p.all, tab)
	}
	second, phone := p.all[1], p.all[2]
	calm := " && !$('.notice').textContent && $('.presence').textContent"
	p.until("w.state === 'writing' && " + shown + " === " + quote(begun.before(30)) + calm)
	eventually(t, "one page has the conversation", func() bool { return p.watching() == 2 })
	p.until("w.state === 'writing'" + calm) // those that watch are connected again
	p.look("writing")

	first.Do("$('.input').focus()")
	first.Run(chromedp.KeyEvent("a question that waits"))
	first.Until("$('.send').title === 'Send'")
	p.look("draft")
	first.Do("$('.input').value = ''; $('.input').oninput()")
	first.Click(".send")
	p.until("w.state === 'ready' && $$('.note').at(-1).textContent === 'Stopped'" + calm)
	p.look("stopped")

	begun.release()
	phone.Click(".tools .regenerate")
	p.until("w.state === 'ready' && " + talk + " === " + quote(begun.said+"|"+begun.text) + calm)

	// A message waits for the reply that another page asked for.
	next, last := c.model.plan(62, 60, 0).halt(20), c.model.plan(63, 60, 0).halt(20)
	second.Do("w.send(" + quote(next.said) + ")")
	p.until(shown + " === " + quote(next.before(20)))
	phone.Do("w.send(" + quote(last.said) + ")")
	phone.MustContain("Sending")
	p.look("waits")
	second.Run(chromedp.Reload()) // in mid-reply
	p.until(shown + " === " + quote(next.before(20)))
	next.release()
	p.until("w.state === 'writing' && " + shown + " === " + quote(last.before(20)) + calm)
	p.look("said")

	// The phone is offline, and then everybody is: the hub starts anew.
	noNetwork(t, phone, true)
	w.cut()
	phone.MustContain("offline")
	for _, tab := range []*browsertest.Tab{first, second} {
		tab.Until("w.hub.state === 'ready' && w.state === 'writing'")
	}
	p.look("offline")
	c.nodes[0].kill()
	for _, tab := range []*browsertest.Tab{first, second} {
		tab.Until("w.state === 'reconnecting'")
	}
	if err := c.nodes[0].start(); err != nil {
		t.Fatal(err)
	}
	noNetwork(t, phone, false)
	last.release()
	whole := strings.Join([]string{begun.said, begun.text, next.said, next.text, last.said, last.text}, "|")
	p.until("w.state === 'ready' && " + talk + " === " + quote(whole) + calm)
	p.look("restarted")

	// Two say something at the same moment: each is in the conversation, or back in
	// the composer, and afterwards nobody takes anything by itself.
	one, two := c.model.plan(64, 20, 0), c.model.plan(65, 20, 0)
	for tab, text := range map[*browsertest.Tab]string{second: one.said, phone: two.said} {
		tab.Do("w.send(" + quote(text) + ")")
	}
	eventually(t, "both are answered or given back", func() bool {
		for tab, said := range map[*browsertest.Tab]*plan{second: one, phone: two} {
			here := browsertest.Eval[string](tab, talk)
			back := browsertest.Eval[string](tab, "$('.input').value") == said.said
			if strings.Contains(here, said.said+"|"+said.text) == back || browsertest.Eval[bool](tab, "w.hub.unsent.length > 0 || w.state !== 'ready'") {
				return false
			}
		}
		return true
	})
	p.until("w.state === 'ready' && " + talk + " === " + quote(browsertest.Eval[string](first, talk)))
	p.look("both")
	eventually(t, "one page has the conversation", func() bool { return p.watching() == 2 })
	attempts := func() (n int) {
		for _, tab := range p.all {
			n += browsertest.Eval[int](tab, "w.hub.attempt")
		}
		return n
	}
	before := attempts()
	first.Do("window.later = false; setTimeout(() => window.later = true, 3000)")
	first.Until("later")
	if after := attempts(); after != before {
		t.Errorf("%d connections were made by nobody's wish", after-before)
	}
}

// noNetwork takes a page off the network, or brings it back. Chromium's own way lets
// WebSockets through.
func noNetwork(t *testing.T, p *browsertest.Tab, off bool) {
	t.Helper()
	if off {
		p.Do("w.hub.Socket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); } close() {} }")
	} else {
		p.Do("w.hub.Socket = WebSocket")
	}
	_, err := chromedp.Call(p.Ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1})
	if err != nil {
		t.Fatal(err)
	}
}
