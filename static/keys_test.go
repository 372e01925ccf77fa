package static_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// An input method has Enter and Escape for itself, also where only keyCode 229
// tells (Safari).
func TestInputMethodKeys(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	p.Do("$('.input').value = 'にほん'; $('.input').dispatchEvent(new Event('input'))")
	for _, init := range []string{
		"key: 'Enter', keyCode: 229", "key: 'Enter', isComposing: true", "key: 'Process', code: 'Enter', keyCode: 229",
		"key: 'Escape', keyCode: 229", "key: 'Escape', isComposing: true",
	} {
		p.Do("$('.input').dispatchEvent(new KeyboardEvent('keydown', { " + init + ", bubbles: true, composed: true, cancelable: true }))")
		if !eval[bool](p, "$('.input').value === 'にほん' && $('.root').classList.contains('open') && !$('.msg')") {
			t.Fatalf("%s: sent or closed", init)
		}
	}
	p.Do("$('.input').focus()")
	p.Key("Enter", "\r", 0)
	if m := c.expect("message"); m["content"] != "にほん" {
		t.Errorf("sent %q", m["content"])
	}
}

// A page with shortcuts, guarded in the usual way, sees nothing of what is typed in the chat.
func TestPageWithShortcuts(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shortcuts", page(`<!doctype html><html lang="en"><title>Shortcuts</title><body><input id=search><script>
		window.keys = [];
		for (const type of ['keydown', 'keypress', 'keyup']) for (const on of [window, document, document.body]) on.addEventListener(type, (e) => {
			if (e.target.matches?.('input, textarea, select, [contenteditable]')) return;
			keys.push(type + ' ' + e.key);
			if (e.key === 's' || e.key === '/') { e.preventDefault(); document.querySelector('#search').focus(); }
		});
		</script><script src="/widget.js"></script><main><chat-widget></chat-widget></main>`))
	p.Open(h.URL + "/shortcuts")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	p.Say("yes / so?")
	if m := c.expect("message"); m["content"] != "yes / so?" {
		t.Errorf("sent %q", m["content"])
	}
	if got := eval[[]string](p, "keys"); len(got) != 0 {
		t.Errorf("the page heard %q", got)
	}
	p.Do("w.close(); document.activeElement.blur()")
	p.Run(chromedp.KeyEvent("s")) // the page's own keys are its own
	p.Until("document.activeElement.id === 'search' && keys.length")
}

// phone makes the tab one: small, with a finger for a pointer.
func phone(p *tab) {
	p.T.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 1, Mobile: true})
	if err == nil {
		_, err = chromedp.Call(p.Ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		p.T.Fatal(err)
	}
}

// longPage is a page that scrolls, with links to tab to.
var longPage = page(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover"><title>Long</title>
	<body><a href="#a">first</a><div style="height:4000px">long</div><a href="#b">last</a><script src="/widget.js"></script>`)

// On a phone Enter is a new line, and the button sends.
func TestEnterOnAPhone(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/long", longPage)
	phone(p)
	p.Open(h.URL + "/long")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	if !eval[bool](p, "r.activeElement !== $('.input') && $('.input').enterKeyHint === 'enter'") {
		t.Error("the keyboard comes up by itself, or names the wrong key")
	}
	p.Do("$('.input').focus()")
	p.Run(chromedp.KeyEvent("one"))
	p.Key("Enter", "\r", 0)
	p.Run(chromedp.KeyEvent("two"))
	p.Until("$('.input').value === 'one\\ntwo'")
	p.Click(".send")
	if m := c.expect("message"); m["content"] != "one\ntwo" {
		t.Errorf("sent %q", m["content"])
	}
}

