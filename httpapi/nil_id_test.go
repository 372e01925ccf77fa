package httpapi_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

var nilID = uuid.Nil.String()

// TestNilKey: the nil UUID is no Idempotency-Key. As if none had been sent, a
// message that is sent twice would be asked twice.
func TestNilKey(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	for _, body := range []string{chatBody("", "hi"), chatBody(id, "hi"), chatBody(nilID, "hi")} {
		for range 2 {
			r.do("POST", "/chat", body, header("Idempotency-Key", nilID)).wantError(400, "invalid_request")
			r.do("POST", "/chat", body, header("Idempotency-Key", nilID), header("Accept", "text/event-stream")).wantError(400, "invalid_request")
		}
	}
	for _, bad := range []string{"0", "{" + nilID + "}", strings.ReplaceAll(nilID, "-", ""), nilID + "0", "urn:uuid:" + nilID} {
		r.do("POST", "/chat", chatBody(id, "hi"), header("Idempotency-Key", bad)).wantError(400, "invalid_request")
	}
	if n := r.asked(); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
	if m := r.session(id).Messages; len(m) != 0 {
		t.Errorf("stored: %+v", m)
	}
	// As a conversation it still begins one, and its neighbours are ids as any other.
	r.do("POST", "/chat", chatBody(nilID, "hi")).want(200)
	for _, key := range []string{"ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-4000-8000-000000000000", "00000000-0000-1000-8000-000000000001"} {
		r.do("POST", "/chat", chatBody(id, key), header("Idempotency-Key", key)).want(200)
		r.do("POST", "/chat", chatBody(id, key), header("Idempotency-Key", key)).want(200)
	}
	if m := r.session(id).Messages; len(m) != 6 {
		t.Errorf("stored: %+v", m)
	}
}

// TestNilFrameID: nor is it the id of a frame: nothing is said, stopped or
// regenerated.
func TestNilFrameID(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	refused := func(frame, ref string) {
		t.Helper()
		p.send(frame)
		if f := p.want("error"); f.Code != "invalid_request" || f.Ref != ref || f.ID != "" {
			t.Errorf("%s is refused with %+v", frame, f)
		}
		p.wantQuiet()
	}
	for range 2 {
		refused(`{"type":"message","id":"`+nilID+`","content":"hi"}`, "")
		refused(`{"content":"hi","id":"`+nilID+`","type":"message"}`, "")
	}
	p.say("", "one")
	one := p.reply()
	refused(`{"type":"regenerate","of":"`+nilID+`"}`, "")
	id := newID()
	refused(`{"type":"regenerate","of":"`+nilID+`","id":"`+id+`"}`, id)

	a, g := held(1, "begun ", "ended")
	r.answer("go", a)
	p.say("", "go")
	reply := p.begin()
	g.wait(t)
	p.delta(&reply, "begun ")
	refused(`{"type":"stop","id":"`+nilID+`"}`, "")
	g.open()
	p.finish(&reply)
	if reply.text != "begun ended" || reply.end.Type != "finish" {
		t.Errorf("the reply ends as %+v", reply)
	}
	if n := r.asked(); n != 2 {
		t.Errorf("the model was asked %d times, want 2", n)
	}
	if m := r.session(p.ready.Conversation).Messages; len(m) != 4 || m[1].ID != one.id {
		t.Errorf("stored: %+v", m)
	}
	// In the query it counts as left out.
	back := r.join("/ws/" + p.ready.Conversation + "?after=" + nilID + "&offset=3&client=" + nilID)
	if back.ready.After != "" || len(back.ready.Messages) != 4 {
		t.Errorf("ready is %+v", back.ready)
	}
	back.wantQuiet()
}

// TestNilSDKMessage: nor a message's of the AI SDK's.
func TestNilSDKMessage(t *testing.T) {
	r := newRig(t)
	known, fresh := newID(), newID()
	r.submit(known, "m", "hi").rest()
	for _, conversation := range []string{known, fresh} {
		user := sdkSays("user", nilID, "hi")
		for _, body := range []string{
			sdkBody(t, conversation, "submit-message", "", user),
			sdkBody(t, conversation, "submit-message", nilID, user),
			sdkBody(t, conversation, "submit-message", "", sdkSays("user", "m", "hi"), user, sdkSays("assistant", "a", "x")),
			sdkBody(t, conversation, "regenerate-message", "", user),
			sdkBody(t, conversation, "regenerate-message", nilID, user),
		} {
			r.do("POST", "/api/chat", body).wantError(400, "invalid_request")
		}
	}
	r.wantSaid(known, "hi", "You said: hi")
	r.do("GET", "/sessions/"+fresh, "").wantError(404, "session_not_found")
	// Elsewhere in the list it means nothing.
	r.follow("POST", "/api/chat", sdkBody(t, known, "submit-message", nilID, sdkSays("assistant", nilID, "x"), sdkSays("user", nilID, "y"), sdkSays("user", "n", "next"))).rest()
	r.wantSaid(known, "next", "You said: next")
	if n := r.asked(); n != 2 {
		t.Errorf("the model was asked %d times, want 2", n)
	}
}
