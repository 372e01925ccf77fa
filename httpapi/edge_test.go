package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/httpapi"
)

// proxied is a rig that trusts the proxies of this machine.
func proxied(origins ...string) rigOption {
	return withAPI(func(c *httpapi.Config) {
		c.AllowedOrigins = origins
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
}

// forwarded sets what a proxy tells.
func forwarded(host, proto string) func(http.Header) {
	return func(h http.Header) {
		h["X-Forwarded-Host"], h["X-Forwarded-Proto"] = []string{host}, []string{proto}
	}
}

// TestForwardedHost: the host that a trusted proxy was asked for is the hub's own, and
// its scheme gives the port that is not written. E4: nginx without proxy_set_header Host.
func TestForwardedHost(t *testing.T) {
	trusting, wary := newRig(t, proxied()), newRig(t)
	for _, tt := range []struct {
		origin, host, proto string
		may                 bool
	}{
		{"https://chat.example", "chat.example", "https", true},
		{"https://chat.example", "chat.example", "", true},
		{"https://chat.example", "chat.example", "gopher", true},
		{"https://chat.example", "CHAT.example", "HTTPS", true},
		{"https://chat.example", "chat.example:443", "https", true},
		{"https://chat.example", "chat.example:443", "http", true}, // of the scheme no more than the port
		{"https://chat.example", "evil.example, chat.example", "http, https", true},
		{"https://chat.example", "chat.example", "wss", true},
		{"http://chat.example", "chat.example", "http", true},
		{"http://chat.example", "chat.example", "ws", true},
		{"http://chat.example:8080", "chat.example:8080", "https", true},
		{"http://[2001:db8::1]", "[2001:db8::1]", "http", true},
		{"https://[2001:db8::1]:8443", "[2001:db8::1]:8443", "https", true},

		{"http://chat.example", "chat.example", "https", false},
		{"https://chat.example", "chat.example", "http", false},
		{"https://chat.example", "chat.example:8443", "https", false},
		{"https://chat.example:8443", "chat.example", "https", false},
		{evil, "evil.example, chat.example", "https", false}, // a client's own word comes first
		{evil, "chat.example", "https", false},
		{"null", "null", "https", false},
		{"https://chat.example", "", "https", false},
		{"https://chat.example", "chat.example,", "https", false},
		{"https://user@chat.example", "chat.example", "https", false},
		{"ftp://chat.example", "chat.example", "", false},
	} {
		for _, r := range []*rig{trusting, wary} {
			may := tt.may && r == trusting
			set := forwarded(tt.host, tt.proto)
			a := r.do("POST", "/sessions", "", header("Origin", tt.origin), func(req *http.Request) { set(req.Header) })
			if (a.StatusCode == 201) != may {
				t.Errorf("%+v, trusted %v: POST is %s", tt, r == trusting, a.Status)
			}
			h := http.Header{"Origin": {tt.origin}}
			set(h)
			ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
			ws, resp, err := websocket.Dial(ctx, r.url+"/ws", &websocket.DialOptions{HTTPHeader: h})
			cancel()
			if (err == nil) != may || err != nil && (resp == nil || resp.StatusCode != 403) {
				t.Errorf("%+v, trusted %v: a WebSocket: %v", tt, r == trusting, err)
			}
			if err == nil {
				_ = ws.CloseNow()
			}
		}
	}
	// The Host itself stays the hub's own.
	trusting.do("POST", "/sessions", "", header("Origin", trusting.url), header("X-Forwarded-Host", "chat.example")).want(201)
}

// TestLoopbackHostOfAnOrigin: E3. On a loopback address the hosts of the origins that
// are listed are served, by whatever port, and no forwarded one.
func TestLoopbackHostOfAnOrigin(t *testing.T) {
	r := newRig(t, proxied(shop, "https://[2001:db8::1]:8443"), withAPI(func(c *httpapi.Config) { c.LoopbackOnly = true }))
	for host, may := range map[string]bool{
		"shop.example": true, "SHOP.example": true, "shop.example:8080": true, "[2001:db8::1]": true, "[2001:db8::1]:8443": true, "localhost": true,
		"www.shop.example": false, "shop.example.evil.example": false, "evil.example": false, "shop.example.": false, "": false,
	} {
		for _, path := range []string{"/", "/healthz"} {
			a := r.do("GET", path, "", func(req *http.Request) { req.Host = host }, header("X-Forwarded-Host", "shop.example"))
			if host != "" && (a.StatusCode == 200) != may { // without a Host Go's client sends its own
				t.Errorf("Host %q: GET %s is %s", host, path, a.Status)
			}
		}
	}
	r.do("POST", "/sessions", "", func(req *http.Request) { req.Host = "shop.example" }, header("Origin", shop)).want(201)
	a := r.do("GET", "/", "", func(req *http.Request) { req.Host = "evil.example" }, header("Origin", evil)).wantError(403, "forbidden_origin")
	if told := strings.Count(r.log.String(), "host=evil.example "); told != 1 {
		t.Errorf("the log tells of the host %d times, want 1:\n%s", told, r.log.String())
	}
	if _, text := a.failure(); !strings.Contains(text, `"evil.example"`) || !strings.Contains(text, `"`+evil+`"`) || !strings.Contains(text, "ALLOWED_ORIGINS") {
		t.Errorf("refused with %q", text)
	}
}

// TestForbiddenOriginTells: what was compared stands in the answer and, once a minute
// and origin, in the log, both bounded.
func TestForbiddenOriginTells(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		told := func(origin string) int { return strings.Count(r.log.String(), "origin="+origin+" ") }
		from := func(origin string) answered {
			return r.do("POST", "/sessions", "", header("Origin", origin), header("X-Forwarded-Host", "chat.example")).wantError(403, "forbidden_origin")
		}
		for range 3 {
			_, text := from(evil).failure()
			for _, want := range []string{`"` + evil + `"`, `"node1.test"`, "ALLOWED_ORIGINS"} {
				if !strings.Contains(text, want) {
					t.Errorf("the answer does not name %s: %q", want, text)
				}
			}
			if strings.Contains(text, "chat.example") {
				t.Errorf("a host that nobody compared: %q", text)
			}
		}
		from("https://other.example")
		if a, b := told(evil), told("https://other.example"); a != 1 || b != 1 || !strings.Contains(r.log.String(), "node1.test") {
			t.Errorf("told %d and %d times, want once each:\n%s", a, b, r.log.String())
		}
		pass(59 * time.Second)
		from(evil)
		if told(evil) != 1 {
			t.Error("told again within a minute")
		}
		pass(time.Second)
		from(evil)
		if told(evil) != 2 {
			t.Error("not told again after a minute")
		}
		// A client can make up any number.
		before := strings.Count(r.log.String(), "ALLOWED_ORIGINS")
		for i := range 1200 {
			from(fmt.Sprintf("https://%d.example", i))
		}
		if n := strings.Count(r.log.String(), "ALLOWED_ORIGINS") - before; n < 900 || n > 1000 {
			t.Errorf("of 1200 origins the log tells %d", n)
		}
		_, text := from("https://" + strings.Repeat("x", 8<<10)).failure()
		if len(text) > 1<<10 {
			t.Errorf("an answer of %d bytes", len(text))
		}
	})
}

