package static_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// settled: Turbo has no preview on the page that it still replaces.
const settled = "!document.documentElement.hasAttribute('data-turbo-preview') && !document.documentElement.ariaBusy"

const oneWidget = "document.querySelectorAll('chat-widget').length === 1"

// A site with Turbo: the README's one line in the head or in the body, which is
// evaluated again on every page. The chat stays, open, with its conversation.
func TestTurbo(t *testing.T) {
	turbo := npmFile(t, "turbo", "@hotwired/turbo/dist/turbo.es2017-umd.js")
	const line = `<script src="/widget.js" data-title="Ask us" defer></script>`
	for name, lines := range map[string][2]string{"head": {line, ""}, "body": {"", line}, "both": {line, line}} {
		t.Run(name, func(t *testing.T) {
			h, p := newFakeHub(t), newTab(t)
			h.serve("/turbo.js", script(turbo))
			for _, n := range []string{"one", "two", "three"} {
				h.serve("/"+n, page(fmt.Sprintf(`<!doctype html><html lang="en"><head><title>%s</title><script src="/turbo.js"></script>%s</head>
					<body><h1 id=%[1]s>%[1]s</h1><a id=to-one href=/one>1</a> <a id=to-two href=/two>2</a> <a id=to-three href=/three>3</a>%[3]s</body></html>`, n, lines[0], lines[1])))
			}
			p.Open(h.URL + "/one")
			p.Click(".toggle")
			c := h.next()
			c.ready()
			p.Until("w.state === 'ready'")
			_, r := ask(p, c, "Hello", "")
			r.delta("Half an ")
			p.Until("w.state === 'writing'")
			p.Do("$('.input').value = 'a draft'; $('.input').dispatchEvent(new Event('input'))")
			for _, to := range []string{"two", "three", "one"} {
				p.Do("document.querySelector('#to-" + to + "').click()")
				p.Until("document.querySelector('h1').id === '" + to + "' && " + oneWidget + " && $('.panel').checkVisibility({ visibilityProperty: true }) && " + settled)
			}
			p.Do("history.back()")
			p.Until("document.querySelector('h1').id === 'three' && " + oneWidget)
			r.delta("answer.").finish("stop")
			p.Until("w.state === 'ready' && $('.assistant .body').textContent === 'Half an answer.' && $('.input').value === 'a draft'")
			if len(h.conns) > 0 {
				t.Error("a page without a load cost a connection")
			}
		})
	}
}

func script(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write([]byte(text))
	})
}

