package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// realPages are pages that vite has built from interop/pages, in Chromium.
type realPages struct {
	*rig
	line    *line
	browser context.Context
	pages   *httptest.Server
	address atomic.Pointer[string] // that requests come from, if one is set
	page    string                 // chat or assistant
}

// pageHTML is around each script.
const pageHTML = `<!doctype html>
<meta charset="utf-8">
<body><div id="root"></div>
<script>
	window.HUB = new URLSearchParams(location.search).get('hub');
	window.seen = () => [...document.querySelectorAll('[data-role]')].map((p) => p.dataset.role + ': ' + p.textContent);
	window.state = () => document.querySelector('main')?.dataset.status;
	addEventListener('error', (e) => { window.failed = String(e.error ?? e.message); });
	addEventListener('unhandledrejection', (e) => { window.failed = String(e.reason); });
</script>
<script type="module" src="%s.js"></script>`

func newRealPages(t *testing.T) *realPages {
	t.Helper()
	p := builtPages(t)
	p.rig = newRig(t, behindProxy, oneReply,
		withAPI(func(c *httpapi.Config) { c.AllowedOrigins = []string{p.pages.URL} }),
		withHub(func(c *hub.Config) { c.MaxMessageBytes = pageLimit }))
	served := p.forwarded(*p.serving.Load())
	p.serving.Store(&served)
	p.line = newLine(t, p.url)
	return p
}

// builtPages are the pages without a hub.
func builtPages(t *testing.T) *realPages {
	t.Helper()
	dir, built := npmPackages(t, "pages"), t.TempDir()
	build := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "vite"), "build", "--emptyOutDir", "--outDir", built)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("vite build: %v\n%s", err, out)
	}
	files := http.FileServer(http.Dir(built))
	p := &realPages{page: "chat", browser: browser(t), pages: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isPage := strings.CutSuffix(r.URL.Path, ".html")
		if !isPage {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, pageHTML, name)
	}))}
	t.Cleanup(p.pages.Close)
	return p
}

// realPage is one page of a conversation.
type realPage struct {
	*tab
	rig *realPages
	id  string
}

// open shows a page of the conversation id; how is a query, such as "socket&resume".
func (p *realPages) open(t *testing.T, id, how string) *realPage {
	t.Helper()
	query := "hub=" + url.QueryEscape(p.line.url)
	if id != "" {
		query += "&id=" + id
	}
	r := &realPage{tab: openTab(t, p.browser, p.pages.URL+"/"+p.page+".html?"+query+"&"+how), rig: p, id: id}
	r.until("window.chat && state()", "[window.failed ?? null, document.body.innerHTML]")
	return r
}

// run has the page do something, and does not wait for it.
func (p *realPage) run(js string) {
	p.t.Helper()
	eval[bool](p.tab, "(void ("+js+"), true)")
}

func (p *realPage) send(text string) { p.run("chat.sendMessage({text: " + strconv.Quote(text) + "})") }

// rest waits until nothing comes.
func (p *realPage) rest() {
	p.t.Helper()
	p.until("state() === 'ready' || state() === 'error'", "[state(), ...seen()]")
}

// same waits until the page rests and shows what the hub has, but for messages of
// its own, which begin with "Notice"; and that is what is wanted.
func (p *realPage) same(want ...string) {
	p.t.Helper()
	for i, s := range want { // the answers of the model follow from the questions
		if i > 0 && s == "=" {
			want[i] = "assistant: You said: " + strings.TrimPrefix(want[i-1], "user: ")
		}
	}
	p.until(fmt.Sprintf("state() === 'ready' && JSON.stringify(seen().filter((s) => !s.includes('Notice'))) === JSON.stringify(%s)", jsList(want)), "[state(), ...seen()]")
	if diff := cmp.Diff(want, p.stored()); diff != "" {
		p.t.Errorf("the hub has (-want +got):\n%s", diff)
	}
}

// stored is what the hub has, as seen() has it.
func (p *realPage) stored() (has []string) {
	p.t.Helper()
	for _, m := range p.rig.session(p.id).Messages {
		has = append(has, m.Role+": "+m.Content)
	}
	return has
}

