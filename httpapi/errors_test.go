package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"lumos/backend/hub"
)

// TestBodies: what is no ChatMessage is told by name, and asks nobody.
func TestBodies(t *testing.T) {
	r := newRig(t, withHub(func(c *hub.Config) { c.MaxMessageBytes = 64 }))
	long := strings.Repeat("é", 33)
	for _, tt := range []struct {
		body   string
		status int
		code   string
		names  string // a word that the sentence has
	}{
		{"", 400, "invalid_request", "object"},
		{"  ", 400, "invalid_request", "object"},
		{"null", 400, "invalid_request", "object"},
		{"[]", 400, "invalid_request", "object"},
		{`"hello"`, 400, "invalid_request", "object"},
		{`hello`, 400, "invalid_request", "object"},
		{`{`, 400, "invalid_request", ""},
		{`{"message":"hi"`, 400, "invalid_request", ""},
		{`{"message":"hi"}{}`, 400, "invalid_request", ""},
		{`{"message":"hi"} {"message":"ho"}`, 400, "invalid_request", ""},
		{`{"message":"hi"},`, 400, "invalid_request", ""},
		{`{'message':'hi'}`, 400, "invalid_request", ""},
		{`{"message":"a` + "\n" + `b"}`, 400, "invalid_request", ""},
		{"\ufeff" + `{"message":"hi"}`, 400, "invalid_request", "object"},
		{`{"message":"` + "\xff" + `"}`, 400, "invalid_request", "UTF-8"},
		{`{"message":"` + "\xed\xa0\x80" + `"}`, 400, "invalid_request", "UTF-8"},
		{`{}`, 400, "invalid_request", "message"},
		{`{"message":null}`, 400, "invalid_request", "message"},
		{`{"message":7}`, 400, "invalid_request", "message"},
		{`{"message":["hi"]}`, 400, "invalid_request", "message"},
		{`{"message":{"text":"hi"}}`, 400, "invalid_request", "message"},
		{`{"message":true}`, 400, "invalid_request", "message"},
		{`{"message":""}`, 400, "invalid_request", "empty"},
		{`{"message":" \n\t "}`, 400, "invalid_request", "empty"},
		{`{"message":"hi","timestamp":7}`, 400, "invalid_request", "timestamp"},
		{`{"message":"hi","conversation_id":7}`, 400, "invalid_request", "conversation_id"},
		{`{"message":"hi","conversation_id":""}`, 400, "invalid_session_id", ""},
		{`{"message":"hi","conversation_id":"x"}`, 400, "invalid_session_id", ""},
		{`{"message":"hi","conversation_id":"{` + someID + `}"}`, 400, "invalid_session_id", ""},
		{`{"message":"hi","conversation_id":"` + strings.ReplaceAll(someID, "-", "") + `"}`, 400, "invalid_session_id", ""},
		{`{"message":"hi","conversation_id":"` + someID + `"}`, 404, "session_not_found", ""},
		{`{"message":"` + long + `"}`, 413, "message_too_large", "64"},
		{`{"message":"` + strings.Repeat("x", 8<<10) + `"}`, 413, "message_too_large", ""},
		{`{"message":"hi","more":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "message_too_large", ""},
	} {
		a := r.do("POST", "/chat", tt.body).wantError(tt.status, tt.code)
		if _, text := a.failure(); !strings.Contains(text, tt.names) || strings.Contains(text, "httpapi.") {
			t.Errorf("%.60s: %q does not speak of %q", tt.body, text, tt.names)
		}
	}
	// Written with escapes, the longest message is within the limit of the body.
	r.do("POST", "/chat", `{"message":"`+strings.Repeat(`\u0061`, 64)+`"}`).want(http.StatusOK)
	if r.asked() != 1 {
		t.Errorf("the model was asked %d times, want once", r.asked())
	}
	for _, key := range []string{"x", someID + "0", "{" + someID + "}", "00000000000000000000000000000000"} {
		r.do("POST", "/chat", chatBody("", "hi"), header("Idempotency-Key", key)).wantError(http.StatusBadRequest, "invalid_request")
	}
}

// TestSessionIDs: half an id, or one in another form, is no id.
func TestSessionIDs(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	for _, route := range []struct{ method, suffix string }{{"GET", ""}, {"DELETE", ""}, {"GET", "/stream"}, {"POST", "/stop"}} {
		for _, bad := range []string{"x", id[:8], id[:35], id + "0", "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), "..", "%00", strings.Repeat("a", 36)} {
			r.do(route.method, "/sessions/"+url.PathEscape(bad)+route.suffix, "").wantError(http.StatusNotFound, "session_not_found")
		}
		for _, unknown := range []string{someID, "00000000-0000-0000-0000-000000000000"} {
			r.do(route.method, "/sessions/"+unknown+route.suffix, "").wantError(http.StatusNotFound, "session_not_found")
		}
	}
	r.session(id)
}

func TestNotFound(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{
		"/nope", "/sessions/", "/sessions/" + someID + "/", "/sessions/" + someID + "/nope", "/chat/", "/ws/", "/ws/a/b",
		"/index.html", "/openapi.yaml/", "/..", "/../etc/passwd", "/%2e%2e/go.mod", "//evil.example/", "/Healthz", "/debug/pprof/",
	} {
		for _, method := range []string{"GET", "POST"} {
			r.do(method, path, "").wantError(http.StatusNotFound, "not_found")
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	r := newRig(t)
	for path, allow := range map[string]string{
		"/sessions": "POST", "/sessions/" + someID: "GET, DELETE", "/sessions/" + someID + "/stream": "GET",
		"/sessions/" + someID + "/stop": "POST", "/chat": "POST", "/ws": "GET", "/ws/" + someID: "GET",
		"/healthz": "GET, HEAD", "/readyz": "GET, HEAD", "/openapi.yaml": "GET", "/asyncapi.yaml": "GET", "/": "GET, HEAD",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			allowed := false
			for _, m := range strings.Split(allow, ", ") {
				allowed = allowed || m == method
			}
			if allowed {
				continue
			}
			a := r.do(method, path, "").want(http.StatusMethodNotAllowed)
			if method != "HEAD" {
				a.wantError(http.StatusMethodNotAllowed, "method_not_allowed")
			}
			if got := a.Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
			}
		}
	}
}

// TestUpgradeRequired: GET /ws without a handshake, or with half of one.
func TestUpgradeRequired(t *testing.T) {
	r := newRig(t)
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	whole := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
	for _, tt := range []struct {
		name, value string // of the header that is other than in a handshake
		status      int
		code        string
	}{
		{"Upgrade", "", 426, "upgrade_required"},
		{"Upgrade", "h2c", 426, "upgrade_required"},
		{"Connection", "keep-alive", 426, "upgrade_required"},
		{"Sec-WebSocket-Version", "8", 426, "upgrade_required"},
		{"Sec-WebSocket-Version", "", 426, "upgrade_required"},
		{"Sec-WebSocket-Key", "", 400, "invalid_request"},
		{"Sec-WebSocket-Key", "short", 400, "invalid_request"},
		{"Sec-WebSocket-Key", "c2hvcnQ=", 400, "invalid_request"},
	} {
		for _, path := range []string{"/ws", "/ws/" + someID} {
			a := r.do("GET", path, "", func(req *http.Request) {
				for name, value := range whole {
					req.Header.Set(name, value)
				}
				req.Header.Set(tt.name, tt.value)
			}).wantError(tt.status, tt.code)
			if tt.status == 426 && a.Header.Get("Upgrade") != "websocket" {
				t.Errorf("%s %q: Upgrade is %q", tt.name, tt.value, a.Header.Get("Upgrade"))
			}
		}
	}
	a := r.do("GET", "/ws", "").wantError(http.StatusUpgradeRequired, "upgrade_required")
	if a.Header.Get("Upgrade") != "websocket" {
		t.Error("no Upgrade header")
	}
}
