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

// TestScreenshots draws every state at both widths in both schemes:
//
//	SCREENSHOTS=/tmp/shots go test -run TestScreenshots ./static
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, width := range []int{360, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			if testing.Short() && (width != 360 || scheme != "dark") {
				continue
			}
			for _, page := range []string{"/", "/shop"} {
				if os.Getenv("SCREENSHOTS") == "" && page != "/" {
					continue
				}
				shoot(t, dir, page, width, scheme)
			}
		}
	}
}

func shoot(t *testing.T, dir, page string, width int, scheme string) {
	h := newFakeHub(t)
	h.extra["/shop"] = shopPage
	p := newTab(t)
	height := 800
	p.run(chromedp.EmulateViewport(int64(width), int64(height)))
	p.prefer("prefers-color-scheme", scheme)
	name := map[string]string{"/": "page", "/shop": "shop"}[page]
	shot := func(state string) {
		p.do("$('.root').getAnimations({subtree: true}).forEach((a) => { try { a.finish() } catch {} })")
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s-%s.png", name, width, scheme, state))
		if err := os.WriteFile(file, png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.open(h.URL + page)
	if page == "/shop" {
		shot("0-closed")
		p.click(".toggle")
	}
	c := h.next()
	shot("1-connecting")
	c.ready()
	p.until("w.state === 'ready'")
	shot("2-empty")
	p.say("What is backpressure? A short answer please, with an example in Go.")
	m := c.expect("message")
	c.send(ack(m, ""))
	r := c.reply(m["id"].(string))
	p.until("w.state === 'waiting'")
	shot("3-waiting")
	r.delta(sample[:300])
	p.until("$('.assistant li')")
	shot("4-writing")
	r.delta(sample[300:]).finish("stop")
	p.until("w.state === 'ready'")
	shot("5-done")
	p.do("$('.log').scrollTop = 120")
	shot("6-behind")
	p.do("$('.log').scrollTop = 1e6")
	p.say("And in Rust?")
	m2 := c.expect("message")
	c.send(ack(m2, r.id))
	r2 := c.reply(m2["id"].(string))
	r2.delta("In Rust the same idea is a `Stream` that is *polled*:")
	p.until("w.state === 'writing'")
	p.do("$('.send').click()")
	c.expect("stop")
	r2.abort()
	c.send(frame{"type": "stopped", "outcome": "stopped"})
	p.mustContain("Stopped")
	shot("7-stopped")
	p.click(".msg:last-child .regenerate")
	c.expect("regenerate")
	r3 := c.reply(m2["id"].(string))
	r3.delta("In Rust")
	r3.fail("upstream_busy", "The model is busy right now. Please try again in a moment.")
	p.mustContain("busy")
	shot("8-failed")
	p.say("مرحبا، هل تتكلم العربية؟")
	m4 := c.expect("message")
	c.send(frame{"type": "error", "code": "rate_limited", "errorText": "Too many messages.", "ref": m4["id"], "retry_after": 12})
	p.mustContain("Too many")
	shot("9-refused")
	for code, state := range map[int]string{4001: "taken", 4401: "denied"} {
		c.close(code)
		p.until("w.state === '" + state + "'")
		shot("a-" + state)
		p.click(".notice button")
		c = h.next()
		c.ready(user(uuid.NewString(), "What is backpressure?"), assistant(uuid.NewString(), sample, "stop"))
		p.until("w.state === 'ready'")
	}
	c.cut()
	for range 2 {
		h.next().cut()
	}
	p.mustContain("Trying")
	shot("b-reconnecting")
	c = h.next()
	c.ready(user(uuid.NewString(), "What is backpressure?"), assistant(uuid.NewString(), sample, "length"))
	p.until("w.state === 'ready'")
	c.close(4404)
	p.until("w.state === 'expired'")
	shot("c-expired")
}
