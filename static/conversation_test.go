package static_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// openPage shows the demo page and answers its connection.
func openPage(t *testing.T) (*fakeHub, *tab, *fakeConn) {
	t.Helper()
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	return h, p, c
}

// ask says something, acknowledges it and opens the reply.
func ask(p *tab, c *fakeConn, text, after string) (string, *reply) {
	p.T.Helper()
	p.Say(text)
	m := c.expect("message")
	if m["content"] != text {
		p.T.Fatalf("got %q, want %q", m["content"], text)
	}
	c.send(ack(m, after))
	id := m["id"].(string)
	return id, c.reply(id)
}

func TestConversation(t *testing.T) {
	_, p, c := openPage(t)
	if c.conversation == "" || c.query.Get("client") == "" || c.query.Has("again") || c.query.Has("after") {
		t.Errorf("first connection with %v", c.query)
	}
	if got := strings.Join(c.protocols, ","); got != "chathub.v1" {
		t.Errorf("subprotocols %q", got)
	}
	p.MustContain("Hello! What is on your mind?")
	p.Do("window.heard = []; for (const e of ['message', 'state']) w.addEventListener('chat-' + e, (e) => heard.push(e.detail.state ?? e.detail.role + ': ' + e.detail.content))")

	_, r := ask(p, c, "Hello", "")
	p.MustContain("Thinking")
	p.Until("$('.dots').checkVisibility()")
	r.delta("Hi **there")
	p.Until("$('.assistant strong').textContent === 'there' && w.state === 'writing'")
	p.Until("!$('.dots').checkVisibility()")
	r.delta("**, friend.")
	r.finish("stop")
	p.Until("w.state === 'ready'")
	if got, want := p.Html(), "<p>Hi <strong>there</strong>, friend.</p>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := "waiting|user: Hello|writing|assistant: Hi **there**, friend.|ready"
	if got := eval[string](p, "heard.join('|')"); got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if !eval[bool](p, "r.activeElement === $('.input') && $('.input').value === ''") {
		t.Error("the composer is not empty and focused")
	}
}

func TestEnterAndShiftEnter(t *testing.T) {
	_, p, c := openPage(t)
	p.Do("$('.input').focus()")
	p.Key("Enter", "\r", 0) // nothing to send
	const shift = 8
	p.Do("$('.input').value = 'one'; $('.input').dispatchEvent(new Event('input'))")
	low := eval[int](p, "$('.input').clientHeight")
	p.Key("Enter", "\r", shift)
	p.Until("$('.input').value.includes('\\n')")
	if high := eval[int](p, "$('.input').clientHeight"); high <= low {
		t.Errorf("two lines are %d px high, one %d", high, low)
	}
	p.Do("$('.input').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))") // an IME's choice
	p.Do("$('.input').value += 'two'")
	p.Key("Enter", "\r", 0)
	if m := c.expect("message"); strings.TrimSpace(m["content"].(string)) != m["content"] || !strings.Contains(m["content"].(string), "\n") {
		t.Errorf("sent %q", m["content"])
	}
	p.Until("$('.input').clientHeight <= " + strconv.Itoa(low))
}

func TestStop(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	p.Until("w.hub.running")
	p.Click(".send") // before the first token
	if f := c.expect("stop"); f["id"] != r.id {
		t.Errorf("stop names %v, want the reply %s", f["id"], r.id)
	}
	r.abort()
	c.send(frame{"type": "stopped", "outcome": "stopped"})
	p.MustContain("Stopped")
	p.Until("w.state === 'ready'")

	_, r = ask(p, c, "Again", r.id)
	r.delta("Some")
	p.Until("w.state === 'writing'")
	p.Say("typed meanwhile") // stays in the box
	p.Click(".send")
	c.expect("stop")
	r.abort()
	p.Until("w.state === 'ready' && $('.input').value === 'typed meanwhile'")
}

func TestRegenerateReplaces(t *testing.T) {
	_, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("first answer")
	r.finish("stop")
	p.Click(".regenerate")
	if f := c.expect("regenerate"); f["of"] != r.id {
		t.Errorf("of %v, want %s", f["of"], r.id)
	}
	c.reply(m).delta("second answer").finish("length")
	p.MustContain("second answer")
	p.MustContain("Cut off")
	if got := p.Text(); strings.Contains(got, "first answer") {
		t.Errorf("the replaced answer is still there: %s", got)
	}
}

func TestFailedReplyIsTriedAgain(t *testing.T) {
	_, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Half an ans")
	r.fail("upstream_timeout", "The model took too long.")
	p.MustContain("The model took too long.")
	p.MustContain("Half an ans")
	p.Click(".note .regenerate")
	c.expect("regenerate")
	c.reply(m).delta("whole").finish("stop")
	p.Until("!$('.failed') && $('.assistant .body').textContent === 'whole'")
}

