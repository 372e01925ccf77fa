package static_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
)

const sample = "## Backpressure, in short\n\nA fast writer must **not** drown a slow reader. Three ways out:\n\n" +
	"1. *Drop* what is old, as [statsd](https://example.com/statsd) does\n2. *Wait*, and let the writer feel it\n   - simple\n   - but one slow reader stops all\n3. *Remember a position*, and read from there\n\n" +
	"```go\nfor {\n\ttext, err := reply.Next(ctx, offset)\n\tif err != nil {\n\t\treturn err\n\t}\n\toffset += len(text)\n}\n```\n\n" +
	"| way | memory | latency |\n|---|---:|:---:|\n| drop | flat | low |\n| wait | flat | high |\n| position | the text | low |\n\n> The reader's position is all the state there is.\n\nUse `Next` with the last offset."

// gallery judges each state it is shown, in both colour schemes, and draws it
// when it was asked to.
type gallery struct {
	*tab
	name string
	dir  string // where pictures go; "" draws none
}

// show stops at a state of the page.
func (g *gallery) show(state string) {
	g.T.Helper()
	for _, width := range []int64{320, 390, 1280, 1920} {
		g.Run(chromedp.EmulateViewport(width, 800))
		for _, js := range []string{
			"document.documentElement.scrollWidth <= innerWidth",
			"$('.log').scrollWidth === $('.log').clientWidth",
			"!$('.composer').checkVisibility({ visibilityProperty: true }) || $('.composer').getBoundingClientRect().right <= innerWidth",
			"$$('button').every((b) => !b.checkVisibility({ opacityProperty: true }) || b.closest('.log, .menu') || b.getBoundingClientRect().right <= innerWidth)",
		} {
			if !eval[bool](g.tab, js) {
				g.T.Errorf("%s, %s, %d px wide: not so: %s", g.name, state, width, js)
			}
		}
	}
	g.Run(chromedp.EmulateViewport(1280, 800))
	for _, scheme := range []string{"light", "dark"} {
		g.Prefer("prefers-color-scheme", scheme)
		g.Do("$('.root').getAnimations({ subtree: true }).forEach((a) => { try { a.finish() } catch { a.cancel() } })")
		for _, violation := range eval[[]string](g.tab, `axe.run(document, { resultTypes: ['violations'] })
			.then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ': ' + n.target.flat().join(' ') + ' ' + n.failureSummary)))`) {
			g.T.Errorf("%s, %s, %s: %s", g.name, state, scheme, violation)
		}
		if g.dir == "" {
			continue
		}
		for _, width := range []int64{390, 1280} {
			g.Run(chromedp.EmulateViewport(width, 800))
			g.Do("$('.root').classList.contains('behind') || w.follow()")
			png, err := chromedp.Run(g.Ctx, chromedp.CaptureScreenshot())
			if err != nil {
				g.T.Fatal(err)
			}
			file := filepath.Join(g.dir, fmt.Sprintf("%s-%d-%s-%s.png", g.name, width, scheme, state))
			if err := os.WriteFile(file, png, 0o644); err != nil {
				g.T.Fatal(err)
			}
		}
	}
}

// TestStates walks through everything the widget can be in, inline and in the
// corner of a page. axe-core must have nothing to say of any of it. Pictures:
//
//	SCREENSHOTS=/tmp/shots go test -run TestStates ./static
func TestStates(t *testing.T) {
	axe := axeSource(t)
	for name, path := range map[string]string{"page": "/", "corner": "/shop"} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t)
			h.serve("/shop", shopPage)
			g := &gallery{tab: newTab(t), name: name, dir: os.Getenv("SCREENSHOTS")}
			g.Open(h.URL + path)
			g.Run(chromedp.Evaluate[chromedp.Void](axe))
			if path == "/shop" {
				g.show("00-closed")
				g.Click(".toggle")
			}
			g.walk(h)
		})
	}
}

