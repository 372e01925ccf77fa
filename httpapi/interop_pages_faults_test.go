package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// counted is an address whose limits count; see realPages.as.
const counted = "192.0.2.7"

// as has all that comes from now on come from an address; "": from nobody in particular.
func (p *realPages) as(address string) { p.address.Store(&address) }

// forwarded is a handler behind a proxy that names that address.
func (p *realPages) forwarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := p.address.Load(); a != nil && *a != "" {
			r.Header.Set("X-Forwarded-For", *a)
		}
		h.ServeHTTP(w, r)
	})
}

// oneReply is the limit that a page meets when another conversation's reply runs.
var oneReply = withLimits(hub.Limits{RepliesPerClient: 1})

// refuses has the next send fail so, until end is called; "413" is up to what is said.
func (p *realPages) refuses(t *testing.T, fault string) (end func()) {
	switch fault {
	case "429":
		a, g := held(0, "busy")
		p.answer("busy", a)
		busy := p.follow("POST", "/chat", `{"message":"busy"}`)
		g.wait(t)
		return func() { g.open(); busy.rest() }
	case "offline":
		p.line.refuse()
		return func() { p.line.accept(t) }
	}
	return func() {}
}

// edit replaces the text of a message in the list, cuts what is behind it, and sends.
func edit(i int, text, send string) string {
	return fmt.Sprintf("(chat.setMessages([...chat.messages.slice(0, %d), {...chat.messages.at(%[1]d), parts: [{type: 'text', text: %q}]}]), %s)", i, text, send)
}

// testRetries: a send that failed is sent again, in every way in which a page does that.
func testRetries(t *testing.T, p *realPages, how string) {
	faults := []string{"429", "413", "offline"}
	if how != "" { // over the WebSocket what is said offline waits; see below
		faults = faults[:2]
	}
	// A failed send leaves the message in the list; each of these makes it good.
	for _, way := range []struct {
		name, js string
		same     bool // text as before, which would be too long once more
	}{
		{"regenerate", "chat.regenerate()", true},
		{"sendMessage with nothing", "chat.sendMessage()", true},
		{"edit by messageId", "chat.sendMessage({text: 'again', messageId: chat.messages.at(-1).id})", false},
		{"edit of the list", edit(-1, "again", "chat.regenerate()"), false},
		{"the list cut", "(chat.setMessages(chat.messages.slice(0, -1)), chat.sendMessage({text: 'again'}))", false},
	} {
		for i := range faults { // each of them meets the first message once
			order := append(slices.Clone(faults[i:]), faults[:i]...)
			if way.same {
				order = slices.DeleteFunc(order, func(s string) bool { return s == "413" })
				if i == 1 {
					continue
				}
				order = append(order, order[0])
			}
			t.Run(way.name+": "+strings.Join(order, ", "), func(t *testing.T) {
				p.as(counted)
				defer p.as("")
				c := p.open(t, newID(), how)
				var want []string
				for _, fault := range order {
					said := "failed " + fault
					if fault == "413" {
						said = strings.Repeat("too long ", 20)
					}
					end := p.refuses(t, fault)
					c.send(said)
					c.until("state() === 'error'", "[state(), ...seen()]")
					end()
					c.run(way.js)
					if !way.same {
						said = "again"
					}
					want = append(want, "user: "+said, "=")
					c.same(want...)
				}
			})
		}
	}
	if how != "" {
		t.Run("offline: what was said goes out by itself, once", func(t *testing.T) {
			c := p.open(t, newID(), how)
			c.send("before")
			c.same("user: before", "=")
			p.line.refuse()
			c.send("offline")
			c.until("state() === 'submitted'", "[state(), ...seen()]")
			p.line.accept(t)
			c.same("user: before", "=", "user: offline", "=")
		})
	}

	for name, js := range map[string]func(i int, text string) string{
		"by messageId": func(i int, text string) string {
			return fmt.Sprintf("chat.sendMessage({text: %q, messageId: chat.messages[%d].id})", text, i)
		},
		"by cutting": func(i int, text string) string {
			return fmt.Sprintf("(chat.setMessages(chat.messages.slice(0, %d)), chat.sendMessage({text: %q}))", i, text)
		},
		"by replacement": func(i int, text string) string { return edit(i, text, "chat.regenerate()") },
	} {
		t.Run("edits of the last, the middle, the first message "+name, func(t *testing.T) {
			c := p.open(t, newID(), how)
			var said []string
			for _, text := range []string{"one", "two", "three"} {
				said = append(said, "user: "+text, "=")
				c.send(text)
				c.same(slices.Clone(said)...)
			}
			for _, i := range []int{4, 2, 0} {
				text := fmt.Sprintf("new %d", i)
				c.run(js(i, text))
				c.same(append(slices.Clone(said[:i]), "user: "+text, "=")...)
			}
		})
	}

	t.Run("sendMessage with nothing", func(t *testing.T) {
		c := p.open(t, newID(), how)
		c.send("one")
		c.same("user: one", "=")
		asked := p.asked()
		c.run("chat.sendMessage()") // the list ends with the reply: there is nothing to say
		c.same("user: one", "=")
		if p.asked() != asked {
			t.Error("the model was asked")
		}
		c.run("(chat.setMessages(chat.messages.slice(0, 1)), chat.sendMessage())")
		c.same("user: one", "=")
		if p.asked() != asked {
			t.Error("the model was asked for a reply that is there")
		}
	})

	if how == "" {
		t.Run("the last two messages alone are sent", func(t *testing.T) {
			c := p.open(t, newID(), "body=two")
			c.send("one")
			c.same("user: one", "=")
			c.send("two")
			c.same("user: one", "=", "user: two", "=")
			c.send("three")
			c.same("user: one", "=", "user: two", "=", "user: three", "=")
			c.run("chat.regenerate()")
			c.same("user: one", "=", "user: two", "=", "user: three", "=")
			c.run("chat.sendMessage({text: 'TWO', messageId: chat.messages[2].id})")
			c.same("user: one", "=", "user: TWO", "=")
		})
		t.Run("the last message alone is sent", func(t *testing.T) {
			c := p.open(t, newID(), "body=alone")
			c.send("one")
			c.same("user: one", "=")
			c.send("two")
			c.same("user: one", "=", "user: two", "=")
			p.line.refuse()
			c.send("three")
			c.until("state() === 'error'", "[state(), ...seen()]")
			p.line.accept(t)
			c.run("chat.regenerate()")
			c.same("user: one", "=", "user: two", "=", "user: three", "=")
		})
	}
}

