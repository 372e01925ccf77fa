package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// tenants is a hub with tokens and two who use it: mallory, who had the session
// first, and ann, who made it again under its id.
type tenants struct {
	*rig
	id           string // the session
	mallory, ann string // their tokens
}

// secret is what ann says, which mallory must never be sent.
const secret = "the launch code is 4711"

func newTenants(t *testing.T, options ...rigOption) *tenants {
	t.Helper()
	return &tenants{
		rig: newRig(t, append(options, withSecret(t))...), id: uuid.NewString(),
		mallory: tokenOf(t, "mallory"), ann: tokenOf(t, "ann"),
	}
}

// chat is a body of POST /api/chat.
func (x *tenants) chat(trigger, message, text string) string {
	return fmt.Sprintf(`{"id":%q,"trigger":%q,"messages":[{"id":%q,"role":"user","parts":[{"type":"text","text":%q}]}]}`, x.id, trigger, message, text)
}

// as sends a request with a token.
func (x *tenants) as(token, method, path, body string, change ...func(*http.Request)) answered {
	x.t.Helper()
	return x.do(method, path, body, append(change, authorized(token))...)
}

// taken deletes mallory's session and makes it again for ann, who says the
// secret in it.
func (x *tenants) taken() {
	x.t.Helper()
	x.as(x.mallory, "DELETE", "/sessions/"+x.id, "").want(http.StatusOK)
	x.as(x.ann, "POST", "/api/chat", x.chat("submit-message", "a1", secret)).want(http.StatusOK)
}

// wantAnns fails unless the conversation holds what ann and the model said.
func (x *tenants) wantAnns() {
	x.t.Helper()
	got := x.as(x.ann, "GET", "/sessions/"+x.id, "").want(http.StatusOK)
	if n := strings.Count(string(got.body), `"content"`); n != 2 || !strings.Contains(string(got.body), secret) {
		x.t.Errorf("ann's conversation holds %d messages: %s", n, got.body)
	}
}

// wantNoSecret fails if mallory was sent something of ann's.
func (x *tenants) wantNoSecret(what string, sent any) {
	x.t.Helper()
	if got := fmt.Sprintf("%s", sent); strings.Contains(got, secret) {
		x.t.Errorf("%s: mallory was sent ann's message: %.300s", what, got)
	}
}

// withBearer offers a token beside the dialect.
func withBearer(dialect, token string) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) { o.Subprotocols = []string{dialect, "bearer." + token} }
}

// long answers with 14 MB, which no socket holds.
func long() mistralsim.Answer {
	tokens := make([]string, 1750)
	for i := range tokens {
		tokens[i] = strings.Repeat(fmt.Sprintf("%07d ", i), 1000)
	}
	return mistralsim.Answer{Tokens: tokens}
}

// TestStalledThroughRemaking: a connection that takes nothing while its session
// is deleted and made again by somebody else gets the rest of what was its own
// and is closed with 4404. What it asks meanwhile is not heard.
func TestStalledThroughRemaking(t *testing.T) {
	onStores(t, func(t *testing.T, stores rigOption) {
		x := newTenants(t, stores)
		x.answer("long", long())
		x.as(x.mallory, "POST", "/api/chat", x.chat("submit-message", "m0", "hi")).want(http.StatusOK)
		p := x.join("/ws/"+x.id, withBearer("chathub.v1", x.mallory))
		p.say("", "long")
		p.begin()
		eventually(t, "the long reply is stored", func() bool {
			got := x.as(x.mallory, "GET", "/sessions/"+x.id, "")
			return strings.Count(string(got.body), `"role"`) == 4
		})
		answer, gate := held(1, "for ", "ann")
		x.answer(secret, answer)
		x.as(x.mallory, "DELETE", "/sessions/"+x.id, "").want(http.StatusOK)
		reply := x.later("POST", "/api/chat", x.chat("submit-message", "a1", secret), authorized(x.ann))
		gate.wait(t)
		p.ask(message("", "mallory was here"))
		p.ask(map[string]string{"type": "stop"})
		p.ask(map[string]string{"type": "regenerate"})
		x.wantNoSecret("the rest", fmt.Sprintf("%+v", p.wantClose(4404)))
		gate.open()
		if got := reply().want(http.StatusOK); !strings.Contains(string(got.body), `"delta":"ann"`) {
			t.Errorf("ann's reply was stopped: %s", got.body)
		}
		x.wantAnns()
	})
}

