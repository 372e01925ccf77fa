package static_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
)

// resumes reads what a reconnecting page asks for.
func (c *fakeConn) resumes(t *testing.T, after, offset, epoch string) {
	t.Helper()
	q := c.query
	if q.Get("after") != after || q.Get("offset") != offset || q.Get("epoch") != epoch {
		t.Errorf("resumes with %v, want after %s, offset %q, epoch %q", q, after, offset, epoch)
	}
}

// readyAfter greets a client that goes on behind a message that it holds.
func (c *fakeConn) readyAfter(after, running string, messages ...frame) {
	f := frame{"type": "ready", "conversation_id": c.conversation, "model": "m", "after": after, "messages": append([]frame{}, messages...)}
	if running != "" {
		f["running"] = running
	}
	c.send(f)
}

// The text goes on at the byte at which it broke off, in characters of any size.
func TestResumeByOffset(t *testing.T) {
	h, p, c := openPage(t)
	client := c.query.Get("client")
	m, r := ask(p, c, "Hello", "")
	r.delta("Grüße 😀 **", "und") // 18 bytes
	p.Until("$('.assistant').textContent.includes('und')")
	p.Do("window.kept = $('.assistant p')")
	c.cut()

	c = h.next()
	c.resumes(t, r.id, "18", "")
	if c.query.Get("client") != client || c.query.Get("again") != "1" || c.conversation == "" {
		t.Errorf("query %v", c.query)
	}
	c.readyAfter(r.id, r.id)
	r.start(c, m, 18)
	r.delta(" 你好**!").finish("stop")
	p.Until("w.state === 'ready'")
	if got, want := p.Html(), "<p>Grüße 😀 <strong>und 你好</strong>!</p>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !eval[bool](p, "kept === $('.assistant p')") {
		t.Error("what was shown already was drawn again")
	}
	c.cut()
	c = h.next()
	c.resumes(t, r.id, "", "") // seen to its end
}

// The hub may start over, or further back than asked; the client cuts to it.
func TestResumeCutsToTheOffset(t *testing.T) {
	for _, keep := range []string{"", "Grüße ", "Grüße 😀"} {
		h, p, c := openPage(t)
		m, r := ask(p, c, "Hello", "")
		r.delta("Grüße 😀 und so")
		p.Until("w.state === 'writing'")
		c.cut()
		c = h.next()
		c.readyAfter(r.id, r.id)
		r.start(c, m, len(keep))
		r.delta("NEU").finish("stop")
		p.Until("w.state === 'ready'")
		if got := eval[string](p, "$('.assistant .body').textContent"); got != keep+"NEU" {
			t.Errorf("cut to %q: shown %q", keep, got)
		}
	}
}

// An epoch counts from the start that belongs to it, with its offset.
func TestEpoch(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("one ")
	p.Until("w.state === 'writing'")
	start := frame{"type": "start", "messageId": r.id, "after": m, "epoch": 2, "offset": 4, "messageMetadata": frame{"conversation_id": c.conversation}}
	c.send(start)
	c.send(frame{"type": "stopped", "outcome": "nothing_running"})
	c.cut()
	c = h.next()
	c.resumes(t, r.id, "4", "2")
	c.readyAfter(r.id, r.id)
	c.send(start, frame{"type": "text-start", "id": r.id, "offset": 4}, frame{"type": "text-delta", "id": r.id, "delta": "two", "offset": 7})
	p.MustContain("one two")
	c.cut()
	h.next().resumes(t, r.id, "7", "2")
}

// The reply ended while the client was away: it comes again, whole.
func TestReplyEndedMeanwhile(t *testing.T) {
	for _, after := range []string{"message", "reply", "nothing"} {
		h, p, c := openPage(t)
		m, r := ask(p, c, "Hello", "")
		r.delta("The answer ")
		p.Until("w.state === 'writing'")
		c.cut()
		c = h.next()
		whole := assistant(r.id, "The answer is 42.", "stop")
		switch after {
		case "message":
			c.readyAfter(m, "", whole)
		case "reply":
			c.readyAfter(r.id, "", whole)
		default:
			c.ready(user(m, "Hello"), whole)
		}
		p.Until("w.state === 'ready' && $('.assistant .body').textContent === 'The answer is 42.' && $$('.msg').length === 2")
	}
}