// testLine: what the network does in the middle of a reply, beyond a cut.
func testLine(t *testing.T, p *realPages, how string) {
	for _, fault := range []string{"held", "refused"} {
		t.Run("the line is "+fault+" in mid-reply", func(t *testing.T) {
			c := p.open(t, newID(), how)
			a, g := held(1, "half ", "and whole")
			p.answer("line", a)
			c.send("line")
			c.until("seen().includes('assistant: half ')", "seen()")
			end := p.line.release
			if fault == "held" {
				p.line.hold()
			} else {
				p.line.refuse()
				end = func() { p.line.accept(t) }
				if how == "" {
					c.until("state() === 'error'", "[state(), ...seen()]")
				}
			}
			g.open()
			eventually(t, "the hub has the reply", func() bool {
				m := p.session(c.id).Messages
				return len(m) == 2 && m[1].Content == "half and whole"
			})
			if got, want := eval[[]string](c.tab, "seen()"), []string{"user: line", "assistant: half "}; !cmp.Equal(got, want) {
				t.Errorf("the page shows %q", got)
			}
			end()
			if fault == "refused" && how == "" {
				c.run("chat.sendMessage()")
			}
			c.same("user: line", "assistant: half and whole")
			c.send("and on")
			c.same("user: line", "assistant: half and whole", "user: and on", "=")
		})
	}

	t.Run("the line is held when a message is sent", func(t *testing.T) {
		c := p.open(t, newID(), how)
		c.send("one")
		c.same("user: one", "=")
		p.line.hold()
		c.send("two")
		c.until("state() === 'submitted'", "[state(), ...seen()]")
		if n := len(p.session(c.id).Messages); n != 2 {
			t.Errorf("the hub has %d messages", n)
		}
		p.line.release()
		c.same("user: one", "=", "user: two", "=")
	})
}

