package static_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

const strictPolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// One script tag is enough, also on a page that allows no inline style or script.
func TestScriptTagUnderStrictPolicy(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop/page", page(`<!doctype html><html lang="en"><head><title>Shop</title>
		<script src="/widget.js" data-title="Ask us" data-greeting="Which one?" data-send="Fragen" defer></script></head><body><h1>Shop</h1>`,
		"Content-Security-Policy", strictPolicy))
	violations := p.Console()
	p.Open(h.URL + "/shop/page")
	p.Until("$('.toggle').checkVisibility() && !$('.panel').checkVisibility({ visibilityProperty: true })")
	if len(h.conns) > 0 {
		t.Error("connects before anybody opened the chat")
	}
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && $('.panel').checkVisibility({ visibilityProperty: true })")
	for js, want := range map[string]string{
		"$('.heading').textContent":                          "Ask us",
		"$('.greeting').textContent":                         "Which one?",
		"$('.send').ariaLabel":                               "Fragen",
		"$('.panel').role":                                   "dialog",
		"getComputedStyle($('.panel')).position":             "fixed",
		"String(r.activeElement === $('.input'))":            "true",
		"String($('.toggle').getAttribute('aria-expanded'))": "true",
	} {
		if got := eval[string](p, js); got != want {
			t.Errorf("%s is %q, want %q", js, got, want)
		}
	}
	_, r := ask(p, c, "Hello", "")
	r.delta("a | *b*\n```\ncode\n```").finish("stop")
	p.Until("w.state === 'ready'")
	p.Key("Escape", "", 0)
	p.Until("!$('.panel').checkVisibility({ visibilityProperty: true }) && r.activeElement === $('.toggle')")
	if got := violations(); got != "" {
		t.Errorf("console: %s", got)
	}
}

// The page served at / keeps its own, stricter promise.
func TestPagePolicy(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	violations := p.Console()
	p.Open(h.URL + "/")
	h.next().ready()
	p.Until("w.state === 'ready'")
	if got := eval[string](p, "document.querySelector('pre').textContent"); got != "wscat -c "+strings.Replace(h.URL, "http", "ws", 1)+"/ws" {
		t.Errorf("the page's hint is %q", got)
	}
	if got := eval[string](p, "getComputedStyle(document.querySelector('h1')).fontSize"); got != "30px" {
		t.Errorf("the page's style does not apply: %s", got)
	}
	if got := violations(); got != "" {
		t.Errorf("console: %s", got)
	}
}

// A page's own CSS, however rude, does not reach into the chat.
func TestHostileCSS(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/rude", page(`<!doctype html><html lang="en"><title>Rude</title><style>
		html { font-size: 40px; color: red; visibility: hidden; text-transform: uppercase; letter-spacing: 1em; cursor: wait }
		* { display: none !important; all: unset !important; box-sizing: content-box !important; font-family: fantasy !important }
		div, section, button, textarea { position: static !important; opacity: 0 !important; transform: scale(9) !important }
		chat-widget { display: none !important; color: red !important; font-size: 99px !important; visibility: hidden !important }
		</style><script src="/widget.js" defer></script>`))
	p.Open(h.URL + "/rude")
	p.Until("$('.toggle').checkVisibility({ visibilityProperty: true, opacityProperty: true })")
	p.Click(".toggle")
	h.next().ready()
	p.Until("w.state === 'ready'")
	for js, want := range map[string]string{
		"getComputedStyle($('.panel')).position":        "fixed",
		"getComputedStyle($('.greeting')).visibility":   "visible",
		"getComputedStyle($('.presence')).fontSize":     "13px",
		"getComputedStyle($('.heading')).textTransform": "none",
		"getComputedStyle($('.heading')).letterSpacing": "normal",
		"String($('.panel').clientWidth)":               "400",
	} {
		if got := eval[string](p, js); got != want {
			t.Errorf("%s is %q, want %q", js, got, want)
		}
	}
}

func TestThemeAndParts(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/themed", page(`<!doctype html><html lang="en"><title>Themed</title><style>
		chat-widget { --chat-accent: rgb(1, 2, 3); --chat-width: 333px }
		chat-widget::part(heading) { font-size: 31px }
		</style><chat-widget theme="dark"></chat-widget><script src="/widget.js" defer></script>`))
	p.Open(h.URL + "/themed")
	p.Until("$('.toggle')")
	for js, want := range map[string]string{
		"getComputedStyle($('.toggle')).backgroundColor":          "rgb(1, 2, 3)",
		"String($('.panel').offsetWidth)":                         "333",
		"getComputedStyle($('.heading')).fontSize":                "31px",
		"getComputedStyle($('.panel')).backgroundColor":           "rgb(23, 24, 28)",
		"String(document.querySelectorAll('chat-widget').length)": "1",
	} {
		if got := eval[string](p, js); got != want {
			t.Errorf("%s is %q, want %q", js, got, want)
		}
	}
	p.Prefer("prefers-reduced-motion", "reduce")
	if got := eval[string](p, "getComputedStyle($('.panel')).transitionDuration + getComputedStyle($('.dots i')).animationName"); got != "0snone" {
		t.Errorf("motion is not reduced: %s", got)
	}
}

func TestRightToLeft(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/rtl", page(`<!doctype html><html lang="ar" dir="rtl"><title>متجر</title><script src="/widget.js" data-title="اسألنا" defer></script><body>`))
	p.Open(h.URL + "/rtl")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	_, r := ask(p, c, "مرحبا", "")
	r.delta("- عنصر\n\nEnglish, too\n\n```\ncode\n```\n\n| اسم |\n|---|\n| a |").finish("stop")
	p.Until("w.state === 'ready'")
	// What begins a line is on the right: the launcher on the left, a user's message too, the marker of a list right.
	p.Do(`window.right = (s) => { const range = document.createRange(); range.selectNodeContents(w.shadowRoot.querySelector('.assistant ' + s)); return range.getBoundingClientRect().right }`)
	for _, js := range []string{
		"$('.toggle').getBoundingClientRect().left < 100",
		"$('.user').getBoundingClientRect().left < $('.list').getBoundingClientRect().left + 10",
		"$('.heading').getBoundingClientRect().right > $('.close').getBoundingClientRect().left",
		"getComputedStyle($('.assistant li')).direction === 'rtl'",
		"getComputedStyle($('figure')).direction === 'ltr'",
		"$('.log').scrollWidth === $('.log').clientWidth",
		// A column has one side, whatever its cells are written in.
		"right('th') > right('table') - 20 && right('td') > right('table') - 20",
	} {
		if !eval[bool](p, js) {
			t.Errorf("not so: %s", js)
		}
	}
}

// Small screens and 200 % zoom: everything is there, nothing sideways.
func TestSmallScreens(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Run(chromedp.EmulateViewport(320, 480))
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	_, r := ask(p, c, strings.Repeat("longword", 20), "")
	r.delta(sample + strings.Repeat("unbreakable", 30)).finish("stop")
	p.Until("w.state === 'ready'")
	for _, js := range []string{
		"$('.panel').getBoundingClientRect().width === 320 && $('.panel').getBoundingClientRect().height === 480",
		"$('.log').scrollWidth === $('.log').clientWidth",
		"document.documentElement.scrollWidth <= 320",
		"$('.close').checkVisibility() && $('.send').getBoundingClientRect().right <= 320",
		"$('.log').clientHeight > 150",
	} {
		if !eval[bool](p, js) {
			t.Errorf("not so: %s", js)
		}
	}
}

// The widget on one site, its hub on another.
func TestOtherOrigin(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	site := newFakeHub(t)
	site.serve("/page", page(`<!doctype html><html lang="en"><title>Site</title><script src="`+h.URL+`/widget.js" crossorigin defer></script><body>`))
	p.Open(site.URL + "/page")
	p.Click(".toggle")
	h.next().ready()
	p.Until("w.state === 'ready'")
}

// The API that the README documents.
func TestAPI(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	const fixed = "0c6f2a52-6e3b-4a7e-9d5e-0a4f8f1d2b3c"
	h.serve("/own", page(`<!doctype html><html lang="en"><title>Own</title><chat-widget server="`+h.URL+`/" conversation="`+fixed+`" storage="none"></chat-widget><script src="/widget.js" defer></script>`))
	p.Open(h.URL + "/own")
	p.Until("w.state === 'idle'")
	p.Do("w.send('from the page')") // connects without being opened
	c := h.next()
	if c.conversation != fixed {
		t.Errorf("conversation %s", c.conversation)
	}
	c.ready()
	m := c.expect("message")
	c.send(ack(m, ""))
	c.reply(m["id"].(string)).delta("ok").finish("stop")
	p.Until("w.state === 'ready' && $('.root').classList.contains('unread')")
	p.Do("w.open()")
	p.Until("$('.panel').checkVisibility({ visibilityProperty: true }) && !$('.root').classList.contains('unread')")
	p.Do("w.close(); w.title = 'Renamed'")
	p.Until("$('.heading').textContent === 'Renamed'")
	if got := eval[int](p, "localStorage.length"); got != 0 {
		t.Errorf("%d things kept, though storage is none", got)
	}
	p.Do("w.setAttribute('conversation', '" + strings.ToUpper(fixed) + "'); w.open()")
	if c = h.next(); c.conversation != strings.ToUpper(fixed) || c.query.Has("after") {
		t.Errorf("changed to %s with %v", c.conversation, c.query)
	}
	p.Do("const el = w; el.remove(); document.body.append(el)") // moving it in the page is no harm
	h.next().ready()
	p.Until("w.state === 'ready' && $$('.root').length === 1")
	p.Do("w.remove()")
}

// The demo page shows what a site can set: what is behind the question mark.
func TestTryAttributes(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	violations := p.Console()
	p.Open(h.URL + "/?theme=dark&title=Ask+us&--chat-accent=teal&corner&lang=ar&dir=rtl")
	p.Click(".toggle")
	h.next().ready()
	p.Until("w.state === 'ready' && w.words")
	for js, want := range map[string]string{
		"$('.heading').textContent":                               "Ask us",
		"getComputedStyle($('.toggle')).backgroundColor":          "rgb(0, 128, 128)",
		"getComputedStyle($('.root')).colorScheme":                "dark",
		"getComputedStyle($('.root')).direction":                  "rtl",
		"$('.input').placeholder":                                 "اكتب رسالة…",
		"String($('.toggle').getBoundingClientRect().left < 100)": "true",
		"String(document.querySelectorAll('chat-widget').length)": "1",
	} {
		if got := eval[string](p, js); got != want {
			t.Errorf("%s is %q, want %q", js, got, want)
		}
	}
	if got := violations(); got != "" {
		t.Errorf("console: %s", got)
	}
}

// A printed page has no button over its text; a chat that is a part of the page
// is printed whole.
func TestPrint(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Open(h.URL + "/shop")
	p.Until("$('.toggle').checkVisibility()")
	media := func(name string) {
		if _, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: name}); err != nil {
			t.Fatal(err)
		}
	}
	media("print")
	p.Until("!$('.toggle').checkVisibility()")
	media("")
	p.Open(h.URL + "/")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && w.words")
	_, r := ask(p, c, "Hello", "")
	r.delta(strings.Repeat("line\n\n", 100)).finish("stop")
	p.Until("w.state === 'ready'")
	media("print")
	p.Until("$('.log').clientHeight > 2000 && !$('.composer').checkVisibility() && !$('.tools').checkVisibility()")
}
