package httpapi_test

import (
	"fmt"
	"testing"

	"lumos/backend/llm/mistralsim"
)

func TestSentTwice(t *testing.T) {
	r := newRig(t)
	a, g := held(1, "so", " far")
	r.answer("go", a)
	p := r.join("/ws")
	id := newID()
	first := p.say(id, "go")
	reply := p.begin()
	p.delta(&reply, "so")
	// While the reply runs.
	if again := p.say(id, "go"); again.After != first.After {
		t.Errorf("acknowledged as %+v, then as %+v", first, again)
	}
	p.ask(message(id, "something else"))
	if f := p.want("error"); f.Code != "id_reused" || f.Ref != id {
		t.Errorf("got %+v", f)
	}
	g.open()
	p.finish(&reply)
	// Behind its end, and when the conversation has gone on.
	p.say(id, "go")
	p.wantQuiet()
	p.say("", "next")
	p.reply()
	p.say(id, "go")
	p.ask(message(reply.id, "go")) // a reply's id is no message's
	if f := p.want("error"); f.Code != "id_reused" {
		t.Errorf("got %+v", f)
	}
	p.wantQuiet()
	if r.asked() != 2 {
		t.Errorf("the model was asked %d times, want 2", r.asked())
	}
	// On a connection that never saw the acknowledgement.
	q := r.join("/ws/" + p.ready.Conversation)
	q.say(id, "go")
	q.wantQuiet()
}

// TestSentTwiceAfterError: the id asks anew, is acknowledged again, and the
// failed reply is replaced.
func TestSentTwiceAfterError(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := newID()
	r.answer("try", mistralsim.Unauthorized())
	p.say(id, "try")
	failed := p.reply()
	if failed.end.Code != "upstream_auth" {
		t.Errorf("ended with %+v", failed.end)
	}
	a, g := held(0, "better")
	r.answer("try", a)
	p.ask(message(id, "try"))
	g.wait(t)
	var acks []frame
	var reply replied
	for begun := false; len(acks) == 0 || !begun; { // the two may come in either order
		switch f, err := p.read(); {
		case err != nil:
			t.Fatal(err)
		case f.Type == "message":
			acks = append(acks, f)
		case f.Type == "start":
			reply, begun = replied{id: f.MessageID, after: f.After}, true
		default:
			t.Fatalf("got %+v", f)
		}
	}
	if len(acks) != 1 || acks[0].ID != id || acks[0].After != "" {
		t.Errorf("acknowledged %+v, want %s", acks, id)
	}
	g.open()
	p.finish(&reply)
	if reply.text != "better" || reply.after != id || reply.id == failed.id {
		t.Errorf("got %+v behind %s", reply, failed.id)
	}
	p.wantQuiet()
	if m := r.session(p.ready.Conversation).Messages; len(m) != 2 || m[1].ID != reply.id {
		t.Errorf("stored: %+v", m)
	}
}

func TestStopFrame(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	stopFrame := func(id string) {
		f := map[string]string{"type": "stop"}
		if id != "" {
			f["id"] = id
		}
		p.ask(f)
	}
	wantStopped := func(outcome string) {
		t.Helper()
		if f := p.want("stopped"); f.Outcome != outcome {
			t.Errorf("outcome %s, want %s", f.Outcome, outcome)
		}
	}
	stopFrame("")
	wantStopped("nothing_running")
	for i, filter := range []string{"", "reply", "message"} {
		said := fmt.Sprintf("go %d", i)
		a, g := held(i%2, "Hello", " world")
		r.answer(said, a)
		id := newID()
		p.say(id, said)
		reply := p.begin()
		g.wait(t)
		if i%2 == 1 {
			p.delta(&reply, "Hello")
		}
		// Somebody else's id stops nothing, and is answered at once.
		stopFrame(someID)
		wantStopped("nothing_running")
		stopFrame(map[string]string{"reply": reply.id, "message": id}[filter])
		p.finish(&reply)
		if reply.end.Type != "abort" {
			t.Errorf("ended with %+v", reply.end)
		}
		wantStopped("stopped")
		stopFrame(reply.id) // late
		wantStopped("nothing_running")
		request := r.sim.Requests()[r.asked()-1]
		await(t, request.Done(), "the upstream request ends")
		if request.Gone().IsZero() {
			t.Error("the model was read to its end")
		}
	}
	p.wantQuiet()
}

// TestStopThenSay: the answer to a stop is not held up by what is said next.
func TestStopThenSay(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	one, g1 := held(1, "a", "b")
	two, g2 := held(1, "c", "d")
	r.answer("one", one)
	r.answer("two", two)
	p.say("", "one")
	reply := p.begin()
	g1.wait(t)
	p.ask(map[string]string{"type": "stop"})
	p.ask(message("", "two"))
	p.finish(&reply)
	p.want("stopped")
	p.want("message")
	reply = p.begin()
	g2.open()
	p.finish(&reply)
	if reply.text != "cd" {
		t.Errorf("got %+v", reply)
	}
}

func TestRegenerate(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	p.ask(map[string]string{"type": "regenerate"})
	if f := p.want("error"); f.Code != "invalid_request" {
		t.Errorf("nothing to regenerate: %+v", f)
	}
	id := newID()
	p.say(id, "go")
	first := p.reply()
	r.answer("go", mistralsim.Answer{Text: "another"})
	of := map[string]string{"type": "regenerate", "of": first.id}
	p.ask(of)
	second := p.reply()
	if second.after != id || second.text != "another" || second.id == first.id {
		t.Errorf("got %+v", second)
	}
	// Sent twice, it is done once: the reply that it names is gone.
	p.ask(of)
	p.wantQuiet()
	p.ask(map[string]string{"type": "regenerate"})
	third := p.reply()
	if third.id == second.id || third.after != id {
		t.Errorf("got %+v", third)
	}
	// Only the last reply can be written anew.
	p.say("", "more")
	p.reply()
	p.ask(map[string]string{"type": "regenerate", "of": third.id})
	if f := p.want("error"); f.Code != "invalid_request" {
		t.Errorf("of a reply in the middle: %+v", f)
	}
	if m := r.session(p.ready.Conversation).Messages; len(m) != 4 || m[1].ID != third.id {
		t.Errorf("stored: %+v", m)
	}
	// The message that was answered anew is answered by what stands now.
	p.say(id, "go")
	p.wantQuiet()
	if r.asked() != 4 {
		t.Errorf("the model was asked %d times, want 4", r.asked())
	}
}
