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

// exchange sends bytes on a connection of its own and returns the responses until
// the server closes it, or as many as are wanted.
func (r *rig) exchange(bytes string, want int) []*http.Response {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(rigPatience)); err != nil {
		r.t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(c, bytes) }() // it may be closed before it has taken all
	var all []*http.Response
	for in := bufio.NewReader(c); len(all) < want; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatalf("a response breaks off: %v", err)
		}
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
		all = append(all, resp)
	}
	return all
}

// statuses are those of the responses to bytes.
func (r *rig) statuses(bytes string, want int) string {
	r.t.Helper()
	var list []string
	for _, resp := range r.exchange(bytes, want) {
		list = append(list, fmt.Sprint(resp.StatusCode))
	}
	return strings.Join(list, " ")
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: hub\r\n\r\n" }

// TestPathTricks: a path is what it says, byte for byte, and nothing leads from
// one route to another.
func TestPathTricks(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	for _, path := range []string{
		"//", "//healthz", "/healthz/", "/./healthz", "/x/../healthz", "/%2e%2e/healthz", "/healthz%00", "/%68ealthz/x",
		"/sessions//" + id, "/sessions/" + id + "/", "/sessions/" + id + "/../" + id, "/sessions/" + id + "%2f..%2f..%2fmetrics",
		"/sessions/" + id + ";stream", "/ws/" + id + "/", "/ws/../metrics", "/static/../../etc/passwd", "/..%5c..%5cetc",
		"/widget.js/../../server.go", "/transport.js%00.html", "/METRICS", "/debug/pprof/", "/debug/vars", "/.env", "/.git/config",
	} {
		if got := r.statuses(get(path), 1); got != "404" && got != "400" {
			t.Errorf("GET %s: %s, want 404 or 400", path, got)
		}
	}
	for _, bad := range []string{
		strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id, id[:35], id + "0", id[:8] + "%2d" + id[9:35],
		"%00", "..", "-1", "0", "null", strings.Repeat("a", 4000), "%ff%fe", "*", id[:35] + "*",
	} {
		if got := r.statuses(get("/sessions/"+bad), 1); got != "400" && got != "404" {
			t.Errorf("a session answers to %q: %s", bad, got)
		}
	}
	if got := r.statuses(get("/sessions/"+strings.ToUpper(id)), 1); got != "200" {
		t.Errorf("an id in capitals: %s", got)
	}
	// An address in absolute form names the same routes (RFC 9112, section 3.2.2).
	if got := r.statuses("GET http://elsewhere/healthz HTTP/1.1\r\nHost: hub\r\n\r\n", 1); got != "200" {
		t.Errorf("absolute form: %s", got)
	}
}

// TestOldAndOddHTTP: HTTP/1.0, pipelining, and what smuggles requests.
func TestOldAndOddHTTP(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	chat := func(text, headers string) string {
		body := `{"message":"` + text + `","conversation_id":"` + id + `"}`
		return fmt.Sprintf("POST /chat HTTP/1.1\r\nHost: hub\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
	}
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	chunked := "Transfer-Encoding: chunked\r\n"
	for name, tt := range map[string]struct {
		bytes string
		most  int
		want  string
	}{
		"HTTP/1.0":                 {"GET /healthz HTTP/1.0\r\n\r\n", 2, "200"},
		"HTTP/1.0 that stays":      {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + "GET /readyz HTTP/1.0\r\n\r\n", 3, "200 200"},
		"WebSocket over HTTP/1.0":  {"GET /ws HTTP/1.0\r\nHost: hub\r\n" + upgrade, 1, "426"},
		"HTTP/0.9":                 {"GET /healthz\r\n\r\n", 1, "400"},
		"HTTP/3.0":                 {"GET /healthz HTTP/3.0\r\nHost: hub\r\n\r\n", 1, "505"},
		"no host":                  {"GET /healthz HTTP/1.1\r\n\r\n", 1, "400"},
		"two hosts":                {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 1, "400"},
		"pipelined":                {get("/healthz") + get("/nothing") + chat("hi", "") + get("/sessions/"+id), 4, "200 404 200 200"},
		"two lengths":              {"POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ", 1, "400"},
		"a length below zero":      {"POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: -1\r\n\r\n", 1, "400"},
		"an unknown coding":        {"POST /chat HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 1, "501"},
		"a coding in disguise":     {"POST /chat HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 1, "501"},
		"a chunk that is none":     {"POST /chat HTTP/1.1\r\nHost: hub\r\n" + chunked + "\r\nZZ\r\n\r\n", 1, "400"},
		"a header without a name":  {"GET /healthz HTTP/1.1\r\nHost: hub\r\n: x\r\n\r\n", 1, "400"},
		"a header with a space":    {"GET /healthz HTTP/1.1\r\nHost: hub\r\nX : x\r\n\r\n", 1, "400"},
		"a folded header":          {"GET /healthz HTTP/1.1\r\nHost: hub\r\nX: a\r\n b\r\n\r\n", 1, "200"},
		"TRACE":                    {"TRACE /healthz HTTP/1.1\r\nHost: hub\r\nCookie: secret\r\n\r\n", 1, "405"},
		"CONNECT":                  {"CONNECT hub:443 HTTP/1.1\r\nHost: hub:443\r\n\r\n", 1, "404"},
		"a method of its own":      {"GE%54 /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", 1, "405"},
		"a body nobody asked for":  {"GET /healthz HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello" + get("/readyz"), 2, "200 200"},
		"a promise and nothing":    {"POST /chat HTTP/1.1\r\nHost: hub\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", 1, "100"},
		"an answer to a preflight": {"OPTIONS /chat HTTP/1.1\r\nHost: hub\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n", 1, "204"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.statuses(tt.bytes, tt.most); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	// A request in what another reader takes for the body: chunked counts, and
	// the connection ends behind it (RFC 9112, section 6.1).
	hidden := "DELETE /sessions/" + id + " HTTP/1.1\r\nHost: hub\r\n\r\n"
	smuggling := fmt.Sprintf("POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: %d\r\n%s\r\n0\r\n\r\n%s", 5+len(hidden), chunked, hidden)
	if got := r.statuses(smuggling, 2); got != "400" {
		t.Errorf("two ways to tell a body's length: %s, want one answer", got)
	}
	r.session(id)
}

// TestJSONBombs: bodies that are deep, wide, many or ambiguous.
func TestJSONBombs(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	post := func(path, body string) answered { return r.do("POST", path, body) }
	for name, tt := range map[string]struct {
		body string
		want int
	}{
		"deep lists":       {`{"message":"hi","x":` + strings.Repeat("[", 100000), 400},
		"deep and closed":  {`{"message":"hi","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400},
		"deep objects":     {strings.Repeat(`{"message":`, 30000), 400},
		"many fields":      {`{"message":"hi"` + strings.Repeat(`,"x":1`, 50000) + `}`, 200},
		"a huge number":    {`{"message":"hi","x":` + strings.Repeat("9", 100000) + `}`, 200},
		"a huge exponent":  {`{"message":"hi","x":1e999999999}`, 200},
		"two values":       {`{"message":"hi"}{"message":"hi"}`, 400},
		"a comment":        {`{"message":"hi"/**/}`, 400},
		"a byte order":     {"\ufeff" + `{"message":"hi"}`, 400},
		"a list":           {`[{"message":"hi"}]`, 400},
		"text as a number": {`{"message":7}`, 400},
		"nothing":          {``, 400},
		"null":             {`null`, 400},
		"half a surrogate": {`{"message":"\ud800"}`, 200},
		"zero bytes":       {`{"message":"a\u0000b"}`, 200},
		"not UTF-8":        {`{"message":"` + "\xc3\x28" + `"}`, 400},
		"too large":        {`{"message":"` + strings.Repeat("x", 500<<10) + `"}`, 413},
		"too large inside": {`{"message":"` + strings.Repeat("x", 65537) + `"}`, 413},
		"largest":          {`{"message":"` + strings.Repeat(`\u0078`, 65536) + `"}`, 200},
	} {
		t.Run(name, func(t *testing.T) { post("/chat", tt.body).want(tt.want) })
	}
	// Of two fields of one name the last counts, for what is checked and for what is done.
	a := post("/chat", `{"message":"first","message":"second","conversation_id":"`+newID()+`","conversation_id":"`+id+`"}`).want(200)
	if s := r.session(id); len(s.Messages) != 2 || s.Messages[0].Content != "second" {
		t.Errorf("of two messages in one counted %+v: %s", s.Messages, a.body)
	}
	p := r.join("/ws")
	p.send(`{"type":"message","content":"one","type":"ping"}`)
	p.want("pong")
	p.send(`{"type":` + strings.Repeat("[", 100000))
	if f := p.want("error"); f.Code != "invalid_request" {
		t.Errorf("a deep frame is refused with %+v", f)
	}
	p.wantQuiet()
	parts := strings.Repeat(`{"type":"text","text":"x"},`, 70000)
	sdk := `{"id":"` + newID() + `","trigger":"submit-message","messages":[{"id":"a","role":"user","parts":[` + strings.TrimSuffix(parts, ",") + `]}]}`
	post("/api/chat", sdk).want(413)
}

// TestIDsOfOthers: an id opens what it names and nothing else.
func TestIDsOfOthers(t *testing.T) {
	r := newRig(t, withHub(func(c *hub.Config) { c.MaxMessageBytes = 100 }))
	mine := r.join("/ws")
	message := newID()
	mine.say(message, "mine")
	reply := mine.reply()
	theirs := r.newSession()
	// The id of a message or a reply is no session's.
	for _, id := range []string{message, reply.id, newID(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		r.do("GET", "/sessions/"+id, "").wantError(404, "session_not_found")
		r.do("DELETE", "/sessions/"+id, "").wantError(404, "session_not_found")
		r.dial("/ws/" + id).wantClose(4404)
	}
	// To another conversation the ids of this one are new, or unknown.
	r.do("POST", "/chat", `{"message":"theirs","conversation_id":"`+theirs+`"}`, header("Idempotency-Key", message)).want(200)
	p := r.join("/ws/" + theirs + "?after=" + reply.id + "&offset=3")
	if p.ready.After != "" || len(p.ready.Messages) != 2 || p.ready.Messages[0].Content != "theirs" {
		t.Errorf("resumed by another conversation's id: %+v", p.ready)
	}
	p.ask(map[string]string{"type": "regenerate", "of": reply.id})
	p.wantQuiet()
	p.ask(map[string]string{"type": "stop", "id": reply.id})
	p.want("stopped")
	r.do("GET", "/sessions/"+theirs+"/stream", "", header("Last-Event-ID", reply.id+":0")).want(204)
	if s := r.session(mine.ready.Conversation); len(s.Messages) != 2 || s.Messages[0].Content != "mine" {
		t.Errorf("the other conversation is now %+v", s.Messages)
	}
}
