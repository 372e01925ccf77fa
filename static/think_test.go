package static_test

import "testing"

// thought sends reasoning.
func (r *reply) thought(texts ...string) *reply {
	for _, text := range texts {
		r.offset += len(text)
		r.c.send(frame{"type": "reasoning-delta", "id": r.id, "delta": text, "offset": r.offset})
	}
	return r
}

// part begins a part, and ends the one before.
func (r *reply) part(before, kind string) *reply {
	if before != "" {
		r.c.send(frame{"type": before + "-end", "id": r.id})
	}
	r.offset += 2
	r.c.send(frame{"type": kind + "-start", "id": r.id, "offset": r.offset})
	return r
}

// TestThinking: what the model thinks is one line that opens, counts its seconds, stays
// as the reader left it, and goes on where a connection broke.
func TestThinking(t *testing.T) {
	h, p, c := openPage(t)
	if c.query.Get("reasoning") != "1" {
		t.Errorf("it does not ask for reasoning: %v", c.query)
	}
	p.Say("think")
	m := c.expect("message")
	c.send(ack(m, ""))
	after := m["id"].(string)
	r := &reply{c: c, id: "c2f0c3a4-5a43-4d0e-9a53-0c8f5c1b2d77"}
	start := func(offset int) frame {
		return frame{"type": "start", "messageId": r.id, "after": after, "offset": offset, "messageMetadata": frame{"conversation_id": c.conversation, "model": "m"}}
	}
	c.send(start(0))
	r.part("", "reasoning").thought("Hé ", "<b>wie</b>")
	const details = "w.shadowRoot.querySelector('.assistant details')"
	p.Until(details + "?.querySelector('summary').textContent.startsWith('Thinking…')")
	p.Until("/[1-9]/.test(" + details + ".querySelector('summary').textContent)")
	if open := eval[bool](p, details+".open"); open {
		t.Error("it is open before anybody wanted that")
	}
	p.Do(details + ".querySelector('summary').click()")
	c.cut()
	c = h.next()
	c.resumes(t, r.id, "16", "")
	c.readyAfter(r.id, r.id)
	r.c = c
	c.send(start(5), frame{"type": "reasoning-start", "id": r.id, "offset": 5}) // less than it has
	r.offset = 5
	r.thought(" was")
	p.Until(details + ".querySelector('div').textContent === 'Hé was'")
	r.part("reasoning", "text").delta("Yes")
	p.Until("w.state === 'writing'")
	p.Until(details + ".querySelector('summary').textContent.startsWith('Thoughts')")
	r.part("text", "reasoning").thought("hm").part("reasoning", "text").delta(", no.")
	p.Until(details + ".querySelector('div').textContent === 'Hé was\\n\\nhm'")
	r.finish("stop")
	p.MustContain("Yes, no.")
	if open := eval[bool](p, details+".open"); !open {
		t.Error("it was closed again")
	}
	if got := eval[string](p, "w.hub.messages.at(-1).content"); got != "Yes, no." {
		t.Errorf("the reply says %q", got)
	}
}

// TestThoughts: a reply that came whole shows them, without a time.
func TestThoughts(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	c := h.next()
	stored := assistant("c2f0c3a4-5a43-4d0e-9a53-0c8f5c1b2d77", "Yes", "stop")
	stored["reasoning"] = "hm"
	c.ready(user("0b9a1f6e-6a0e-4f3b-8f0a-5d2c9e1b7a10", "Hi"), stored)
	p.Until("w.shadowRoot.querySelector('.assistant details summary')?.textContent === 'Thoughts'")
	p.MustContain("Yes")
}

// TestLongThinking: a delta costs the same however much was thought before it, and what
// the reader has opened grows without being written anew.
func TestLongThinking(t *testing.T) {
	_, p, c := openPage(t)
	p.Say("think")
	m := c.expect("message")
	c.send(ack(m, ""))
	r := &reply{c: c, id: "c2f0c3a4-5a43-4d0e-9a53-0c8f5c1b2d77"}
	c.send(frame{"type": "start", "messageId": r.id, "after": m["id"], "offset": 0, "messageMetadata": frame{"conversation_id": c.conversation, "model": "m"}})
	r.part("", "reasoning").thought("so ")
	p.Until("$('.assistant details div')?.textContent === 'so'")
	p.Do("window.first = $('details div').firstChild")
	// 1 MiB in deltas of 32 bytes, as they would come in 64 a time.
	took := eval[float64](p, `(async () => {
		const from = performance.now(), delta = 'a word and another, or a third.\n';
		for (let i = 0; i < 32768; i++) {
			w.hub.take({ type: 'reasoning-delta', id: `+literal(r.id)+`, delta, offset: 0 });
			if (i % 64 === 63) await new Promise((then) => setTimeout(then));
		}
		return performance.now() - from;
	})()`)
	t.Logf("%.0f ms", took)
	if took > 12000 {
		t.Errorf("1 MiB of thoughts took %.0f ms", took)
	}
	p.Until("$('details div').textContent.length > 1048570")
	if !eval[bool](p, "window.first === $('details div').firstChild") {
		t.Error("what was shown already was written anew")
	}
}