// sameThoughts waits until the page shows these parts of what the model thought, and
// the hub has them. A reply that came whole after a cut has them in fewer parts.
func (p *realPage) sameThoughts(want ...string) {
	p.t.Helper()
	all := strings.Join(want, "\n\n")
	p.until("thoughts().join('\\n\\n') === "+strconv.Quote(all), "[...thoughts(), ...seen()]")
	m := p.rig.session(p.id).Messages
	if got := m[len(m)-1].Reasoning; got != all {
		p.t.Errorf("the hub has %q", got)
	}
}

// testReasoning: a page shows what the model thinks while it does, and after each
// way to come back to it, and none of it as text.
func testReasoning(t *testing.T, p *realPages, how string) {
	const text = "yes 👋."
	whole := []string{"hé", "hm\n"}
	// ask has a page ask, and returns when the model has thought before its token at.
	ask := func(t *testing.T, c *realPage, at int) *gate {
		a, g := held(at, "yes", " 👋", ".")
		a.Thoughts, a.Between = thinking().Thoughts, thinking().Between
		p.answer("think", a)
		c.send("think")
		g.wait(t)
		return g
	}
	before := map[int]string{0: `["hé"]`, 1: `["hé"]`, 2: `["hé","hm\n"]`}
	shows := func(c *realPage, at int) {
		t.Helper()
		said := strconv.Quote("assistant: " + map[int]string{0: "", 1: "yes", 2: "yes 👋"}[at])
		c.until("JSON.stringify(thoughts()) === JSON.stringify("+before[at]+") && seen().at(-1) === "+said, "[...thoughts(), ...seen()]")
	}
	for at := range 3 {
		t.Run(fmt.Sprintf("whole, held before token %d", at), func(t *testing.T) {
			c := p.open(t, newID(), how)
			g := ask(t, c, at)
			shows(c, at)
			g.open()
			c.same("user: think", "assistant: "+text)
			c.sameThoughts(whole...)
			c.until("!document.querySelector('[data-thought=streaming]')", "document.body.innerHTML")
		})
		t.Run(fmt.Sprintf("a reload before token %d", at), func(t *testing.T) {
			id := newID()
			g := ask(t, p.open(t, id, how), at)
			c := p.open(t, id, how+"&resume")
			shows(c, at)
			g.open()
			c.same("user: think", "assistant: "+text)
			c.sameThoughts(whole...)
		})
		t.Run(fmt.Sprintf("the line is cut before token %d", at), func(t *testing.T) {
			c := p.open(t, newID(), how)
			g := ask(t, c, at)
			shows(c, at)
			p.line.cut()
			if how == "" {
				c.until("state() === 'error'", "seen()")
				c.run("chat.sendMessage()")
			}
			g.open() // over the WebSocket the reply may have ended before the page is back
			c.same("user: think", "assistant: "+text)
			c.sameThoughts(whole...)
		})
	}
}