// logged is a value as slog's text handler writes what quotes show.
// tokenOfSize is a good token of so many bytes.
func tokenOfSize(t *testing.T, size int) string {
	t.Helper()
	for pad := size; pad > 0; pad-- {
		if token := tokenOf(t, "me", "pad", strings.Repeat("x", pad*3/4)); len(token) <= size {
			return token
		}
	}
	t.Fatal("no token is so short")
	return ""
}

// TestTokenSize: one may have 16 KiB, and is told when it has more.
func TestTokenSize(t *testing.T) {
	r := newRig(t, withSecret(t))
	fits, long := tokenOfSize(t, 16<<10), tokenOfSize(t, 16<<10)+"xxxx"
	r.do("POST", "/sessions", "", authorized(fits)).want(201)
	r.join("/ws", offering("chathub.v1", "bearer."+fits))
	for _, long := range []string{long, strings.Repeat("x", 20<<10)} {
		a := r.do("POST", "/sessions", "", authorized(long)).wantError(401, "unauthorized")
		if _, text := a.failure(); !strings.Contains(text, "too long") || a.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			t.Errorf("refused with %q, %v", text, a.Header)
		}
		p := r.dial("/ws", offering("chathub.v1", "bearer."+long))
		p.wantClose(4401)
	}
	a := r.do("POST", "/sessions", "", authorized("x.y.z")).wantError(401, "unauthorized")
	if _, text := a.failure(); strings.Contains(text, "long") {
		t.Errorf("a short one is refused with %q", text)
	}
}

// TestCloseReason: a reason that is not UTF-8 is 1007, any other is sent back.
func TestCloseReason(t *testing.T) {
	r := newRig(t)
	for reason, want := range map[string]int{
		"":                                1000,
		"bye":                             1000,
		"tschüß":                          1000,
		"\xff":                            1007,
		"bye \xc3":                        1007,
		"\xed\xa0\x80":                    1007,
		strings.Repeat("x", 123):          1000,
		strings.Repeat("x", 122) + "\x80": 1007,
	} {
		s := r.raw("/ws")
		if _, err := io.WriteString(s.conn, masked(0x88, "\x03\xe8"+reason)); err != nil {
			t.Fatal(err)
		}
		if got, before := s.ended(); got != want || len(before) != 0 {
			t.Errorf("a close for %q is answered by %d behind %q, want %d", reason, got, before, want)
		}
	}
}

