package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"lumos/backend/httpapi"
)

const (
	shop = "https://shop.example"
	evil = "https://evil.example"
)

// TestOrigin: who may act, by what the browser says of the page.
func TestOrigin(t *testing.T) {
	r := newRig(t, withAPI(func(c *httpapi.Config) { c.AllowedOrigins = []string{shop, "http://localhost:3000"} }))
	own := r.url
	host := strings.TrimPrefix(own, "http://")
	for _, tt := range []struct {
		origin string
		may    bool
	}{
		{own, true},
		{"https://" + host, true}, // a proxy in front may end TLS
		{strings.ToUpper(own), true},
		{shop, true},
		{"http://localhost:3000", true},
		{evil, false},
		{"null", false},
		{"", false},
		{"*", false},
		{"http://shop.example", false},
		{"https://shop.example:444", false},
		{"https://shop.example:443", false}, // no browser writes it so
		{"https://shop.example/", false},
		{"https://shop.example.evil.example", false},
		{"https://evil.example?https://shop.example", false},
		{"https://sub.shop.example", false},
		{"https://SHOP.example", false},
		{"http://localhost:3001", false},
		{"http://127.0.0.1", false},
		{"http://user@" + host, false},
		{"ftp://" + host, false},
		{host, false},
		{shop + ", " + evil, false},
	} {
		// The content type makes no difference: a form can send text/plain.
		for _, kind := range []string{"application/json", "text/plain", ""} {
			from := func(req *http.Request) {
				req.Header["Origin"] = []string{tt.origin}
				req.Header["Content-Type"] = []string{kind}
			}
			acts := []answered{
				r.do("POST", "/sessions", "", from), r.do("POST", "/chat", chatBody("", "hi"), from),
				r.do("DELETE", "/sessions/"+someID, "", from), r.do("POST", "/sessions/"+someID+"/stop", "", from),
				r.do("POST", "/nope", "", from), r.do("PUT", "/chat", "", from),
			}
			for _, a := range acts {
				if code, _ := a.failure(); (code == "forbidden_origin") == tt.may || a.StatusCode == http.StatusForbidden == tt.may {
					t.Errorf("Origin %q: %s %s is %s", tt.origin, a.Request.Method, a.Request.URL.Path, a.Status)
				}
			}
			// What only reads is answered; a browser shows it to nobody else.
			r.do("GET", "/healthz", "", from).want(http.StatusOK)
		}
		ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
		ws, resp, err := websocket.Dial(ctx, r.url+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {tt.origin}}})
		cancel()
		switch {
		case tt.may && err != nil:
			t.Errorf("Origin %q: a WebSocket is refused: %v", tt.origin, err)
		case !tt.may && (err == nil || resp == nil || resp.StatusCode != http.StatusForbidden):
			t.Errorf("Origin %q: a WebSocket is not refused: %v", tt.origin, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		}
	}
	// One wrong among several is enough.
	two := func(req *http.Request) { req.Header["Origin"] = []string{shop, evil} }
	r.do("POST", "/sessions", "", two).wantError(http.StatusForbidden, "forbidden_origin")
	if r.asked() == 0 {
		t.Error("nobody was let in")
	}
}

