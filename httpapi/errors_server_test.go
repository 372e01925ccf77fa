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

	"github.com/google/uuid"

	"lumos/backend/httpapi"
	"lumos/backend/session"
)

// TestInternal: what nobody foresaw is 500 in our words, and logged.
func TestInternal(t *testing.T) {
	f := &faultyStore{}
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret of the server's") })
	r := newRig(t, withStore(func(s session.Store) session.Store { f.Store = s; return f }),
		withAPI(func(c *httpapi.Config) { c.Static = panics }))
	f.fail(errors.New("a secret of the store's"))
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

// mute is a store that lets nobody say anything.
type mute struct{ session.Store }

func (mute) Say(context.Context, session.Ref, session.Turn) (session.Said, error) {
	return session.Said{}, errors.New("a secret of the store's")
}

// TestInternalInFrames: the same where a frame meets it, and the connection stays.
func TestInternalInFrames(t *testing.T) {
	r := newRig(t, withStore(func(s session.Store) session.Store { return mute{s} }))
	p := r.join("/ws")
	p.ask(message(someID, "hi"))
	if e := p.want("error"); e.Code != "internal" || e.Ref != someID || strings.Contains(e.ErrorText, "secret") {
		t.Errorf("got %+v", e)
	}
	p.wantQuiet()
	if !strings.Contains(r.log.String(), "a secret of the store's") {
		t.Error("the log does not say why")
	}
}

// unreadable is a store that can be read so many times.
type unreadable struct {
	session.Store
	left atomic.Int32
}

func (u *unreadable) Find(ctx context.Context, id uuid.UUID) (session.Session, error) {
	if u.left.Add(-1) < 0 {
		return session.Session{}, errors.New("a secret of the store's")
	}
	return u.Store.Find(ctx, id)
}

func (u *unreadable) Get(ctx context.Context, ref session.Ref, after session.Position) (session.Session, error) {
	if u.left.Add(-1) < 0 {
		return session.Session{}, errors.New("a secret of the store's")
	}
	return u.Store.Get(ctx, ref, after)
}

// TestInternalAtConnecting: whatever read fails, the client is told to come
// again, and the log why.
func TestInternalAtConnecting(t *testing.T) {
	for reads := range int32(3) {
		t.Run(fmt.Sprint(reads), func(t *testing.T) {
			u := &unreadable{}
			r := newRig(t, withStore(func(s session.Store) session.Store { u.Store = s; return u }))
			id := r.newSession()
			u.left.Store(reads)
			p := r.dial("/ws/" + id)
			if reads == 2 { // the session's check, and what ready is made of
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