// TestTooLargeByItsHeader: a frame that says it is too large is refused before any of
// it has come, whatever came before.
func TestTooLargeByItsHeader(t *testing.T) {
	const limit = 6*64<<10 + 4<<10
	r := newRig(t)
	ping := masked(0x81, `{"type":"ping"}`)
	for name, tt := range map[string]struct {
		bytes string
		pongs int
	}{
		"a gigabyte":           {claiming(1 << 30), 0},
		"one byte too many":    {claiming(limit + 1), 0},
		"without its mask yet": {claiming(limit + 1)[:10], 0},
		"binary":               {"\x82" + claiming(limit + 1)[1:], 0},
		"behind others":        {ping + ping + claiming(limit+1), 2},
		"by its last part":     {masked(0x01, strings.Repeat("x", 300<<10)) + masked(0x89, "in between") + "\x80" + claiming(limit - 300<<10 + 1)[1:], 0},
		"in parts of 64 KiB":   {strings.Repeat(" ", 0) + masked(0x01, strings.Repeat("x", 65000)) + strings.Repeat(masked(0x00, strings.Repeat("x", 65000)), 5) + "\x00\xfe" + "\xff\xff", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.raw("/ws")
			for at := 0; at < len(tt.bytes); at += 7000 { // in pieces that end anywhere
				if _, err := io.WriteString(s.conn, tt.bytes[at:min(len(tt.bytes), at+7000)]); err != nil {
					t.Fatal(err)
				}
			}
			if got, before := s.ended(); got != 1009 || len(before) != tt.pongs {
				t.Errorf("ended with %d behind %q", got, before)
			}
		})
	}
	// The largest that is allowed is not, whole or in parts, and the next one counts anew.
	s := r.raw("/ws")
	whole := strings.Repeat("x", limit)
	for _, bytes := range []string{masked(0x81, whole), masked(0x01, whole[:limit/2]) + masked(0x80, whole[limit/2:]), ping} {
		if _, err := io.WriteString(s.conn, bytes); err != nil {
			t.Fatal(err)
		}
		if text, err := s.read(); err != nil || !strings.Contains(string(text), "message_too_large") && !strings.Contains(string(text), "pong") {
			t.Errorf("answered by %q, %v", text, err)
		}
	}
}

// TestForeignRequestsAreNoUse: S13. What is refused as somebody else's does not keep a
// session alive.
func TestForeignRequestsAreNoUse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		long := time.Now().Add(100 * time.Hour).Unix()
		mine, yours := tokenOf(t, "me", "exp", long), tokenOf(t, "you", "exp", long)
		id := decode[chatSession](t, r.do("POST", "/sessions", "", authorized(mine)).want(201)).ID
		r.do("POST", "/chat", chatBody(id, "hi"), authorized(mine)).want(200)
		pass(23 * time.Hour)
		for _, route := range [][2]string{
			{"GET", "/sessions/" + id}, {"GET", "/sessions/" + id + "/stream"}, {"POST", "/sessions/" + id + "/stop"},
			{"POST", "/api/chat/" + id + "/stop"}, {"DELETE", "/sessions/" + id},
		} {
			r.do(route[0], route[1], "", authorized(yours)).wantError(404, "session_not_found")
		}
		r.do("POST", "/chat", chatBody(id, "hi"), authorized(yours)).wantError(404, "session_not_found")
		r.do("POST", "/api/chat", sdkBody(t, id, "submit-message", "", sdkSays("user", "m", "hi")), authorized(yours)).wantError(404, "session_not_found")
		r.do("GET", "/api/chat/"+id+"/stream", "", authorized(yours)).want(204)
		r.dial("/ws/"+id, offering("chathub.v1", "bearer."+yours)).wantClose(4404)
		pass(time.Hour + time.Minute)
		r.do("GET", "/sessions/"+id, "", authorized(mine)).wantError(404, "session_not_found")
	}, withSecret(t))
}

// TestSameEditThrice: S16. An edit that is sent again, its answer having been lost, is
// asked once.
func TestSameEditThrice(t *testing.T) {
	r := newRig(t)
	id := newID()
	r.submit(id, "m", "hi").rest()
	for range 3 {
		r.follow("POST", "/api/chat", sdkBody(t, id, "submit-message", "m", sdkSays("user", "m", "edited"))).rest()
	}
	r.wantSaid(id, "edited", "You said: edited")
	if n := r.asked(); n != 2 {
		t.Errorf("the model was asked %d times, want 2", n)
	}
}

// TestStopsOfAPeerThatDoesNotRead: S20. What answers its frames is bounded, and then it
// is not read either.
func TestStopsOfAPeerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) { // where a write waits for the peer to read
		p := r.join("/ws")
		took := 0
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for ; took < 43_000; took++ {
			if err := p.ws.Write(ctx, websocket.MessageText, []byte(`{"type":"stop"}`)); err != nil {
				break
			}
		}
		// The library's buffer holds some more frames than have been answered.
		if took < 60 || took > 64+64 {
			t.Errorf("%d frames were taken", took)
		}
	})
}