// On a phone the open panel is all there is: the page behind does not scroll or
// get the focus, and the composer stands above the keyboard.
func TestPanelOnAPhone(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/long", longPage)
	phone(p)
	p.Open(h.URL + "/long")
	p.Do("scrollTo(0, 500)")
	p.Click(".toggle")
	h.next().ready()
	p.Until("w.state === 'ready' && w.uncover && $('.panel').ariaModal === 'true'")
	for range 12 {
		p.Key("Tab", "", 0)
		if !eval[bool](p, "document.activeElement === w") {
			t.Fatalf("the focus left the chat")
		}
	}
	p.Do("document.querySelector('a').focus({ preventScroll: true })")
	p.Until("document.activeElement === w")
	if _, err := chromedp.Call(p.Ctx, input.SynthesizeScrollGesture, input.SynthesizeScrollGestureParams{X: 200, Y: 300, YDistance: -400, Speed: 4000}); err != nil {
		t.Fatal(err)
	}
	if got := eval[float64](p, "scrollY"); got != 500 {
		t.Errorf("the page behind is at %v, was at 500", got)
	}
	// A keyboard: only the visual viewport gets smaller.
	p.Do(`const view = visualViewport;
		Object.defineProperty(view, 'height', { value: 500, configurable: true });
		Object.defineProperty(view, 'offsetTop', { value: 30, configurable: true });
		view.dispatchEvent(new Event('resize'))`)
	p.Until("$('.panel').getBoundingClientRect().top === 30 && $('.panel').getBoundingClientRect().bottom === 530 && $('.composer').getBoundingClientRect().bottom <= 530")
	p.Do("delete visualViewport.height; delete visualViewport.offsetTop; visualViewport.dispatchEvent(new Event('resize'))")
	p.Until("$('.panel').getBoundingClientRect().height === 844")
	p.Click(".close")
	p.Until("!w.uncover && getComputedStyle(document.documentElement).overflowY !== 'hidden'")
	p.Do("scrollTo(0, 700)")
	p.Until("scrollY === 700")
	p.Do("document.querySelector('a').focus()")
	p.Until("document.activeElement.localName === 'a'")
	// Taken out of the page while open, it leaves the page as it was.
	p.Do("w.open()")
	p.Until("w.uncover")
	p.Do("w.remove()")
	p.Until("getComputedStyle(document.documentElement).overflowY !== 'hidden'")
}

// A draft is there again after a reload, on another page and after a reply; it
// is its tab's own, and gone once sent.
func TestDraft(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	h.serve("/long", longPage)
	draft := func(c *fakeConn) { c.ready(); p.Until("w.state === 'ready' && $('.input').value === 'half a ques'") }
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	p.Do("$('.input').focus()")
	p.Run(chromedp.KeyEvent("half a ques"))
	p.Run(chromedp.Reload())
	p.Click(".toggle")
	draft(h.next())
	p.Open(h.URL + "/long")
	p.Click(".toggle")
	c = h.next()
	draft(c)
	if eval[bool](p, "$('.send').disabled") {
		t.Error("the draft cannot be sent")
	}
	p.Do("$('.input').focus(); $('.input').setSelectionRange(99, 99)")
	p.Say("tion")
	if m := c.expect("message"); m["content"] != "half a question" {
		t.Errorf("sent %q", m["content"])
	}
	p.Run(chromedp.Reload())
	p.Click(".toggle")
	h.next().ready()
	p.Until("$('.input').value === ''")
}

// While a reply comes, what is written waits, and Enter says so.
func TestEnterDuringAReply(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("Some")
	p.Until("w.state === 'writing'")
	p.Say("and more")
	p.MustContain("when the answer ends")
	p.Until("$('.input').value === 'and more' && $('.notice').role === 'status' && $$('.user').length === 1")
	r.delta(" text").finish("stop")
	p.Until("w.state === 'ready' && !$('.notice').textContent && $('.input').value === 'and more' && !$('.send').disabled")
	p.Key("Enter", "\r", 0)
	if m := c.expect("message"); !strings.HasPrefix(m["content"].(string), "and more") {
		t.Errorf("sent %q", m["content"])
	}
}
