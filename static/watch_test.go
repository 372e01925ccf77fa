package static_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
)

// watched reads that the browser's next connection watches, and greets it with
// what is there behind after ("": all of it).
func (h *fakeHub) watched(after, running string, messages ...frame) *fakeConn {
	h.t.Helper()
	c := h.next()
	if c.query.Get("watch") != "1" {
		h.t.Fatalf("it connects with %v, want to watch", c.query)
	}
	f := frame{"type": "ready", "conversation_id": c.conversation, "created_at": "2026-01-01T00:00:00Z", "model": "m", "watching": true, "messages": append([]frame{}, messages...)}
	if after != "" {
		f["after"] = after
	}
	if running != "" {
		f["running"] = running
	}
	c.send(f)
	return c
}

// takes reads that a person had the browser take the conversation.
func (h *fakeHub) takes() *fakeConn {
	h.t.Helper()
	c := h.next()
	if c.query.Has("watch") || c.query.Has("again") {
		h.t.Fatalf("it connects with %v, want to take the conversation", c.query)
	}
	return c
}

// Who is taken over from goes on watching, and asks nothing.
func TestWatching(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Hi ")
	p.Until("w.state === 'writing'")
	c.close(4001)
	c = h.watched(r.id, r.id)
	if c.query.Get("after") != r.id || c.query.Get("offset") != "3" {
		t.Errorf("it resumes with %v", c.query)
	}
	r.start(c, m, 3)
	r.delta("there").finish("stop")
	p.Until("w.state === 'ready' && !$('.notice').textContent && $('.assistant .body').textContent === 'Hi there' && $('.presence').textContent === 'Online'")

	// What is said elsewhere comes, and a network that breaks is no reason to take anything.
	other := uuid.NewString()
	c.send(ack(user(other, "from elsewhere"), r.id))
	r2 := c.reply(other)
	r2.delta("Yes")
	p.Until("w.state === 'writing' && $$('.msg').length === 4")
	c.cut()
	c = h.watched(r2.id, r2.id)
	r2.start(c, other, 3)
	r2.delta("!").finish("stop")
	p.Until("w.state === 'ready'")
	h.none(300 * time.Millisecond)
	p.Run(chromedp.Reload()) // a person's
	h.takes().ready(user(m, "Hello"), assistant(r.id, "Hi there", "stop"))
	p.Until("w.state === 'ready' && !w.hub.watching")
}

// What a watcher's user sends waits for the end of the reply, and then takes the
// conversation.
func TestWatcherSends(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Hi")
	p.Until("w.state === 'writing'")
	c.close(4001)
	c = h.watched(r.id, r.id)
	r.start(c, m, 2)
	p.Until("$('.send').title === 'Stop'")
	p.Do("$('.input').focus()")
	p.Run(chromedp.KeyEvent("More"))
	p.Until("$('.send').title === 'Send' && !$('.send').disabled")
	p.Click(".send")
	p.Until("$('.input').value === '' && $$('.user').at(-1).innerText.includes('Sending…') && $('.send').title === 'Stop'")
	h.none(300 * time.Millisecond)
	r.delta(" there").finish("stop")
	c = h.takes()
	c.readyAfter(r.id, "")
	said := c.expect("message")
	if said["content"] != "More" {
		t.Errorf("said %v", said)
	}
	c.send(ack(said, r.id))
	r2 := c.reply(said["id"].(string))
	r2.delta("Of what?").finish("stop")
	p.Until("w.state === 'ready' && $$('.msg').length === 4 && !w.hub.unsent.length")

	// Between what another says and its reply, too.
	c.close(4001)
	c = h.watched(r2.id, "")
	p.Until("w.hub.state === 'ready'")
	other := uuid.NewString()
	c.send(ack(user(other, "from elsewhere"), r2.id))
	p.Until("$$('.msg').length === 5")
	p.Do("w.send('me, too')")
	h.none(300 * time.Millisecond)
	r3 := c.reply(other)
	r3.fail("upstream_error", "It failed.")
	c = h.takes()
	c.readyAfter(r3.id, "")
	c.send(ack(c.expect("message"), r3.id))
	p.Until("!w.hub.unsent.length")
}

// What a person stops or wants answered again is not refused to a watcher.
func TestWatcherStops(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Hi")
	c.close(4001)
	c = h.watched(r.id, r.id)
	r.start(c, m, 2)
	p.Until("w.state === 'writing'")
	p.Click(".send")
	c = h.takes()
	c.readyAfter(r.id, r.id)
	r.start(c, m, 2)
	if f := c.expect("stop"); f["id"] != r.id {
		t.Errorf("stops %v", f)
	}
	r.abort()
	c.send(frame{"type": "stopped", "outcome": "stopped"})
	p.Until("w.state === 'ready'")
	c.close(4001)
	h.watched(r.id, "")
	p.Until("w.hub.state === 'ready'")
	p.Click(".tools .regenerate")
	c = h.takes()
	c.readyAfter(r.id, "")
	if f := c.expect("regenerate"); f["of"] != r.id {
		t.Errorf("regenerates %v", f)
	}
	// Taken from once more before it is answered, it asks for nothing by itself.
	c.close(4001)
	c = h.watched(r.id, "")
	h.none(300 * time.Millisecond)
	select {
	case f := <-c.frames:
		t.Errorf("a watcher sends %v", f)
	default:
	}
}

// What was on its way when another took the conversation goes back to where it
// was written, unless the hub has it; nothing is sent by itself.
func TestTakenBeforeAcknowledged(t *testing.T) {
	h, p, c := openPage(t)
	p.Say("Hello")
	id := c.expect("message")["id"].(string)
	c.close(4001)
	c = h.watched("", "")
	p.Until("$('.input').value === 'Hello' && !$('.msg') && $('.notice').textContent === 'Not sent: the chat went on elsewhere.'")
	h.none(300 * time.Millisecond)
	// It had arrived after all.
	c.send(ack(user(id, "Hello"), ""))
	p.Until("$('.input').value === '' && $$('.msg').length === 1 && !$('.notice').textContent")
	r := c.reply(id)
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")

	p.Say("Again")
	c = h.takes()
	c.readyAfter(r.id, "")
	second := c.expect("message")["id"].(string)
	c.close(4001)
	c = h.watched(r.id, "", user(second, "Again")) // only the acknowledgement was lost
	p.Until("$$('.msg').length === 3 && $('.input').value === ''")
	r2 := c.reply(second)
	r2.delta("Ho").finish("stop")
	p.Until("w.state === 'ready'")

	// Said while away, and another has the conversation by then.
	p.Do("Math.random = () => 1e5")
	c.cut()
	p.Until("w.state === 'reconnecting'")
	p.Say("From the tunnel")
	p.Do("$('.input').focus()")
	p.Run(chromedp.KeyEvent("and a draft"))
	p.Do("w.hub.watching = false; Math.random = () => 0; dispatchEvent(new Event('online'))")
	h.next().close(4001)
	h.watched(r2.id, "")
	p.Until("$('.input').value === 'From the tunnel\\nand a draft' && $$('.msg').length === 4")
	h.none(300 * time.Millisecond)
}