// testTwoTabs: two tabs of one conversation over /transport.js.
func testTwoTabs(t *testing.T, p *realPages) {
	id := newID()
	watches := func(c *realPage, want bool) {
		t.Helper()
		c.until(fmt.Sprintf("[...transport.lines.values()].every((l) => l.state === 'ready' && !!l.watching === %v)", want), "[...transport.lines.values()].map((l) => [l.state, l.watching])")
	}
	first := p.open(t, id, "socket")
	a, g := held(1, "begun ", "and ended")
	p.answer("tabs", a)
	first.send("tabs")
	first.until("seen().includes('assistant: begun ')", "seen()")
	second := p.open(t, id, "socket&resume")
	second.until("seen().includes('assistant: begun ')", "seen()")
	watches(first, true) // a person opened the second
	watches(second, false)
	// Connections that break by themselves take nothing over.
	before := p.line.cuts()
	p.line.cut()
	eventually(t, "connections broke", func() bool { return p.line.cuts() > before })
	for _, c := range []*realPage{first, second} {
		c.until("[...transport.lines.values()].every((l) => l.state === 'ready')", "[...transport.lines.values()].map((l) => l.state)")
	}
	g.open()
	for _, c := range []*realPage{first, second} {
		c.same("user: tabs", "assistant: begun and ended")
	}
	watches(first, true)
	watches(second, false)
	// What is said in the tab that watches takes the conversation there.
	a, g = held(1, "more ", "of it")
	p.answer("back", a)
	first.send("back")
	first.until("seen().includes('assistant: more ')", "seen()")
	watches(first, false)
	watches(second, true)
	second.run("chat.resumeStream()")
	second.until("seen().at(-1).endsWith('more ')", "seen()") // assistant-ui shows neighbours as one
	g.open()
	first.same("user: tabs", "assistant: begun and ended", "user: back", "assistant: more of it")
	second.rest()
	watches(first, false)
	watches(second, true)
}

// newRestarted is the program itself on a directory, behind a line. restart kills it, and
// starts it again on what it has kept.
func newRestarted(t *testing.T, env ...string) (r *rig, l *line, restart func()) {
	r = &rig{t: t, patience: rigPatience, client: http.DefaultClient, log: &syncBuffer{}, answers: make(map[string]mistralsim.Answer)}
	r.sim = mistralsim.New(mistralsim.Config{Answer: r.reply})
	upstream, stop := tcp{}.serve(r.sim)
	t.Cleanup(stop)
	program := buildProgram(t)
	env = append(env, "PORT=0", "HOST=127.0.0.1", "DATA_DIR="+t.TempDir(), "MISTRAL_API_KEY=none", "MISTRAL_BASE_URL="+upstream, "MESSAGES_PER_MINUTE=0")
	addr, kill := runProgram(t, program, env)
	l = newLine(t, "http://"+addr)
	r.url = l.url
	return r, l, func() {
		kill()
		addr, kill = runProgram(t, program, env)
		l.lead(addr)
	}
}

// TestRealPagesKilled: the program is killed in mid-reply and started again on what it
// has kept. A page over the WebSocket does not notice; over HTTP it asks once more.
func TestRealPagesKilled(t *testing.T) {
	p := builtPages(t)
	var restart func()
	p.rig, p.line, restart = newRestarted(t, "ALLOWED_ORIGINS="+p.pages.URL)
	for _, way := range []struct{ page, how string }{{"chat", ""}, {"chat", "socket"}, {"assistant", ""}, {"assistant", "socket"}} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s, reload %v", way.page, way.how, reload), func(t *testing.T) {
				how := way.how
				p.page = way.page
				c := p.open(t, newID(), how)
				c.send("before")
				c.same("user: before", "=")
				a, g := held(2, "half ", "of it ", "and whole")
				p.answer("killed", a)
				c.send("killed")
				c.until("seen().includes('assistant: half of it ')", "seen()")
				restart()
				switch {
				case reload:
					c = p.open(t, c.id, how+"&resume")
				case how == "":
					c.until("state() === 'error'", "seen()")
					c.run("chat.sendMessage()")
				}
				c.until("seen().includes('assistant: half of it ')", "seen()")
				g.open()
				c.same("user: before", "=", "user: killed", "assistant: half of it and whole")
				c.send("on")
				c.same("user: before", "=", "user: killed", "assistant: half of it and whole", "user: on", "=")
			})
		}
	}
}