func jsList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// TestRealPages walks through pages with useChat and with assistant-ui, over both
// transports. After each step the page shows what the hub has.
func TestRealPages(t *testing.T) {
	p := newRealPages(t)
	for page, name := range map[string]string{"chat": "useChat", "assistant": "assistant-ui"} {
		p.page = page
		for _, how := range []string{"", "socket"} {
			name := name + map[string]string{"": ", default transport", "socket": ", transport.js"}[how]
			t.Run(name, func(t *testing.T) { testUseChat(t, p, how) })
			t.Run("the line, "+name, func(t *testing.T) { testLine(t, p, how) })
			t.Run("reasoning, "+name, func(t *testing.T) { testReasoning(t, p, how) })
			if page == "chat" {
				t.Run("retries, "+name, func(t *testing.T) { testRetries(t, p, how) })
			} else {
				t.Run("buttons, "+name, func(t *testing.T) { testAssistantUI(t, p, how) })
			}
		}
		t.Run("two tabs, "+name+", transport.js", func(t *testing.T) { testTwoTabs(t, p) })
	}
}

func testUseChat(t *testing.T, p *realPages, how string) {
	t.Run("send, regenerate, edit, cut, branch and back", func(t *testing.T) {
		c := p.open(t, newID(), how)
		c.send("one")
		c.same("user: one", "=")
		c.send("two")
		c.same("user: one", "=", "user: two", "=")
		c.run("window.branch = chat.messages, chat.regenerate()")
		c.same("user: one", "=", "user: two", "=")
		c.run("chat.sendMessage({text: 'TWO', messageId: chat.messages[2].id})")
		c.same("user: one", "=", "user: TWO", "=")
		c.run("(chat.setMessages(chat.messages.slice(0, 2)), chat.sendMessage({text: 'three'}))")
		c.same("user: one", "=", "user: three", "=")
		c.run("(chat.setMessages(branch), chat.sendMessage({text: 'four'}))")
		c.same("user: one", "=", "user: two", "=", "user: four", "=")
		c.run("(chat.setMessages([{...branch[0], parts: [{type: 'text', text: 'uno'}]}]), chat.regenerate())")
		c.same("user: uno", "=")
		c.run("(chat.setMessages(branch.slice(0, 3)), chat.sendMessage())")
		c.same("user: one", "=", "user: two", "=")
	})

	t.Run("a send that is refused, or does not arrive", func(t *testing.T) {
		c := p.open(t, newID(), how)
		c.send("first")
		c.same("user: first", "=")
		c.send(strings.Repeat("too long ", 20))
		c.until("state() === 'error'", "seen()")
		c.run("(chat.setMessages([...chat.messages.slice(0, -1), {...chat.messages.at(-1), parts: [{type: 'text', text: 'shorter'}]}]), chat.regenerate())")
		c.same("user: first", "=", "user: shorter", "=")
		if how == "" {
			c.run("(window.real = fetch, window.fetch = () => Promise.reject(new TypeError('Failed to fetch')), chat.sendMessage({text: 'offline'}))")
			c.until("state() === 'error'", "seen()")
			c.run("(window.fetch = real, chat.regenerate())")
			c.same("user: first", "=", "user: shorter", "=", "user: offline", "=")
		}
	})

	if p.page == "chat" { // assistant-ui shows an answer and the notice after it as one
		t.Run("a notice and a greeting of the page's own", func(t *testing.T) {
			c := p.open(t, newID(), how)
			notice := "{id: 'notice' + Math.random(), role: 'assistant', parts: [{type: 'text', text: 'Notice'}]}"
			c.run("(chat.setMessages([" + notice + "]), chat.sendMessage({text: 'one'}))")
			c.same("user: one", "=")
			c.run("(chat.setMessages([...chat.messages, " + notice + "]), chat.sendMessage({text: 'two'}))")
			c.same("user: one", "=", "user: two", "=")
		})
	}

	t.Run("stop, and stop before the first token", func(t *testing.T) {
		c := p.open(t, newID(), how)
		a, g := held(1, "begun ", "never")
		p.answer("slow", a)
		c.send("slow")
		c.until("seen().includes('assistant: begun ')", "seen()")
		c.run("chat.stop()")
		c.rest()
		c.send("next")
		c.same("user: slow", "assistant: begun ", "user: next", "=")
		g.open()
		a, g = held(0, "never")
		p.answer("silent", a)
		c.send("silent")
		g.wait(t)
		c.run("chat.stop()")
		c.rest()
		c.send("again")
		c.until("state() === 'ready' && seen().at(-1) === 'assistant: You said: again'", "[state(), ...seen()]")
		g.open()
		if diff := cmp.Diff(c.stored(), eval[[]string](c.tab, "seen()")); diff != "" {
			t.Errorf("the page shows (-the hub +the page):\n%s", diff)
		}
	})

	t.Run("a reload in mid-reply", func(t *testing.T) {
		id := newID()
		a, g := held(1, "begun ", "and ended")
		p.answer("reload", a)
		p.open(t, id, how).send("reload")
		g.wait(t)
		c := p.open(t, id, how+"&resume")
		c.until("seen().includes('assistant: begun ')", "seen()")
		g.open()
		c.same("user: reload", "assistant: begun and ended")
	})

	t.Run("the line is cut in mid-reply", func(t *testing.T) {
		c := p.open(t, newID(), how)
		a, g := held(1, "half ", "and whole")
		p.answer("cut", a)
		c.send("cut")
		c.until("seen().includes('assistant: half ')", "seen()")
		p.line.cut()
		if how == "" { // the SDK says that it broke; sending nothing asks for what is missing
			c.until("state() === 'error'", "seen()")
			c.run("chat.sendMessage()")
		}
		g.open()
		c.same("user: cut", "assistant: half and whole")
	})

	if how == "" {
		t.Run("a stale tab", func(t *testing.T) {
			id := newID()
			stale := p.open(t, id, how)
			stale.send("one")
			stale.same("user: one", "=")
			other := p.open(t, id, how)
			other.send("two")
			other.same("user: one", "=", "user: two", "=")
			stale.send("three")
			stale.same("user: one", "=", "user: three", "=")
			other.send("four")
			other.same("user: one", "=", "user: two", "=", "user: four", "=")
		})
	}

	t.Run("no id", func(t *testing.T) {
		c := p.open(t, "", how)
		c.id = eval[string](c.tab, "chat.id")
		c.send("one")
		c.same("user: one", "=")
	})
}