// Whatever an application does to its page, there is one chat, or none when the
// page has removed it.
func TestPageIsReplaced(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/app", page(`<!doctype html><html lang="en"><title>App</title><body><div id=app>1</div><script src="/widget.js"></script></body></html>`))
	p.Open(h.URL + "/app")
	p.Until(oneWidget)
	for name, change := range map[string]string{
		"body":              "document.body = document.createElement('body')",
		"body's content":    "document.body.innerHTML = '<p>2'",
		"body, by its HTML": "document.documentElement.replaceChild(document.createElement('body'), document.body)",
		"a second script":   "const s = document.createElement('script'); s.src = '/widget.js'; document.body.append(s); window.again = new Promise((f) => { s.onload = f })",
		"the whole page":    "const html = document.createElement('html'); html.append(document.createElement('head'), document.createElement('body')); document.replaceChild(html, document.documentElement)",
	} {
		p.Do(change)
		p.Until(oneWidget + " && w.isConnected && $('.toggle').checkVisibility()")
		if got := eval[string](p, "w.localName"); got != "chat-widget" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// A page of the site with a chat of its own.
	p.Do("document.body.innerHTML = '<div style=height:300px><chat-widget inline></chat-widget></div>'")
	h.next().ready()
	p.Do("document.body = document.body.cloneNode(true)")
	h.next().ready()
	p.Until(oneWidget + " && w.hasAttribute('inline') && w.state === 'ready'")
	p.Do("document.body = document.createElement('body')")
	p.Until(oneWidget + " && !w.hasAttribute('inline')")
	p.Do("w.remove(); document.body = document.createElement('body')")
	p.Run(chromedp.Evaluate[chromedp.Void]("new Promise((f) => setTimeout(f, 50))", chromedp.EvalAwaitPromise))
	if !eval[bool](p, "!w") {
		t.Error("a chat that the page removed came back")
	}
}

// By every way to load it, the widget is there and finds its hub.
func TestWaysToLoad(t *testing.T) {
	h := newFakeHub(t)
	for name, tag := range map[string]string{
		"classic":           `<script src="` + h.URL + `/widget.js" data-title="Ask us"></script>`,
		"deferred":          `<script src="` + h.URL + `/widget.js?v=1" data-title="Ask us" defer></script>`,
		"async":             `<script src="` + h.URL + `/widget.js" data-title="Ask us" async></script>`,
		"module":            `<script type="module" src="` + h.URL + `/widget.js" data-title="Ask us"></script>`,
		"import":            `<script type="module">import '` + h.URL + `/widget.js'</script>`,
		"dynamic import":    `<script>import('` + h.URL + `/widget.js').then(() => import('` + h.URL + `/widget.js?again'))</script>`,
		"injected":          `<script>const s = document.createElement('script'); s.src = '` + h.URL + `/widget.js'; s.dataset.title = 'Ask us'; document.head.append(s)</script>`,
		"twice":             `<script src="` + h.URL + `/widget.js" data-title="Ask us"></script><script src="` + h.URL + `/widget.js" data-title="Ask us"></script>`,
		"module and script": `<script type="module" src="` + h.URL + `/widget.js" data-title="Ask us"></script><script src="` + h.URL + `/widget.js" data-title="Ask us" defer></script>`,
	} {
		t.Run(name, func(t *testing.T) {
			site, p := newFakeHub(t), newTab(t)
			site.serve("/page", page(`<!doctype html><html lang="en"><head><title>Site</title>`+tag+`</head><body><h1>Site</h1>`))
			p.Open(site.URL + "/page")
			p.Until(oneWidget)
			p.Click(".toggle")
			h.next().ready()
			p.Until("w.state === 'ready' && " + oneWidget)
			if got, imported := eval[string](p, "$('.heading').textContent"), strings.Contains(name, "import"); got != "Ask us" && !imported {
				t.Errorf("title %q", got)
			}
		})
	}
}

// A copy in a bundle cannot know its hub; the console says what to do.
func TestBundled(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/page", page(`<!doctype html><html lang="en"><title>Site</title><script type="module">
		window.warned = ''; console.warn = (s) => { warned += s };
		const text = await (await fetch('/widget.js')).text();
		await import(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
		</script><chat-widget inline></chat-widget>`))
	p.Open(h.URL + "/page")
	p.Until("warned.includes('server=')")
	h.next().ready() // the page's own origin is what is left
	p.Until("w.state === 'ready'")
}

// Whatever stands under the widget's name in the site's storage, it works.
func TestBrokenStorage(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Open(h.URL + "/shop")
	for _, value := range []string{"{bad", "null", "[]", `"text"`, "5", `{"id":5}`, `{"id":null,"unsent":"x"}`, `{"unsent":[null,5,{"id":1},{"id":"a","role":"user"}]}`, "",
		`{"id":"."}`, `{"id":[]}`, `{"id":"chat one"}`,
		`{"unsent":[{"id":5,"role":"user","content":"x"},{"id":"a","role":"user","content":"x"},{"id":{},"role":"user","content":"x"}]}`,
		`{"unsent":[{"id":"0B9A1F6E-6A0E-4F3B-8F0A-5D2C9E1B7A10","role":"user","content":"x"},{"id":["0b9a1f6e-6a0e-4f3b-8f0a-5d2c9e1b7a1"],"role":"user","content":"x"}]}`,
		`{"unsent":[{"id":"0b9a1f6e-6a0e-4f3b-8f0a-5d2c9e1b7a10","content":"x"},{"id":"0b9a1f6e-6a0e-4f3b-8f0a-5d2c9e1b7a11","role":"assistant","content":"x"}]}`,
	} {
		p.Do("for (const name of ['', ' list']) localStorage.setItem('chat ' + location.origin + '/' + name, " + literal(value) + ")")
		p.Run(chromedp.Reload())
		p.Click(".toggle")
		c := h.next()
		if c.query.Has("after") {
			t.Errorf("%s: query %v", value, c.query)
		}
		c.ready()
		p.Until("w.state === 'ready'")
		if n := eval[int](p, "w.hub.unsent.length + $$('.msg').length"); n != 0 {
			t.Errorf("%s: shows or sends what it never wrote", value)
		}
	}
}

// A page that shows one conversation leaves the site's own chat alone.
func TestConversationOfOnePage(t *testing.T) {
	const fixed = "0c6f2a52-6e3b-4a7e-9d5e-0a4f8f1d2b3c"
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	h.serve("/order", page(`<!doctype html><html lang="en"><title>Order</title><chat-widget conversation="`+strings.ToUpper(fixed)+`"></chat-widget><script src="/widget.js" defer></script>`))
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	own := c.conversation
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")

	p.Open(h.URL + "/order")
	p.Click(".toggle")
	c = h.next()
	if c.conversation != strings.ToUpper(fixed) {
		t.Errorf("the page's conversation is %s", c.conversation)
	}
	c.conversation = fixed // as the hub answers
	c.ready()
	p.Until("w.state === 'ready'")
	p.Say("About my order")
	m := c.expect("message")
	p.Run(chromedp.Reload()) // what is not acknowledged survives here, too
	p.Click(".toggle")
	c = h.next()
	c.conversation = fixed
	c.ready()
	if again := c.expect("message"); again["id"] != m["id"] {
		t.Errorf("sent again %v, want %v", again, m)
	}
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	if c = h.next(); c.conversation != own {
		t.Errorf("the site's chat is %s, was %s", c.conversation, own)
	}
}

// The page's colour scheme counts, not the system's, unless theme says otherwise.
func TestColourScheme(t *testing.T) {
	const dark, light = "rgb(23, 24, 28)", "rgb(255, 255, 255)"
	h, p := newFakeHub(t), newTab(t)
	for i, c := range []struct{ head, system, want string }{
		{``, "dark", light},
		{`<style>:root { color-scheme: light }</style>`, "dark", light},
		{`<meta name="color-scheme" content="light">`, "dark", light},
		{`<style>:root { color-scheme: dark }</style>`, "light", dark},
		{`<style>:root { color-scheme: light dark }</style>`, "dark", dark},
		{`<meta name="color-scheme" content="light dark">`, "dark", dark},
		{`<meta name="color-scheme" content="light dark">`, "light", light},
		{`<style>chat-widget { color-scheme: dark }</style>`, "light", dark},
		{`<style>:root { color-scheme: light }</style><script>addEventListener('load', () => document.querySelector('chat-widget').setAttribute('theme', 'dark'))</script>`, "light", dark},
	} {
		path := fmt.Sprint("/scheme", i)
		h.serve(path, page(`<!doctype html><html lang="en"><title>Scheme</title>`+c.head+`<script src="/widget.js"></script><body><h1>Site</h1>`))
		p.Prefer("prefers-color-scheme", c.system)
		p.Open(h.URL + path)
		p.Until("$('.panel')")
		// Colours fade in.
		p.Do("$('.panel').getAnimations().forEach((a) => a.finish())")
		p.Run(chromedp.Evaluate[chromedp.Void]("new Promise((f) => document.readyState === 'complete' ? f() : addEventListener('load', f))", chromedp.EvalAwaitPromise))
		p.Do("$('.panel').getAnimations().forEach((a) => a.finish())")
		if got := eval[string](p, "getComputedStyle($('.panel')).backgroundColor"); got != c.want {
			t.Errorf("%s on a %s system: %s, want %s", c.head, c.system, got, c.want)
		}
	}
}

// barred makes the hub refuse every origin but its own, as ALLOWED_ORIGINS does.
func barred(h *fakeHub, cors int) {
	h.serve("/healthz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			w.WriteHeader(cors)
		}
	}))
	h.handshake.Store(http.StatusForbidden)
}

// A page whose origin the hub does not list is told so, and its owner how to mend it.
func TestOriginNotListed(t *testing.T) {
	h, site, p := newFakeHub(t), newFakeHub(t), newTab(t)
	barred(h, http.StatusForbidden)
	site.serve("/page", page(`<!doctype html><html lang="en"><title>Site</title><script>window.told = []; console.error = (s) => told.push(s)</script><script src="`+h.URL+`/widget.js"></script><body>`))
	p.Open(site.URL + "/page")
	p.Click(".toggle")
	p.Until("w.state === 'unavailable'")
	p.MustContain("This chat is not available here")
	if got := eval[[]string](p, "told"); len(got) != 1 || !strings.Contains(got[0], "ALLOWED_ORIGINS") || !strings.Contains(got[0], site.URL) {
		t.Errorf("console: %q", got)
	}
	if eval[bool](p, "$('.root').innerText.includes('Reconnecting') || !!$('.notice button') || !$('.send').disabled") {
		t.Error("it looks as if waiting would help")
	}
	h.handshake.Store(0) // the owner adds the origin
	p.Do("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
	h.next().ready()
	p.Until("w.state === 'ready' && !$('.notice').textContent")
}

// A hub that is away is another matter: the page goes on trying.
func TestServerIsDown(t *testing.T) {
	h, site, p := newFakeHub(t), newFakeHub(t), newTab(t)
	site.serve("/page", page(`<!doctype html><html lang="en"><title>Site</title><script>window.told = []; console.error = (s) => told.push(s)</script><script src="`+h.URL+`/widget.js"></script><body>`))
	p.Open(site.URL + "/page")
	p.Until("$('.toggle')")
	h.CloseClientConnections()
	h.Listener.Close()
	p.Click(".toggle")
	p.Until("w.state === 'reconnecting' && w.hub.tries > 2")
	p.MustContain("The connection is lost.")
	if got := eval[[]string](p, "told"); len(got) != 0 {
		t.Errorf("console: %q", got)
	}
}

// Nor is a proxy that answers for a hub that is away, as in a deploy, a hub that refuses.
func TestProxyAnswersForTheHub(t *testing.T) {
	h, site, p := newFakeHub(t), newFakeHub(t), newTab(t)
	site.serve("/page", page(`<!doctype html><html lang="en"><title>Site</title><script>window.told = []; console.error = (s) => told.push(s)</script><script src="`+h.URL+`/widget.js"></script><body>`))
	p.Open(site.URL + "/page")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && w.words")
	h.serve("/healthz", page("", "Access-Control-Allow-Origin", site.URL)) // the origin is listed
	h.status.Store(http.StatusBadGateway)
	p.Do("Math.random = () => 0.1")
	c.cut()
	p.Until("w.state === 'reconnecting' && w.hub.tries > 3")
	if got := eval[[]string](p, "told"); len(got) != 0 {
		t.Errorf("console: %q", got)
	}
	h.status.Store(0)
	h.next().ready()
	p.Until("w.state === 'ready'")
}

// A page of React, with its router in a part of the page, or hydrated as a
// whole: the chat stays, and React has nothing to say of it.
func TestReact(t *testing.T) {
	var react string
	for _, file := range []string{
		"react/umd/react.production.min.js", "react-dom/umd/react-dom.production.min.js", "@remix-run/router/dist/router.umd.min.js",
		"react-router/dist/umd/react-router.production.min.js", "react-router-dom/dist/umd/react-router-dom.production.min.js",
	} {
		react += npmFile(t, "react", file) + "\n"
	}
	const routes = `
		const { createElement: h, useState } = React, { BrowserRouter, Routes, Route, Link } = ReactRouterDOM;
		const Pages = () => h('main', { key: 'main' }, h(Link, { id: 'to-one', to: '/one' }, '1'), h(Link, { id: 'to-two', to: '/two' }, '2'),
			h(Routes, {}, h(Route, { path: '/one', element: h('h1', { id: 'one' }, 'one') }), h(Route, { path: '/two', element: h('h1', { id: 'two' }, 'two') })));
		window.complaints = []; const old = console.error; console.error = (...args) => { complaints.push(String(args[0])); };`
	const head = `<!doctype html><html lang="en"><head><title>App</title>`
	for name, html := range map[string]string{
		"router": head + `<script src="/widget.js" defer></script></head><body><div id="root"></div><script src="/react.js"></script><script>` + routes + `
			ReactDOM.createRoot(document.querySelector('#root')).render(h(BrowserRouter, {}, h(Pages)));</script></body></html>`,
		"widget before": head + `</head><body><div id="root"></div><script src="/widget.js"></script><script src="/react.js"></script><script>` + routes + `
			ReactDOM.createRoot(document.querySelector('#root')).render(h(BrowserRouter, {}, h(Pages)));</script></body></html>`,
		"whole page hydrated": head + `</head><body><main>server</main></body></html><script src="/widget.js"></script><script src="/react.js"></script><script>` + routes + `
			const App = () => h('html', { lang: 'en' }, h('head', {}, h('title', {}, 'App')), h('body', {}, h(BrowserRouter, {}, h(Pages))));
			ReactDOM.hydrateRoot(document, h(App), { onRecoverableError() {} });</script>`,
	} {
		t.Run(name, func(t *testing.T) {
			h, p := newFakeHub(t), newTab(t)
			h.serve("/react.js", script(react))
			h.serve("/one", page(html))
			h.serve("/two", page(html))
			p.Open(h.URL + "/one")
			p.Until(oneWidget + " && document.querySelector('#one')")
			p.Click(".toggle")
			c := h.next()
			c.ready()
			p.Until("w.state === 'ready'")
			_, r := ask(p, c, "Hello", "")
			r.delta("Half ")
			for range 2 {
				p.Do("document.querySelector('#to-two').click()")
				p.Until("document.querySelector('#two') && " + oneWidget + " && $('.panel').checkVisibility({ visibilityProperty: true })")
				p.Do("document.querySelector('#to-one').click()")
				p.Until("document.querySelector('#one') && " + oneWidget)
			}
			r.delta("an answer").finish("stop")
			p.Until("w.state === 'ready' && $('.assistant .body').textContent === 'Half an answer'")
			if len(h.conns) > 0 {
				t.Error("a route cost a connection")
			}
		})
	}
}

// Policies that sites really have: a nonce, what its scripts load, and Trusted Types.
func TestStricterPolicies(t *testing.T) {
	for name, c := range map[string]struct{ policy, tag string }{
		"nonce":          {"script-src 'nonce-abc' HUB; connect-src HUB WS", `<script nonce="abc" src="HUB/widget.js" defer></script>`},
		"strict-dynamic": {"script-src 'nonce-abc' 'strict-dynamic'; connect-src HUB WS", `<script nonce="abc" src="HUB/widget.js" defer></script>`},
		"hosts":          {"script-src HUB; connect-src HUB WS", `<script src="HUB/widget.js" defer></script>`},
		"isolated":       {"script-src HUB; connect-src HUB WS", `<script src="HUB/widget.js" crossorigin defer></script>`},
	} {
		t.Run(name, func(t *testing.T) {
			h, site, p := newFakeHub(t), newFakeHub(t), newTab(t)
			fill := strings.NewReplacer("HUB", h.URL, "WS", strings.Replace(h.URL, "http", "ws", 1)).Replace
			headers := []string{"Content-Security-Policy", fill("default-src 'none'; " + c.policy + "; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'")}
			if name == "isolated" {
				headers = append(headers, "Cross-Origin-Embedder-Policy", "require-corp", "Cross-Origin-Opener-Policy", "same-origin")
			}
			site.serve("/page", page(`<!doctype html><html lang="de"><head><title>Site</title>`+fill(c.tag)+`</head><body><h1>Site</h1>`, headers...))
			violations := p.Console()
			p.Open(site.URL + "/page")
			p.Click(".toggle")
			conn := h.next()
			conn.ready()
			p.Until("w.state === 'ready' && w.words && $('.close').title === 'Schließen'")
			_, r := ask(p, conn, "Hello", "")
			r.delta("a\n```go\nfunc f() {}\n```").finish("stop")
			p.Until("w.state === 'ready' && $('i.keyword')")
			if got := violations(); strings.Contains(got, "Content Security Policy") || strings.Contains(got, "TrustedS") {
				t.Errorf("console: %s", got)
			}
		})
	}
}
