package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/httpapi"
	"lumos/backend/llm/mistralsim"
)

// deepChatPage is the widget as its documentation has it, and what a person
// sees in it: every bubble with who says it, "error" too.
const deepChatPage = `<!doctype html>
<meta charset="utf-8">
<script type="module" src="/deepChat.bundle.js"></script>
<deep-chat connect='{"url":%q,"websocket":"deep-chat","stream":{"simulation":"[DONE]"}}'></deep-chat>
<script>
	const chat = document.querySelector('deep-chat');
	const errors = () => [...chat.shadowRoot.querySelectorAll('.error-message-text')].map((e) => e.innerText);
	const said = () => chat.getMessages().map((m) => m.role + ': ' + m.text);
	const seen = () => [...said(), ...errors().map((e) => 'error: ' + e)];
	const last = () => chat.getMessages().at(-1)?.text;
	const NativeSocket = WebSocket;
	let sockets = 0, open = 0;
	WebSocket = class extends NativeSocket {
		constructor(...args) {
			super(...args);
			sockets++;
			this.addEventListener('open', () => {
				open++;
				this.addEventListener('close', () => open--);
			});
		}
	};
</script>`

// deepChats is a hub, and pages with the widget of the npm package.
type deepChats struct {
	*rig
	line    *line
	browser context.Context
	pages   *httptest.Server
}

func newDeepChats(t *testing.T) *deepChats {
	t.Helper()
	bundle := filepath.Join(npmPackages(t, "deepchat"), "node_modules", "deep-chat", "dist", "deepChat.bundle.js")
	d := &deepChats{browser: browser(t)}
	d.pages = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deepChat.bundle.js" {
			http.ServeFile(w, r, bundle)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, deepChatPage, r.URL.Query().Get("url"))
	}))
	t.Cleanup(d.pages.Close)
	d.rig = newRig(t, withAPI(func(c *httpapi.Config) { c.AllowedOrigins = []string{d.pages.URL} }))
	d.line = newLine(t, d.url)
	return d
}

// open shows the widget for this path of the hub's, connected or refused.
func (d *deepChats) open(t *testing.T, path string) *tab {
	t.Helper()
	p := openTab(t, d.browser, d.pages.URL+"/?url="+strings.Replace(d.line.url, "http", "ws", 1)+path)
	p.until("sockets > 0 && (open > 0 || errors().length)", "seen()")
	return p
}

// say sends a message as the widget's own form does.
func (p *tab) say(text string) {
	p.t.Helper()
	eval[bool](p, "(chat.submitUserMessage({text: "+strconv.Quote(text)+"}), true)")
}

// wantSeen waits until the widget shows exactly this.
func (p *tab) wantSeen(want ...string) {
	p.t.Helper()
	p.until("last() === "+strconv.Quote(afterColon(want[len(want)-1]))+" && said().length === "+strconv.Itoa(len(want)), "seen()")
	if diff := cmp.Diff(want, eval[[]string](p, "seen()")); diff != "" {
		p.t.Errorf("the widget shows (-want +got):\n%s", diff)
	}
}

func afterColon(s string) string {
	_, text, _ := strings.Cut(s, ": ")
	return text
}

// TestDeepChat drives the real widget in Chromium.
func TestDeepChat(t *testing.T) {
	d := newDeepChats(t)

	t.Run("a conversation", func(t *testing.T) {
		odd := []string{"Grüße", ", 👋🏽 ", "naïve ", "a < b && c", " 漢字"}
		d.answer("odd", mistralsim.Answer{Tokens: odd})
		p := d.open(t, "/ws")
		p.say("odd")
		p.wantSeen("user: odd", "ai: "+strings.Join(odd, ""))
		p.say("two")
		p.wantSeen("user: odd", "ai: "+strings.Join(odd, ""), "user: two", "ai: You said: two")
	})

	t.Run("a text that holds the end phrase", func(t *testing.T) {
		p := d.open(t, "/ws")
		var seen []string
		for _, tokens := range [][]string{
			{"in the ", "[DONE]", " middle"},
			{"at the end ", "[DONE]"},
			{"[DONE]"},
			{"[DONE]", "[DONE]"},
			{"[DO", "NE]"},
		} {
			for at := range len(tokens) {
				question, whole := fmt.Sprintf("%q held at %d", tokens, at), strings.Join(tokens, "")
				a, g := held(at, tokens...)
				d.answer(question, a)
				p.say(question)
				g.wait(t)
				// The phrase waits for more where it came as a delta of its own.
				before := strings.Join(tokens[:at], "")
				if kept := strings.TrimSuffix(before, "[DONE]"); kept != "" {
					p.until("["+strconv.Quote(before)+", "+strconv.Quote(kept)+"].includes(last())", "seen()")
				}
				g.open()
				seen = append(seen, "user: "+question, "ai: "+whole)
				p.wantSeen(seen...)
			}
		}
	})

	t.Run("a failure is an error, and the next message works", func(t *testing.T) {
		d.answer("fail", mistralsim.Unauthorized())
		p := d.open(t, "/ws")
		p.say("fail")
		p.until("errors().length === 1", "seen()")
		p.say("go on")
		p.until("last() === 'You said: go on'", "seen()")
	})

	t.Run("a reply that breaks keeps its text", func(t *testing.T) {
		a := mistralsim.Answer{Tokens: []string{"begun ", "lost"}, EventAfter: 1, Event: mistralsim.ErrorEvent("no", "server_error", "1000")}
		d.answer("break", a)
		p := d.open(t, "/ws")
		p.say("break")
		p.until("errors().length === 1", "seen()")
		if got := eval[[]string](p, "said()"); len(got) < 2 || got[1] != "ai: begun " {
			t.Errorf("the widget shows %q", got)
		}
	})

	t.Run("what others do in the conversation is no error", func(t *testing.T) {
		id := d.newSession()
		p := d.open(t, "/ws/"+id)
		d.do("POST", "/chat", chatBody(id, "from elsewhere")).want(200)
		p.until("last() === 'You said: from elsewhere'", "seen()")
		a, g := held(1, "begun ", "never")
		d.answer("stop", a)
		p.say("stop")
		g.wait(t)
		p.until("last() === 'begun '", "seen()")
		d.do("POST", "/sessions/"+id+"/stop", "").want(200)
		p.say("after")
		p.wantSeen("ai: You said: from elsewhere", "user: stop", "ai: begun ", "user: after", "ai: You said: after")
	})

	t.Run("the connection breaks: it comes back and goes on", func(t *testing.T) {
		id := d.newSession()
		p := d.open(t, "/ws/"+id)
		p.say("before")
		p.wantSeen("user: before", "ai: You said: before")
		before := eval[int](p, "sockets")
		d.line.cut()
		p.until(fmt.Sprintf("sockets > %d && open === 1", before), "seen()")
		p.say("behind")
		p.wantSeen("user: before", "ai: You said: before", "user: behind", "ai: You said: behind")
	})

	t.Run("a second page is refused, the first goes on", func(t *testing.T) {
		path := "/ws/" + d.newSession()
		first := d.open(t, path)
		second := d.open(t, path)
		if n := eval[int](second, "open"); n != 0 {
			t.Errorf("the second page has %d connections", n)
		}
		second.until("errors().length === 1", "seen()")
		first.say("mine")
		first.wantSeen("user: mine", "ai: You said: mine")
	})
}
