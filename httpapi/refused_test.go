package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lumos/backend/hub"
)

// answers reads responses from a bare connection.
type answers struct {
	t  *testing.T
	in *bufio.Reader
}

// wireTo opens a bare connection to r.
func wireTo(t *testing.T, r *rig) (net.Conn, answers) {
	t.Helper()
	c, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(rigPatience)); err != nil {
		t.Fatal(err)
	}
	return c, answers{t, bufio.NewReader(c)}
}

// want reads the next response, which must have this status.
func (a answers) want(status int) *http.Response {
	a.t.Helper()
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		a.t.Fatalf("%v, want %d", err, status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		a.t.Fatalf("%s (%v), want %d: %s", resp.Status, err, status, body)
	}
	return resp
}

// wantEnd reads the end of the connection.
func (a answers) wantEnd() {
	a.t.Helper()
	if rest, _ := io.ReadAll(a.in); len(rest) > 0 {
		a.t.Errorf("the connection goes on with %.200q", rest)
	}
}

// exhausted is a server at which the client with the address 192.0.2.1 has used
// up its messages and sessions for a minute.
func exhausted(t *testing.T) *rig {
	r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 1}))
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).want(200)
	r.do("POST", "/sessions", "", from("192.0.2.1")).want(201)
	return r
}

// limitedRoutes are those that limits of a client hold for.
var limitedRoutes = []string{"/chat", "/api/chat", "/sessions"}

func post(path, headers string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: 192.0.2.1\r\n" + headers + "\r\n"
}

// TestRefusedBeforeBody: what a client's limits refuse is refused before any of
// its body is there, and the connection is as good as before when the body has
// come.
func TestRefusedBeforeBody(t *testing.T) {
	r := exhausted(t)
	for _, path := range limitedRoutes {
		for _, size := range []int{1, 1000, 300 << 10, 5 << 20} {
			t.Run(fmt.Sprint(path, " ", size), func(t *testing.T) {
				c, in := wireTo(t, r)
				_, _ = io.WriteString(c, post(path, fmt.Sprintf("Content-Length: %d\r\n", size)))
				resp := in.want(429)
				if resp.Header.Get("Retry-After") == "" || resp.Close {
					t.Errorf("refused with %v", resp.Header)
				}
				// The body looks like requests, of which none may be heard.
				fake := strings.Repeat(get("/healthz"), 1+size/len(get("/healthz")))
				if _, err := io.WriteString(c, fake[:size]+get("/readyz")+get("/nothing")); err != nil {
					t.Fatal(err)
				}
				in.want(200)
				in.want(404)
			})
		}
		t.Run(path+" in chunks", func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, post(path, "Transfer-Encoding: chunked\r\n"))
			if resp := in.want(429); !resp.Close {
				t.Errorf("refused with %v", resp.Header)
			}
			_, _ = io.WriteString(c, "5\r\nhello\r\n0\r\n\r\n"+get("/healthz"))
			in.wantEnd()
		})
		t.Run(path+" asked for first", func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, post(path, "Expect: 100-continue\r\nContent-Length: 1000\r\n"))
			if resp := in.want(429); !resp.Close {
				t.Errorf("refused with %v", resp.Header)
			}
		})
		t.Run(path+" with the header", func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, post(path, "Content-Length: 5\r\n")+"hello"+get("/readyz"))
			in.want(429)
			in.want(200)
		})
		t.Run(path+" without end", func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, post(path, fmt.Sprintf("Content-Length: %d\r\n", 1<<40)))
			if resp := in.want(429); !resp.Close {
				t.Errorf("refused with %v", resp.Header)
			}
			some := make([]byte, 1<<20)
			for n := 0; ; n++ {
				if _, err := c.Write(some); err != nil {
					break
				}
				if n == 1000 {
					t.Fatal("a gigabyte was taken behind the refusal")
				}
			}
		})
	}
	if n := r.asked(); n != 1 {
		t.Errorf("the model was asked %d times", n)
	}
}