// TestCORS: a listed page reads the answers, another does not.
func TestCORS(t *testing.T) {
	r := newRig(t, withAPI(func(c *httpapi.Config) { c.AllowedOrigins = []string{shop} }))
	for _, tt := range []struct {
		origin, allowed string
	}{{shop, shop}, {evil, ""}, {"null", ""}, {r.url, ""}} {
		from := header("Origin", tt.origin)
		a := r.do("GET", "/healthz", "", from).want(http.StatusOK)
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != tt.allowed {
			t.Errorf("%s: Access-Control-Allow-Origin %q", tt.origin, got)
		}
		if !strings.Contains(a.Header.Get("Vary"), "Origin") {
			t.Errorf("%s: Vary is %q", tt.origin, a.Header.Get("Vary"))
		}
		if a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials are allowed", tt.origin)
		}
		exposed := strings.ToLower(a.Header.Get("Access-Control-Expose-Headers"))
		for _, name := range []string{"location", "retry-after", "x-request-id"} {
			if strings.Contains(exposed, name) != (tt.allowed != "") {
				t.Errorf("%s: exposed are %q", tt.origin, exposed)
			}
		}
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			a := r.do("OPTIONS", "/sessions/"+someID, "", from, header("Access-Control-Request-Method", method),
				header("Access-Control-Request-Headers", "authorization,baggage,content-type,idempotency-key,last-event-id,sentry-trace,traceparent,x-other"))
			a.want(http.StatusNoContent)
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != tt.allowed {
				t.Errorf("%s: the preflight of %s allows %q", tt.origin, method, got)
			}
			if got := a.Header.Get("Access-Control-Allow-Methods"); tt.allowed != "" && got != method {
				t.Errorf("%s: the preflight of %s allows the methods %q", tt.origin, method, got)
			}
			got := a.Header.Get("Access-Control-Allow-Headers")
			for _, name := range []string{"authorization", "baggage", "idempotency-key", "sentry-trace", "traceparent", "x-other"} {
				if strings.Contains(got, name) != (tt.allowed != "") {
					t.Errorf("%s: the preflight allows the headers %q", tt.origin, got)
				}
			}
		}
		a = r.do("OPTIONS", "/chat", "", from, header("Access-Control-Request-Method", "PUT"))
		if a.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: a preflight of PUT passes", tt.origin)
		}
	}
	// What it needs to be read at all, beside an answer that is one.
	a := r.do("POST", "/sessions", "", header("Origin", shop), header("Traceparent", "00-x"), header("Baggage", "a=b")).want(http.StatusCreated)
	if a.Header.Get("Location") == "" || a.Header.Get("X-Request-Id") == "" {
		t.Errorf("an answer without what is exposed: %v", a.Header)
	}
	// A refused one is told why, if it may read that.
	a = r.do("POST", "/sessions", "{", header("Origin", shop)).wantError(http.StatusBadRequest, "invalid_request")
	if a.Header.Get("Access-Control-Allow-Origin") != shop {
		t.Error("a listed page cannot read why it is refused")
	}
}

// TestLoopbackHost: on a loopback address only this machine's names are served,
// whatever a foreign name resolves to.
func TestLoopbackHost(t *testing.T) {
	for _, loopback := range []bool{true, false} {
		r := newRig(t, withAPI(func(c *httpapi.Config) { c.LoopbackOnly = loopback }))
		for host, own := range map[string]bool{
			"localhost": true, "localhost:8080": true, "LOCALHOST": true, "127.0.0.1": true, "127.0.0.1:1": true, "[::1]": true, "[::1]:8080": true,
			"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
			"127.0.0.2": false, "0.0.0.0": false, "[::]": false, "localhost.": false,
		} {
			for _, path := range []string{"/healthz", "/", "/nope"} {
				a := r.do("GET", path, "", func(req *http.Request) { req.Host = host })
				if refused := a.StatusCode == http.StatusForbidden; refused != (loopback && !own) {
					t.Errorf("loopback %v, Host %s: GET %s is %s", loopback, host, path, a.Status)
				}
			}
			a := r.do("POST", "/sessions", "", func(req *http.Request) { req.Host = host; req.Header.Set("Origin", "http://"+host) })
			if refused := a.StatusCode == http.StatusForbidden; refused != (loopback && !own) {
				t.Errorf("loopback %v, Host %s: POST with its own Origin is %s", loopback, host, a.Status)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
		ws, _, err := websocket.Dial(ctx, r.url+"/ws", &websocket.DialOptions{Host: "evil.example"})
		cancel()
		if (err != nil) != loopback || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("loopback %v: a WebSocket to another name: %v", loopback, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		}
	}
}
