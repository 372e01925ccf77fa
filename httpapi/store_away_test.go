package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestStoreAway: a connection for which there is no session to be had.
func TestStoreAway(t *testing.T) {
	f := new(storetest.Faults)
	r := newRig(t, withStore(store(shared).behind(f)))
	p := r.join("/ws")
	a, g := held(1, "so", " far", ".") // the last text may be stored with the end alone, and is shown then
	a.Pace = 100 * time.Millisecond
	r.answer("go", a)
	p.say("", "go")
	reply := p.begin()
	p.delta(&reply, "so")
	s := r.follow("GET", "/sessions/"+p.ready.Conversation+"/stream", "")
	for s.text != "so" {
		s.until("text-delta")
	}
	waiting := r.later("POST", "/chat", chatBody(r.newSession(), "go"))
	eventually(t, "the model is asked twice", func() bool { return r.asked() == 2 })

	f.Set(failing(session.ErrUnavailable))
	p.ask(message(someID, "more"))
	if e := p.want("error"); e.Code != "store_unavailable" || e.Ref != someID {
		t.Errorf("got %+v", e)
	}
	p.ask(map[string]string{"type": "stop"})
	if e := p.want("error"); e.Code != "store_unavailable" {
		t.Errorf("got %+v", e)
	}
	r.dial("/ws").wantClose(1013)
	r.dial("/ws/" + p.ready.Conversation).wantClose(1013)
	r.dial("/ws/" + someID).wantClose(1013)
	r.do("GET", "/readyz", "").wantError(http.StatusServiceUnavailable, "store_unavailable")
	r.do("GET", "/healthz", "").want(http.StatusOK)
	for _, route := range []struct{ method, path, body string }{
		{"POST", "/sessions", ""}, {"GET", "/sessions/" + someID, ""}, {"DELETE", "/sessions/" + someID, ""},
		{"GET", "/sessions/" + someID + "/stream", ""}, {"POST", "/sessions/" + someID + "/stop", ""},
		{"POST", "/chat", chatBody("", "hi")}, {"POST", "/chat", chatBody(someID, "hi")},
	} {
		r.do(route.method, route.path, route.body).wantError(http.StatusServiceUnavailable, "store_unavailable")
	}
	// The end of a reply is not told before it is stored, but it is not lost.
	g.open()
	p.delta(&reply, "so far")
	for s.text != "so far" {
		s.until("text-delta")
	}
	f.Set(nil)
	p.finish(&reply)
	if events := s.rest(); !s.done || s.text != "so far." || events[len(events)-1].Type != "finish" || reply.end.Type != "finish" {
		t.Errorf("ended with %+v, [DONE] %v, over WebSocket %+v", events, s.done, reply.end)
	}
	if got := decode[chatReply](t, waiting().want(http.StatusOK)); got.Response != "so far." {
		t.Errorf("got %+v", got)
	}
	p.wantQuiet()
}