// TestTooManyRepliesBeforeBody: a client for whom as many replies run as may is refused
// before its body is there, too, and heard again when one has ended.
func TestTooManyRepliesBeforeBody(t *testing.T) {
	onStores(t, func(t *testing.T, stores rigOption) {
		r := newRig(t, stores, behindProxy, withLimits(hub.Limits{RepliesPerClient: 1}))
		answer, gate := held(1, "one ", "two")
		r.answer("go", answer)
		first := r.later("POST", "/chat", `{"message":"go"}`, from("192.0.2.1"))
		gate.wait(t)
		for _, path := range []string{"/chat", "/api/chat"} {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, post(path, "Content-Length: 1000\r\n"))
			if resp := in.want(429); resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: refused with %v", path, resp.Header)
			}
			r.do("POST", path, `{`, from("192.0.2.2")).want(400)
		}
		gate.open()
		first().want(200)
		eventually(t, "the client is heard again", func() bool { // it is counted for a moment longer
			return r.do("POST", "/chat", `{"message":"more"}`, from("192.0.2.1")).StatusCode == 200
		})
	})
}

// TestRefusedCounts: a request counts when it comes, whatever its body says
// then; one that is refused for its limits has no effect.
func TestRefusedCounts(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 2}))
	r.do("POST", "/chat", `{`, from("192.0.2.1")).wantError(400, "invalid_request")
	r.do("POST", "/api/chat", `{}`, from("192.0.2.1")).wantError(404, "session_not_found")
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).wantError(429, "rate_limited")
	r.do("POST", "/chat", `{`, from("192.0.2.1")).wantError(429, "rate_limited")
	r.do("POST", "/sessions", `[`, from("192.0.2.1")).wantError(400, "invalid_request")
	r.do("POST", "/sessions", ``, from("192.0.2.1")).want(201)
	r.do("POST", "/sessions", `[`, from("192.0.2.1")).wantError(429, "rate_limited")
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.2")).want(200)
}

// TestAnyRefusalBeforeBody: so is whatever else is refused without a look at
// the body.
func TestAnyRefusalBeforeBody(t *testing.T) {
	r := newRig(t, withSecret(t))
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"no token":           {"POST /chat HTTP/1.1\r\nHost: hub\r\n", 401},
		"a foreign page":     {"POST /api/chat HTTP/1.1\r\nHost: hub\r\nOrigin: https://evil.example\r\n", 403},
		"nothing there":      {"POST /nothing HTTP/1.1\r\nHost: hub\r\n", 404},
		"another method":     {"PUT /chat HTTP/1.1\r\nHost: hub\r\n", 405},
		"no such session":    {"DELETE /sessions/" + someID + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + tokenOf(t, "me") + "\r\n", 404},
		"nothing to stop":    {"POST /sessions/" + someID + "/stop HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + tokenOf(t, "me") + "\r\n", 404},
		"nothing to follow":  {"GET /sessions/" + someID + "/stream HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + tokenOf(t, "me") + "\r\n", 404},
		"no WebSocket":       {"GET /ws HTTP/1.1\r\nHost: hub\r\n", 426},
		"a WebSocket's body": {"GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n", 426},
	} {
		t.Run(name, func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = io.WriteString(c, tt.request+"Content-Length: 100000\r\n\r\n")
			in.want(tt.status)
			_, _ = io.WriteString(c, strings.Repeat("x", 100000)+get("/healthz"))
			in.want(200)
		})
	}
}

// TestRefusedInTheMiddle: a body that is refused before its end has come leaves
// the connection as good as before, too.
func TestRefusedInTheMiddle(t *testing.T) {
	r := newRig(t)
	for name, tt := range map[string]struct {
		path, begin string
		size        int
		status      int
	}{
		"no JSON":             {"/chat", `{"message":hi`, 1000, 400},
		"a wrong type":        {"/chat", `{"message":7`, 100_000, 400},
		"a list":              {"/sessions", `[`, 300_000, 400},
		"a wrong type inside": {"/api/chat", `{"messages":[7`, 10_000_000, 400},
		"not UTF-8":           {"/api/chat", "{\"x\":\"\xff", 10_000_000, 400},
		"too large":           {"/chat", `{"x":"`, 10_000_000, 413},
	} {
		t.Run(name, func(t *testing.T) {
			c, in := wireTo(t, r)
			_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: hub\r\nContent-Length: %d\r\n\r\n%s", tt.path, tt.size, tt.begin)
			if tt.status == 400 {
				in.want(400) // at once
			}
			_, _ = io.WriteString(c, strings.Repeat("x", tt.size-len(tt.begin))+get("/healthz"))
			if tt.status != 400 {
				in.want(tt.status)
			}
			in.want(200)
		})
	}
}