func (g *gallery) walk(h *fakeHub) {
	c := h.next()
	g.show("01-connecting")
	c.ready()
	g.Until("w.state === 'ready'")
	g.show("02-empty")

	_, r := ask(g.tab, c, "What is backpressure? A short answer please, with an example in Go.", "")
	g.Until("w.state === 'waiting'")
	g.show("03-waiting")
	r.delta(sample[:330])
	g.Until("$('.assistant pre')")
	g.show("04-writing")
	r.delta(sample[330:]).finish("stop")
	g.Until("w.state === 'ready'")
	g.show("05-done")
	g.Click(".tools .time")
	g.show("05-times")
	g.Click(".tools .time")
	after := r.id
	_, r = ask(g.tab, c, "Think about who should wait.", after)
	r.part("text", "reasoning").thought("The reader may be slow, and the writer must not be. ", "So what is written has to stand somewhere.")
	g.Until("$('.assistant:last-child summary')?.textContent.includes('1')")
	g.show("05-thinking")
	g.Click(".assistant:last-child summary")
	g.show("05-thinking-open")
	r.part("reasoning", "text").delta("Neither: both go on from a *position*.").finish("stop")
	g.Until("w.state === 'ready'")
	g.show("05-thought-open")
	g.Click(".assistant:last-child summary")
	g.show("05-thought")
	g.Do("$('.log').scrollTop = 90")
	g.Until("$('.jump').checkVisibility()")
	g.show("06-behind")
	g.Click(".jump")

	m, r := ask(g.tab, c, "And in Rust?", r.id)
	r.delta("In Rust the same idea is a `Stream` that is *polled*:")
	g.Until("w.state === 'writing'")
	g.Say("one more thing")
	g.MustContain("when the answer ends")
	g.show("06-waits")
	g.Do("$('.input').value = ''; $('.input').oninput()")
	g.Click(".send")
	c.expect("stop")
	r.abort()
	c.send(frame{"type": "stopped", "outcome": "stopped"})
	g.MustContain("Stopped")
	g.show("07-stopped")
	g.Click(".msg:last-child .regenerate")
	c.expect("regenerate")
	r = c.reply(m)
	r.delta("In Rust")
	r.fail("upstream_busy", "The model is busy right now. Please try again in a moment.")
	g.MustContain("busy")
	g.show("08-failed")

	g.Say("مرحبا، هل تتكلم العربية؟")
	f := c.expect("message")
	c.send(frame{"type": "error", "code": "rate_limited", "errorText": "Too many messages in a short time.", "ref": f["id"], "retry_after": 12})
	g.MustContain("Too many")
	g.show("09-refused")

	for _, ending := range []struct {
		code  int
		state string
	}{{4401, "denied"}, {1007, "failed"}} {
		c.close(ending.code)
		g.Until("w.state === '" + ending.state + "'")
		g.show("10-" + ending.state)
		g.Click(".notice button")
		c = h.next()
		c.ready(user(uuid.NewString(), "What is backpressure?"), assistant(uuid.NewString(), sample, "stop"))
		g.Until("w.state === 'ready'")
	}
	g.Do("Math.random = () => 0.5")
	c.cut()
	h.next().cut()
	c = h.next()
	g.Do("Math.random = () => 1e5")
	c.cut()
	g.MustContain("The connection is lost.")
	g.Say("Are you there?")
	g.Until("$('.user:last-child .note').checkVisibility()")
	g.show("11-reconnecting")
	g.Click(".notice button")
	c = h.next()
	c.ready(user(uuid.NewString(), "What is backpressure?"), assistant(uuid.NewString(), sample, "length"))
	c.expect("message")
	c.close(4404)
	g.Until("w.state === 'expired' && $('.input').value.includes('Are you there?')") // what could not be sent is in the box again
	g.show("12-expired")
	g.Click(".notice button")
	c = h.next()
	c.send(frame{"type": "ready", "conversation_id": c.conversation, "model": "m", "more": true, "messages": []frame{
		user(uuid.NewString(), "Which of these are done?"),
		assistant(uuid.NewString(), "- [x] this\n- [ ] that\n\n\\(x \\in \\{1\\}\\) and `--port=8080`", "stop"),
		user(uuid.NewString(), "And?"), assistant(uuid.NewString(), "", "length"),
	}})
	g.Until("w.state === 'ready' && $('.earlier').checkVisibility()")
	g.show("13-earlier")
	g.Click(".new")
	h.next().ready()
	g.Until("w.state === 'ready'")
	g.Click(".chats")
	g.Until("$('.menu').checkVisibility()")
	g.show("14-chats")
}