// A message on its way when the connection broke goes out again under its id;
// what the hub has already is not said twice.
func TestUnsentMessages(t *testing.T) {
	h, p, c := openPage(t)
	p.Say("Hello")
	id := c.expect("message")["id"].(string)
	c.cut()
	c = h.next()
	c.ready()
	if again := c.expect("message"); again["id"] != id || again["content"] != "Hello" {
		t.Errorf("sent again as %v, want id %s", again, id)
	}
	c.cut()
	p.Until("$('.note').checkVisibility() && $('.note').textContent === 'Sending…'")

	h.next()                 // the page comes back, and is not answered
	p.Run(chromedp.Reload()) // unsent survives a reload, too
	c = h.next()
	c.ready()
	if again := c.expect("message"); again["id"] != id {
		t.Errorf("after a reload sent as %v, want id %s", again, id)
	}
	c.cut()

	c = h.next()
	c.ready(user(id, "Hello")) // the hub had it: only the acknowledgement was lost
	r := c.reply(id)
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready' && $$('.msg').length === 2 && !$('.user .note').textContent")
	select {
	case f := <-c.frames:
		t.Errorf("sent %v once more", f)
	default:
	}
}

// A repeated acknowledgement changes nothing; a message from elsewhere, a
// changed one, and a reply behind an older message drop what stands there.
func TestWhatFollowsIsDropped(t *testing.T) {
	_, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	c.send(ack(user(m, "Hello"), ""))
	m2, r2 := ask(p, c, "More", r.id)
	r2.delta("answer").finish("stop")
	shown := "$$('.msg .body').map((b) => b.textContent).join('|')"
	p.Until(shown + " === 'Hello|Hi|More|answer'")

	c.send(ack(user(m2, "More"), r.id))
	elsewhere := uuid.NewString()
	c.send(ack(user(elsewhere, "from REST"), r2.id))
	c.reply(elsewhere).delta("yes").finish("stop")
	p.Until(shown + " === 'Hello|Hi|More|answer|from REST|yes'")

	c.send(ack(user(m2, "Edited"), r.id))
	c.reply(m2).delta("other").finish("stop")
	p.Until(shown + " === 'Hello|Hi|Edited|other'")

	c.reply(m).delta("regenerated").finish("stop")
	p.Until(shown + " === 'Hello|regenerated'")

	c.send(ack(user(uuid.NewString(), "First"), ""))
	p.Until(shown + " === 'First'")
}

// Answers to stop and regenerate can be lost as well: they are sent again.
func TestStopAndRegenerateAreRepeated(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("Hi")
	p.Until("w.state === 'writing'")
	p.Click(".send")
	c.expect("stop")
	c.cut()
	c = h.next()
	c.readyAfter(r.id, r.id)
	r.start(c, m, 2)
	if f := c.expect("stop"); f["id"] != r.id {
		t.Errorf("stops %v", f)
	}
	r.abort()
	c.send(frame{"type": "stopped", "outcome": "stopped"})
	p.Click(".regenerate")
	c.expect("regenerate")
	c.cut()
	c = h.next()
	c.readyAfter(r.id, "")
	if f := c.expect("regenerate"); f["of"] != r.id {
		t.Errorf("regenerates %v", f)
	}
	c.reply(m).delta("New").finish("stop")
	p.Until("w.state === 'ready'")
	c.cut()
	c = h.next()
	c.readyAfter(c.query.Get("after"), "")
	p.Say("done")
	c.expect("message") // and nothing else
}

func TestReloadInMidReply(t *testing.T) {
	h, p, c := openPage(t)
	m, r := ask(p, c, "Hello", "")
	r.delta("The beginning ")
	p.Until("w.state === 'writing'")
	p.Run(chromedp.Reload())
	again := h.next()
	if again.conversation != c.conversation || again.query.Has("after") || again.query.Has("again") {
		t.Errorf("conversation %s, query %v", again.conversation, again.query)
	}
	f := frame{"type": "ready", "conversation_id": c.conversation, "model": "m", "running": r.id, "messages": []frame{user(m, "Hello")}}
	again.send(f)
	r.start(again, m, 0)
	r.delta("The beginning and the end.").finish("stop")
	p.Until("w.state === 'ready' && $('.assistant .body').textContent === 'The beginning and the end.'")
}