// TestSDKRegenerateBehindReply: a list that ends with U's reply, and asks for another,
// gets it beside that one.
func TestSDKRegenerateBehindReply(t *testing.T) {
	r := newRig(t)
	id, user := newID(), newID()
	body := func(list, trigger string) string {
		return fmt.Sprintf(`{"id":%q,"trigger":%q,"messages":[{"id":%q,"role":"user","parts":[{"type":"text","text":"one"}]}%s]}`, id, trigger, user, list)
	}
	first := r.follow("POST", "/api/chat", body("", "submit-message"))
	first.rest()
	shown := fmt.Sprintf(`,{"id":%q,"role":"assistant","parts":[{"type":"text","text":"You said: one"}]}`, first.id)
	r.answer("one", mistralsim.Answer{Text: "another"})
	second := r.follow("POST", "/api/chat", body(shown, "regenerate-message"))
	second.rest()
	if second.id == first.id || second.text != "another" {
		t.Errorf("the reply %s is %q, the first was %s", second.id, second.text, first.id)
	}
	r.wantSaid(id, "one", "another")
	// The one before is still there, to go back to.
	if s := r.follow("POST", "/api/chat", body(shown, "submit-message")); len(s.rest()) == 0 || s.id != first.id {
		t.Errorf("the reply is %s, want %s", s.id, first.id)
	}
	r.wantSaid(id, "one", "You said: one")
}

// TestSDKUnknownAnswers: an answer that the hub does not know is the page's own notice
// where it stands at the tip or before any question, and elsewhere the page shows
// another conversation than the hub has.
func TestSDKUnknownAnswers(t *testing.T) {
	m := func(role, id, text string) string {
		return fmt.Sprintf(`{"id":%q,"role":%q,"parts":[{"type":"text","text":%q}]}`, id, role, text)
	}
	for name, c := range map[string]struct {
		list   string // of u1 a1 u2 a2, the unknown x, and u3, which is new
		status int
		want   string
	}{
		"behind the tip":             {"u1 a1 u2 a2 x u3", 200, "u1 a1 u2 a2 u3"},
		"behind an older message":    {"u1 a1 x u3", 409, "u1 a1 u2 a2"},
		"before any question":        {"x u3", 200, "u3"},
		"behind an unknown question": {"v x u3", 409, "u1 a1 u2 a2"},
		"none, an unknown question":  {"u1 a1 v u3", 200, "u1 a1 u3"},
		"last":                       {"u1 a1 u2 x", 409, "u1 a1 u2 a2"},
		"last, to another question":  {"u1 a1 u2 a1", 409, "u1 a1 u2 a2"},
		"last, and an edit before":   {"u1 a1 e2 a2", 409, "u1 a1 u2 a2"},
		"last, to a new message":     {"u1 a1 u3 a2", 409, "u1 a1 u2 a2"},
		"an edit behind a hole":      {"u1 e2", 200, "u1 a1 e2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id, names := newID(), map[string]string{"v": m("user", newID(), "v"), "x": m("assistant", newID(), "x"), "u3": m("user", newID(), "u3")}
			post := func(list string) int {
				var messages []string
				for _, name := range strings.Fields(list) {
					messages = append(messages, names[name])
				}
				resp, _ := r.send("POST", "/api/chat", fmt.Sprintf(`{"id":%q,"messages":[%s]}`, id, strings.Join(messages, ",")))
				defer resp.Body.Close()
				if resp.StatusCode == 200 {
					newStream(t, resp.Request, resp).rest()
				}
				return resp.StatusCode
			}
			u1, u2 := newID(), newID()
			names["u1"], names["u2"], names["e2"] = m("user", u1, "u1"), m("user", u2, "u2"), m("user", u2, "e2")
			if got := post("v x u3"); got != 404 {
				t.Errorf("without a session: %d", got)
			}
			post("u1")
			names["a1"] = m("assistant", r.session(id).Messages[1].ID, "You said: u1")
			post("u1 a1 u2")
			names["a2"] = m("assistant", r.session(id).Messages[3].ID, "You said: u2")
			if got := post(c.list); got != c.status {
				t.Errorf("%d, want %d", got, c.status)
			}
			var has []string
			for _, m := range r.session(id).Messages {
				if said, reply := strings.CutPrefix(m.Content, "You said: "); reply {
					if said != "u3" && said != "e2" {
						has = append(has, strings.Replace(said, "u", "a", 1))
					}
					continue
				}
				has = append(has, m.Content)
			}
			if got := strings.Join(has, " "); got != c.want {
				t.Errorf("the hub has %s, want %s", got, c.want)
			}
		})
	}
}
