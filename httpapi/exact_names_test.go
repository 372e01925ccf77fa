package httpapi_test

import "testing"

// TestNamesAreExact: over REST and WebSocket, too, a field is what its exact
// name says, and other fields mean nothing.
func TestNamesAreExact(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	for body, want := range map[string]string{
		`{"message":"right","Message":"wrong","MESSAGE":7}`:                             "right",
		`{"Message":["wrong"],"message":"right","Conversation_ID":"` + newID() + `"}`:   "right",
		`{"me\u0073sage":"right","me` + "\u017f\u017f" + `age":"wrong","Timestamp":{}}`: "right",
		`{"message":"wrong","message":"right"}`:                                         "right",
	} {
		a := decode[chatReply](t, r.do("POST", "/chat", body[:1]+`"conversation_id":"`+id+`",`+body[1:]).want(200))
		if a.Response != "You said: "+want || a.Conversation != id {
			t.Errorf("%s is answered by %+v", body, a)
		}
	}
	for _, body := range []string{
		`{"Message":"hi"}`, `{"MESSAGE":"hi"}`, `{"message":null}`, `{"message":"hi","message":null}`, `{"message":["hi"]}`,
		`{"message":"hi","timestamp":7}`, `{"message":"hi","conversation_id":7}`, `{"message":"hi","conversation_id":[]}`,
	} {
		r.do("POST", "/chat", body).wantError(400, "invalid_request")
	}
	for _, conversation := range []string{"", "0", someID + "0", someID + someID} {
		r.do("POST", "/chat", `{"message":"hi","conversation_id":"`+conversation+`"}`).wantError(400, "invalid_session_id")
	}

	p := r.join("/ws")
	refused := func(frame, ref string) {
		t.Helper()
		p.send(frame)
		if f := p.want("error"); f.Code != "invalid_request" || f.Ref != ref {
			t.Errorf("%s is refused with %+v", frame, f)
		}
	}
	own := newID()
	refused(`{"Type":"ping"}`, "")
	refused(`{"type":"PING"}`, "")
	refused(`{"type":"message","Content":"hi"}`, "")
	refused(`{"type":"message","content":null,"id":"`+own+`"}`, own)
	refused(`{"content":{"id":"x"},"type":"message","id":"`+own+`"}`, own)
	refused(`{"type":7,"id":"`+own+`","content":"x"}`, own)
	refused(`{"type":"message","ID":"`+own+`"}`, "")
	refused(`{"type":"message","id":null,"content":"x"}`, "")
	refused(`{"type":"message","id":"`+own+`","content":"x"`, "")
	p.send(`{"Type":"message","type":"ping","TYPE":[]}`)
	p.want("pong")
	p.send(`{"type":"message","content":"right","Content":"wrong","id":"` + own + `","Id":"x"}`)
	if f := p.want("message"); f.Content != "right" || f.ID != own {
		t.Errorf("acknowledged %+v", f)
	}
	p.reply()

	d := r.deepChat("/ws")
	d.send(`{"messages":[{"text":"right","role":"user","Text":"wrong"},{"Role":"user","text":"wrong"}],"Messages":[{"role":"user","text":"wrong"}]}`)
	d.wantShown("You said: right")
	d.send(`{"messages":[{"role":"user","text":"wrong"},{"role":"user"}],"messages":[{"text":"right","role":"ai","role":"user"},{"role":"user","text":"wrong","role":"ai"}]}`)
	d.wantShown("You said: right")
	for _, frame := range []string{`{"Messages":[{"role":"user","text":"hi"}]}`, `{"messages":[{"role":"user","text":"hi"}],"messages":[]}`, `{"messages":[{"role":"user","text":"hi"},7]}`, `null`, `{"messages":[{"role":"user","text":"hi"}]}{}`} {
		d.send(frame)
		if f := d.next(); f.Error == "" {
			t.Errorf("%s is answered by %+v", frame, f)
		}
	}
}
