package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"lumos/backend/httpapi"
	"lumos/backend/session/storetest"
)

// TestInternal: what nobody foresaw is 500 in our words, and logged.
func TestInternal(t *testing.T) {
	f := new(storetest.Faults)
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret of the server's") })
	r := newRig(t, withStore(store(shared).behind(f)),
		withAPI(func(c *httpapi.Config) { c.Static = panics }))
	f.Set(failing(errors.New("a secret of the store's")))
	check := func(a answered) {
		t.Helper()
		a.wantError(http.StatusInternalServerError, "internal")
		if strings.Contains(string(a.body), "secret") {
			t.Errorf("answered %s", a.body)
		}
	}
	check(r.do("POST", "/chat", chatBody("", "hi")))
	check(r.do("POST", "/sessions", ""))
	check(r.do("GET", "/sessions/"+someID, ""))
	resp, _ := r.send("GET", "/", "") // the page is not described to fail
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), `"internal"`) || strings.Contains(string(body), "secret") {
		t.Errorf("a panic is answered by %s, %s", resp.Status, body)
	}
	if log := r.log.String(); !strings.Contains(log, "a secret of the store's") || !strings.Contains(log, "a secret of the server's") {
		t.Error("the log does not say why")
	}
}

// TestInternalInFrames: the same where a frame meets it, and the connection stays.
func TestInternalInFrames(t *testing.T) {
	f := new(storetest.Faults)
	r := newRig(t, withStore(store(shared).behind(f)))
	p := r.join("/ws")
	f.Set(func(c storetest.Call) error {
		if c.Method == "Commit" { // nobody can say anything
			return errors.New("a secret of the store's")
		}
		return nil
	})
	p.ask(message(someID, "hi"))
	if e := p.want("error"); e.Code != "internal" || e.Ref != someID || strings.Contains(e.ErrorText, "secret") {
		t.Errorf("got %+v", e)
	}
	p.wantQuiet()
	if !strings.Contains(r.log.String(), "a secret of the store's") {
		t.Error("the log does not say why")
	}
}

// TestInternalAtConnecting: whatever read fails, the client is told to come
// again, and the log why.
func TestInternalAtConnecting(t *testing.T) {
	for reads := range int32(4) {
		t.Run(fmt.Sprint(reads), func(t *testing.T) {
			f := new(storetest.Faults)
			r := newRig(t, withStore(store(shared).behind(f)))
			id := r.newSession()
			var left atomic.Int32
			left.Store(reads)
			f.Set(func(c storetest.Call) error {
				if c.Method == "Load" && !c.Done && left.Add(-1) < 0 {
					return errors.New("a secret of the store's")
				}
				return nil
			})
			p := r.dial("/ws/" + id)
			if reads == 3 { // the session's check, its being held, and what ready is made of
				p.want("ready")
			}
			p.wantClose(1013)
			if !strings.Contains(r.log.String(), "a secret of the store's") {
				t.Errorf("the log does not say why: %s", r.log.String())
			}
		})
	}
}

// TestDraining: what is new is refused, what is there can be read.
func TestDraining(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	r.do("POST", "/chat", chatBody(id, "before")).want(http.StatusOK)
	ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
	defer cancel()
	r.hub.Drain(ctx) // nobody is there, so it takes no time
	for _, route := range []struct{ method, path, body string }{
		{"GET", "/readyz", ""}, {"POST", "/sessions", ""},
		{"POST", "/chat", chatBody("", "hi")}, {"POST", "/chat", chatBody(id, "hi")},
	} {
		r.do(route.method, route.path, route.body).wantError(http.StatusServiceUnavailable, "draining")
	}
	r.dial("/ws").wantClose(1001)
	r.dial("/ws/" + id).wantClose(1001)
	r.do("GET", "/healthz", "").want(http.StatusOK)
	if s := r.session(id); len(s.Messages) != 2 {
		t.Errorf("stored: %+v", s)
	}
	r.do("GET", "/sessions/"+id+"/stream", "").want(http.StatusNoContent)
	r.do("POST", "/sessions/"+id+"/stop", "").want(http.StatusOK)
	r.do("DELETE", "/sessions/"+id, "").want(http.StatusOK)
}

// TestRawRequests are what no HTTP library would send.
func TestRawRequests(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	host := strings.TrimPrefix(r.url, "http://")
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"HTTP/1.0 at /ws", "GET /ws HTTP/1.0\r\nHost: " + host + "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 426},
		{"a body that is cut", "POST /chat HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 100\r\n\r\n{\"mess", 400},
		{"a broken chunk", "POST /chat HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n", 400},
		{"an absolute target", "GET http://elsewhere.example/healthz HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n", 200},
		{"GET with a body", "GET /sessions/" + id + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 200},
	} {
		wire, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(wire, tt.request); err != nil {
			t.Fatal(err)
		}
		_ = wire.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(wire), nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if _ = resp.Body.Close(); resp.StatusCode != tt.status {
			t.Errorf("%s: %s, want %d", tt.name, resp.Status, tt.status)
		}
		_ = wire.Close()
	}
	if r.asked() != 0 {
		t.Errorf("the model was asked %d times", r.asked())
	}
}

// TestLog: what it must never hold.
func TestLog(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	p.say("", "my darling secret")
	p.reply()
	id := p.ready.Conversation
	r.do("POST", "/chat", chatBody(id, "my darling secret")).want(http.StatusOK)
	p.want("message")
	p.reply()
	r.do("GET", "/sessions/"+id+"/stream?x="+id, "").want(http.StatusNoContent)
	r.do("GET", "/sessions/"+strings.ToUpper(id), "").want(http.StatusOK)
	r.do("GET", "/nope/"+id+"/"+id, "").want(http.StatusNotFound)
	r.do("DELETE", "/sessions/"+id, "", header("X-Request-Id", "mine-1")).want(http.StatusOK)
	p.wantClose(4404)
	r.stop()
	log := r.log.String()
	if !strings.Contains(log, "mine-1") || !strings.Contains(log, id[:8]) {
		t.Errorf("the log lacks the requests:\n%s", log)
	}
	for _, secret := range []string{id, strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "darling", "You said", rigKey} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}