// TestStreamsThroughRemaking: streams and answers that were open when the
// session was deleted end with it.
func TestStreamsThroughRemaking(t *testing.T) {
	onStores(t, func(t *testing.T, stores rigOption) {
		x := newTenants(t, stores)
		x.as(x.mallory, "POST", "/api/chat", x.chat("submit-message", "m0", "hi")).want(http.StatusOK)
		answer, gate := held(1, "for ", "mallory")
		x.answer("hold", answer)
		waits := x.later("POST", "/chat", `{"message":"hold","conversation_id":"`+x.id+`"}`, authorized(x.mallory))
		gate.wait(t)
		var streams []*http.Response
		for _, path := range []string{"/sessions/" + x.id + "/stream", "/api/chat/" + x.id + "/stream"} {
			resp, _ := x.send("GET", path, "", authorized(x.mallory))
			streams = append(streams, resp)
		}
		deep, _, err := websocket.Dial(t.Context(), x.url+"/ws/"+x.id, &websocket.DialOptions{
			HTTPClient: x.client, Subprotocols: []string{"deep-chat", "bearer." + x.mallory},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer deep.CloseNow()
		x.taken()
		gate.open()
		waits().wantError(http.StatusNotFound, "session_not_found")
		for _, resp := range streams {
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !strings.Contains(string(got), `"type":"abort"`) {
				t.Errorf("the stream ended with %v behind %s", err, got)
			}
			x.wantNoSecret("a stream", got)
		}
		for {
			ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
			_, data, err := deep.Read(ctx)
			cancel()
			x.wantNoSecret("deep-chat", data)
			if err != nil {
				if got := websocket.CloseStatus(err); got != 4404 {
					t.Errorf("deep-chat ends with %v", err)
				}
				break
			}
		}
		x.wantAnns()
	})
}

// TestRemadeBehindTheDoor deletes a session and makes it again for somebody else
// between the moment in which a request was found to be its owner's and the step
// that it asks for, on every route.
func TestRemadeBehindTheDoor(t *testing.T) {
	notFound := func(x *tenants, got answered) {
		x.t.Helper()
		got.wantError(http.StatusNotFound, "session_not_found")
	}
	rest := func(method, path, body string, change ...func(*http.Request)) func(x *tenants, before string) {
		return func(x *tenants, before string) {
			x.t.Helper()
			replace := strings.NewReplacer("ID", x.id, "LAST", before)
			got := x.as(x.mallory, method, replace.Replace(path), replace.Replace(body), append(change, func(r *http.Request) {
				if r.Header.Get("Last-Event-ID") != "" {
					r.Header.Set("Last-Event-ID", before+":end")
				}
			})...)
			x.wantNoSecret(path, got.body)
			if strings.HasSuffix(path, "/api/chat/ID/stream") {
				got.want(http.StatusNoContent)
				return
			}
			notFound(x, got)
		}
	}
	sdk := func(trigger, message, extra string) string {
		return `{"id":"ID",` + extra + `"trigger":"` + trigger + `","messages":[{"id":"m0","role":"user","parts":[{"type":"text","text":"hi"}]},{"id":"` + message + `","role":"user","parts":[{"type":"text","text":"mallory was here"}]}]}`
	}
	socket := func(dialect, query string) func(x *tenants, before string) {
		return func(x *tenants, before string) {
			p := x.dial("/ws/"+x.id+strings.ReplaceAll(query, "LAST", before), withBearer(dialect, x.mallory))
			x.wantNoSecret(query, fmt.Sprintf("%+v", p.wantClose(4404)))
		}
	}
	for name, try := range map[string]func(x *tenants, before string){
		"read":              rest("GET", "/sessions/ID", ""),
		"delete":            rest("DELETE", "/sessions/ID", ""),
		"stop":              rest("POST", "/sessions/ID/stop", ""),
		"stream":            rest("GET", "/sessions/ID/stream", ""),
		"resume":            rest("GET", "/sessions/ID/stream", "", header("Last-Event-ID", "x")),
		"say":               rest("POST", "/chat", `{"message":"mallory was here","conversation_id":"ID"}`),
		"say as a stream":   rest("POST", "/chat", `{"message":"mallory was here","conversation_id":"ID"}`, header("Accept", "text/event-stream")),
		"say with a key":    rest("POST", "/chat", `{"message":"mallory was here","conversation_id":"ID"}`, header("Idempotency-Key", someID)),
		"submit":            rest("POST", "/api/chat", sdk("submit-message", "m1", "")),
		"edit":              rest("POST", "/api/chat", sdk("submit-message", "m0", `"messageId":"m0",`)),
		"edit ann's":        rest("POST", "/api/chat", sdk("submit-message", "a1", `"messageId":"a1",`)),
		"regenerate ann's":  rest("POST", "/api/chat", sdk("regenerate-message", "a1", "")),
		"the SDK's stream":  rest("GET", "/api/chat/ID/stream", ""),
		"the SDK's stop":    rest("POST", "/api/chat/ID/stop", ""),
		"join":              socket("chathub.v1", ""),
		"join again":        socket("chathub.v1", "?again=1&client="+someID),
		"resume on a WS":    socket("chathub.v1", "?after=LAST"),
		"resume in a reply": socket("chathub.v1", "?after=LAST&offset=3"),
		"deep-chat": func(x *tenants, _ string) {
			ws, resp, err := websocket.Dial(x.t.Context(), x.url+"/ws/"+x.id, &websocket.DialOptions{
				HTTPClient: x.client, Subprotocols: []string{"deep-chat", "bearer." + x.mallory},
			})
			if err == nil {
				_ = ws.CloseNow()
			}
			if err == nil || resp.StatusCode != http.StatusNotFound {
				x.t.Errorf("deep-chat: %v, %v", resp, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			nodesOnStores(t, func(t *testing.T, near, far rigOption, f *storetest.Faults) {
				x, there := newTenants(t, near), newTenants(t, far)
				there.id = x.id
				x.as(x.mallory, "POST", "/api/chat", x.chat("submit-message", "m0", "hi")).want(http.StatusOK)
				stored := x.as(x.mallory, "GET", "/sessions/"+x.id, "")
				before := lastID(t, stored.body)
				looked := make(chan struct{})
				taken := sync.OnceFunc(func() { there.taken(); close(looked) })
				f.Set(func(c storetest.Call) error {
					if c.Method == "Load" && c.Done { // what the door looks at
						taken()
					}
					return nil
				})
				try(x, before)
				await(t, looked, "the door looks at the session")
				x.wantAnns()
			})
		})
	}
}

// lastID is the id of a conversation's last message.
func lastID(t *testing.T, body []byte) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(body[strings.LastIndex(string(body), `"id":"`):]), `"id":"`)
	if !ok {
		t.Fatalf("no id in %s", body)
	}
	return rest[:36]
}

// TestWithheldPong: a page that takes over from itself at another node is asked for a
// pong first. The session that it claims is the one that it came to.
func TestWithheldPong(t *testing.T) {
	nodesOnStores(t, func(t *testing.T, near, far rigOption, f *storetest.Faults) {
		x, there := newTenants(t, near), newTenants(t, far)
		there.id = x.id
		there.as(x.mallory, "POST", "/api/chat", there.chat("submit-message", "m0", "hi")).want(http.StatusOK)
		path := "/ws/" + x.id + "?client=" + someID
		first := there.join(path, withBearer("chathub.v1", x.mallory))
		asked, looks := make(chan struct{}), 0
		f.Set(func(c storetest.Call) error {
			// The session is checked and held, and the one that has it is looked at: it is the page's own.
			if c.Method == "Load" && c.Done && c.ID.String() == x.id {
				if looks++; looks == 3 {
					close(asked)
				}
			}
			return nil
		})
		again := x.dial(path, withBearer("chathub.v1", x.mallory)) // who answers pings only while it reads
		await(t, asked, "the page is asked for a pong")
		there.taken()
		x.wantNoSecret("the second", fmt.Sprintf("%+v", again.wantClose(4404)))
		x.wantNoSecret("the first", fmt.Sprintf("%+v", first.wantClose(4404)))
		there.wantAnns()
	})
}

// TestRemadeBesideTheOld: while a connection of the first incarnation lingers,
// the second has its own connection, and deleting the first again ends nothing.
func TestRemadeBesideTheOld(t *testing.T) {
	onStores(t, func(t *testing.T, stores rigOption) {
		x := newTenants(t, stores)
		x.answer("long", long())
		x.as(x.mallory, "POST", "/api/chat", x.chat("submit-message", "m0", "hi")).want(http.StatusOK)
		old := x.join("/ws/"+x.id, withBearer("chathub.v1", x.mallory))
		old.say("", "long")
		old.begin() // and takes nothing more
		x.taken()
		p := x.join("/ws/"+x.id, withBearer("chathub.v1", x.ann))
		if len(p.ready.Messages) != 2 || p.ready.Messages[0].Content != secret {
			t.Errorf("ann is sent %+v", p.ready)
		}
		x.as(x.mallory, "DELETE", "/sessions/"+x.id, "").wantError(http.StatusNotFound, "session_not_found")
		x.wantNoSecret("the old one", fmt.Sprintf("%+v", old.wantClose(4404)))
		p.say("", "still here")
		if got := p.reply(); got.text != "You said: still here" {
			t.Errorf("ann is answered %q", got.text)
		}
	})
}

// TestKeyOfAnExpiredSession: whoever makes the id of a session that has expired his own
// gets nothing of what is sent with the idempotency key that had made it.
func TestKeyOfAnExpiredSession(t *testing.T) {
	server := miniredis.RunT(t)
	ttl := time.Minute
	x := newTenants(t, withStore(onRedis(t, server.Addr(), ttl)), withSessions(func(c *session.Config) { c.TTL = ttl }))
	key := header("Idempotency-Key", uuid.NewString())
	first := x.as(x.ann, "POST", "/chat", `{"message":"`+secret+`"}`, key).want(http.StatusOK)
	x.id = conversationIn(t, first.body)
	server.FastForward(ttl + ttl/2)
	x.as(x.mallory, "POST", "/api/chat", x.chat("submit-message", "m0", "hi")).want(http.StatusOK)
	second := x.as(x.ann, "POST", "/chat", `{"message":"`+secret+`"}`, key).want(http.StatusOK)
	if id := conversationIn(t, second.body); id == x.id {
		t.Error("the key leads into mallory's session")
	} else if again := x.as(x.ann, "POST", "/chat", `{"message":"`+secret+`"}`, key).want(http.StatusOK); conversationIn(t, again.body) != id {
		t.Error("the key leads elsewhere when it is used again")
	}
	x.wantNoSecret("the session", x.as(x.mallory, "GET", "/sessions/"+x.id, "").want(http.StatusOK).body)
}

// conversationIn is the conversation_id of a ChatResponse.
func conversationIn(t *testing.T, body []byte) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(body), `"conversation_id":"`)
	if !ok {
		t.Fatalf("no conversation in %s", body)
	}
	return rest[:36]
}