// TestRecipes: the files in README.md are those in interop/pages/recipes, and each
// is a page on which one can talk.
func TestRecipes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := os.ReadDir(filepath.Join("interop", "pages", "recipes"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range recipes {
		text, err := os.ReadFile(filepath.Join("interop", "pages", "recipes", file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lang := strings.TrimPrefix(filepath.Ext(file.Name()), ".")
		if !strings.Contains(string(readme), fmt.Sprintf("`%s`:\n\n```%s\n%s```\n", file.Name(), lang, text)) {
			t.Errorf("README.md does not have %s as it is", file.Name())
		}
	}
	p := newRealPages(t)
	const sayHello = `(() => {
		const input = document.querySelector('[name=text]');
		const proto = input instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
		Object.getOwnPropertyDescriptor(proto.prototype, 'value').set.call(input, 'hello');
		input.dispatchEvent(new Event('input', {bubbles: true}));
		setTimeout(() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'Send').click(), 50);
		return true;
	})()`
	for _, file := range recipes {
		t.Run(file.Name(), func(t *testing.T) {
			name := strings.TrimSuffix(file.Name(), filepath.Ext(file.Name()))
			c := openTab(t, p.browser, p.pages.URL+"/"+name+".html?hub="+url.QueryEscape(p.line.url))
			switch name {
			case "deep-chat":
				shown := func(want string) {
					t.Helper()
					c.until("document.querySelector('deep-chat').getMessages().map((m) => m.role + ': ' + m.text).join('|') === "+strconv.Quote(want), "document.querySelector('deep-chat')?.getMessages()")
				}
				c.until("document.querySelector('deep-chat')?.submitUserMessage", "[window.failed ?? null, document.body.innerHTML]")
				eval[bool](c, "new Promise((done) => { const w = setInterval(() => { try { document.querySelector('deep-chat').submitUserMessage({text: 'hello'}); clearInterval(w); done(true); } catch {} }, 5); })")
				shown("user: hello|ai: You said: hello")
				id := eval[string](c, "sessionStorage.chat")
				p.wantSaid(id, "hello", "You said: hello")
				if err := chromedp.Do(c.ctx, chromedp.Reload()); err != nil {
					t.Fatal(err)
				}
				shown("user: hello|ai: You said: hello")
				return
			case "reconnecting", "partysocket":
				c.until("window.say", "[window.failed ?? null, document.body.innerHTML]")
				eval[bool](c, "(say('hello'), true)")
				c.until("document.body.textContent === 'user: helloassistant: You said: hello'", "document.body.textContent")
				p.line.cut()
				eval[bool](c, "(say('again'), true)")
				c.until("document.body.textContent === 'user: helloassistant: You said: hellouser: againassistant: You said: again'", "document.body.textContent")
				return
			}
			c.until("document.querySelector('[name=text]')", "[window.failed ?? null, document.body.innerHTML]")
			eval[bool](c, sayHello)
			c.until("seen().join('|') === 'user: hello|assistant: You said: hello'", "[window.failed ?? null, ...seen()]")
			if id := eval[string](c, "sessionStorage.chat ?? ''"); id != "" {
				p.wantSaid(id, "hello", "You said: hello")
			}
		})
	}
}

// testAssistantUI does what the buttons of assistant-ui do: its runtime has branches of
// its own, and asks for all else by useChat.
func testAssistantUI(t *testing.T, p *realPages, how string) {
	open := func(t *testing.T) (c *realPage, say func(text string)) {
		c = p.open(t, newID(), how)
		return c, func(text string) {
			c.run("thread.append({role: 'user', content: [{type: 'text', text: " + strconv.Quote(text) + "}]})")
		}
	}
	const reload = "thread.startRun({parentId: thread.getState().messages.findLast((m) => m.role === 'user').id})"
	t.Run("send, edit, another answer, branch and back", func(t *testing.T) {
		c, say := open(t)
		say("one")
		c.same("user: one", "=")
		say("two")
		c.same("user: one", "=", "user: two", "=")
		c.run("thread.append({parentId: thread.getState().messages[1].id, role: 'user', content: [{type: 'text', text: 'three'}]})")
		c.same("user: one", "=", "user: three", "=")
		c.run(reload)
		c.same("user: one", "=", "user: three", "=")
		c.run("thread.append({parentId: null, role: 'user', content: [{type: 'text', text: 'uno'}]})")
		c.same("user: uno", "=")
		// The branch picker of the first message, and on from there.
		c.run("thread.getMessageByIndex(0).switchToBranch({position: 'previous'})")
		c.until("seen()[0] === 'user: one'", "seen()")
		say("four")
		c.same("user: one", "=", "user: three", "=", "user: four", "=")
	})

	for _, fault := range []string{"429", "offline"} {
		if fault == "offline" && how != "" {
			continue // it waits, and goes out by itself: see testRetries
		}
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, then the reload button; first message: %v", fault, first), func(t *testing.T) {
				p.as(counted)
				defer p.as("")
				c, say := open(t)
				var want []string
				if !first {
					want = []string{"user: before", "="}
					say("before")
					c.same(slices.Clone(want)...)
				}
				end := p.refuses(t, fault)
				say("again")
				c.until("state() === 'error'", "[state(), ...seen()]")
				end()
				c.run(reload)
				c.same(append(want, "user: again", "=")...)
			})
		}
	}

	t.Run("413, then another text in its place", func(t *testing.T) {
		c, say := open(t)
		say("one")
		c.same("user: one", "=")
		say(strings.Repeat("too long ", 20))
		c.until("state() === 'error'", "[state(), ...seen()]")
		c.run("thread.append({parentId: thread.getState().messages[1].id, role: 'user', content: [{type: 'text', text: 'shorter'}]})")
		c.same("user: one", "=", "user: shorter", "=")
	})

	t.Run("the stop button, and on", func(t *testing.T) {
		c, say := open(t)
		a, g := held(1, "begun ", "never")
		p.answer("slow", a)
		say("slow")
		c.until("seen().includes('assistant: begun ')", "seen()")
		c.run("thread.cancelRun()")
		c.rest()
		say("next")
		c.same("user: slow", "assistant: begun ", "user: next", "=")
		g.open()
	})

	t.Run("the line is cut, then the reload button", func(t *testing.T) {
		c, say := open(t)
		a, g := held(1, "half ", "and whole")
		p.answer("cut", a)
		say("cut")
		c.until("seen().includes('assistant: half ')", "seen()")
		p.line.cut()
		if how == "" {
			c.until("state() === 'error'", "seen()")
			p.answer("cut", mistralsim.Answer{Text: "anew"})
			c.run(reload)
			c.same("user: cut", "assistant: anew")
			g.open()
			return
		}
		g.open()
		c.same("user: cut", "assistant: half and whole")
	})
}