// A message that the hub refuses goes back into the box, with the reason.
func TestRefusedMessage(t *testing.T) {
	_, p, c := openPage(t)
	p.Say("too soon")
	m := c.expect("message")
	c.send(frame{"type": "error", "code": "rate_limited", "errorText": "Too many messages.", "ref": m["id"], "retry_after": 3})
	p.MustContain("Too many messages.")
	p.Until("$('.input').value === 'too soon' && w.state === 'ready' && !$('.user')")
	// An error that belongs to nothing is only said.
	c.send(frame{"type": "error", "code": "invalid_request", "errorText": "What was that?"})
	p.MustContain("What was that?")
	p.Until("$('.input').value === 'too soon'")
}

func TestNewChat(t *testing.T) {
	h, p, c := openPage(t)
	first := c.conversation
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	p.Click(".new")
	if code := <-c.code; code != 1005 && code != 1000 {
		t.Errorf("left with %d", code)
	}
	c = h.next()
	c.ready()
	if c.conversation == first || c.query.Has("after") {
		t.Errorf("conversation %s, query %v", c.conversation, c.query)
	}
	p.Until("!$('.msg') && $('.greeting').checkVisibility() && w.state === 'ready'")
	p.Open(h.URL + "/") // nothing was said yet: nothing is kept
	if again := h.next(); again.query.Has("after") || again.conversation == first {
		t.Error("a new chat that nothing was said in is kept")
	}
}

func TestCopy(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("Do **this**:\n```sh\nls -l\n```").finish("stop")
	p.Until("w.state === 'ready'")
	p.Do("window.copied = []; navigator.clipboard.writeText = async (s) => { copied.push(s) }")
	p.Click("figure .copy")
	p.Click(".tools .copy")
	p.Until("copied.length === 2")
	if got := eval[string](p, "copied.join('|')"); got != "ls -l|Do **this**:\n```sh\nls -l\n```" {
		t.Errorf("copied %q", got)
	}
	p.Until("$('.tools .copy').textContent === '✓'")
	p.Until("$('.tools .copy svg') && $('figure .copy').textContent === 'Copy'")
}

// The log is not a live region of its own: it would read every token. What is
// announced is that an answer comes, and then the answer, whole.
func TestAnnouncements(t *testing.T) {
	_, p, c := openPage(t)
	p.Do(`window.said = []; new MutationObserver(() => said.push($('[aria-live=polite]').textContent)).observe($('[aria-live=polite]'), { childList: true })`)
	if !eval[bool](p, "$('[role=log]').ariaLive === 'off' && $('.notice').role === 'status'") {
		t.Error("roles")
	}
	_, r := ask(p, c, "Hello", "")
	r.delta("One", " two", " three", " four").finish("stop")
	p.Until("w.state === 'ready' && said.length > 1")
	if got := eval[string](p, "said.join('|').replace(/\\s+/g, ' ')"); got != "Thinking…|Assistant: One two three four" {
		t.Errorf("announced %q", got)
	}
}

// Reading back is not disturbed by what is written below.
func TestScrolling(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta(strings.Repeat("line\n\n", 100))
	const bottom = "$('.log').scrollHeight - $('.log').scrollTop - $('.log').clientHeight"
	p.Until("w.state === 'writing' && $('.assistant').clientHeight > 1000 && " + bottom + " < 8")
	p.Do("$('.log').scrollTop = 100")
	p.Until("$('.jump').checkVisibility()")
	r.delta(strings.Repeat("more\n\n", 10))
	p.Until("$('.assistant').textContent.includes('more')")
	if got := eval[int](p, "$('.log').scrollTop"); got != 100 {
		t.Errorf("scrolled to %d while reading at 100", got)
	}
	p.Click(".jump")
	p.Until(bottom + " < 8 && !$('.jump').checkVisibility()")
	r.delta(strings.Repeat("last\n\n", 10)).finish("stop")
	p.Until("w.state === 'ready' && " + bottom + " < 8")
}

// Who scrolls up in the very frame that brings text, before the browser has
// told of the widget's own scrolling, is not pulled down again.
func TestScrollingUpAsTextArrives(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	p.Do(`new MutationObserver((_, observer) => {
			if ($('.log').scrollTop < 1000) return;
			observer.disconnect();
			$('.log').scrollTop = 100;
		}).observe($('.list'), { childList: true, subtree: true, characterData: true });`)
	r.delta(strings.Repeat("line\n\n", 100))
	p.Until("$('.jump').checkVisibility()")
	r.delta(strings.Repeat("more\n\n", 10)).finish("stop")
	p.Until("w.state === 'ready'")
	if got := eval[int](p, "$('.log').scrollTop"); got != 100 {
		t.Errorf("scrolled to %d while reading at 100", got)
	}
}

func TestHistory(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	c := h.next()
	c.ready(
		user(uuid.NewString(), "<b>one</b>\n  two"), assistant(uuid.NewString(), "answer", "stop"),
		user(uuid.NewString(), "three"), assistant(uuid.NewString(), "", "error"),
	)
	p.MustContain("Something went wrong.")
	if got := eval[string](p, "$('.user .body').textContent"); got != "<b>one</b>\n  two" {
		t.Errorf("shown %q", got)
	}
	if n := eval[int](p, "$$('.regenerate').filter((b) => b.checkVisibility()).length"); n != 1 {
		t.Errorf("%d ways to answer again, want the one beside the error", n)
	}
}