// TestRemadeAtAnotherNode deletes a session and makes it again on one node, while
// its first owner is connected at another.
func TestRemadeAtAnotherNode(t *testing.T) {
	server := miniredis.RunT(t)
	one := withStore(onRedis(t, server.Addr(), 0))
	near, far := newTenants(t, one), newTenants(t, one)
	far.id = near.id
	near.answer("long", long())
	near.as(near.mallory, "POST", "/api/chat", near.chat("submit-message", "m0", "hi")).want(http.StatusOK)
	stalled := near.join("/ws/"+near.id, withBearer("chathub.v1", near.mallory))
	stalled.say("", "long")
	stalled.begin()
	eventuallyIn(t, 3*rigPatience, "the reply runs nowhere any more", func() bool { // miniredis needs time for 14 MB
		return strings.Count(string(far.as(near.mallory, "GET", "/sessions/"+near.id, "").body), `"role"`) == 4
	})
	far.taken()
	anns := far.join("/ws/"+far.id, withBearer("chathub.v1", far.ann))
	stalled.ask(message("", "mallory was here"))
	near.wantNoSecret("the stalled one", fmt.Sprintf("%+v", stalled.wantClose(4404)))
	anns.wantQuiet()
	near.as(near.mallory, "DELETE", "/sessions/"+near.id, "").wantError(http.StatusNotFound, "session_not_found")
	far.wantAnns()
}
