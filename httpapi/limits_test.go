package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

func withLimits(l hub.Limits) rigOption { return withHub(func(c *hub.Config) { c.Limits = l }) }

// behindProxy takes this machine for a proxy that tells who asks.
var behindProxy = withAPI(func(c *httpapi.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
})

// from is a request of a client at an address.
func from(address string) func(*http.Request) { return header("X-Forwarded-For", address) }

func dialFrom(address string) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) { o.HTTPHeader.Set("X-Forwarded-For", address) }
}

// TestMessageLimit: over REST, SSE and the AI SDK's endpoint, counted together,
// for each client alone; what ends things is never refused.
func TestMessageLimit(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 3}))
	id := newID()
	r.do("POST", "/chat", `{"message":"one"}`, from("192.0.2.1")).want(200)
	r.follow("POST", "/chat", `{"message":"two"}`, from("192.0.2.1")).rest()
	sdk := `{"id":"` + id + `","trigger":"submit-message","messages":[{"id":"x","role":"user","parts":[{"type":"text","text":"three"}]}]}`
	r.follow("POST", "/api/chat", sdk, from("192.0.2.1")).rest()
	asked := r.asked()
	for _, request := range [][2]string{{"/chat", `{"message":"four"}`}, {"/api/chat", sdk}, {"/chat", `{"message":"five","conversation_id":"` + id + `"}`}} {
		a := r.do("POST", request[0], request[1], from("192.0.2.1")).wantError(429, "rate_limited")
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1 || n > 20 {
			t.Errorf("Retry-After: %q, want 1 to 20 seconds", a.Header.Get("Retry-After"))
		}
	}
	if r.asked() != asked {
		t.Error("the model was asked beyond the limit")
	}
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.2")).want(200)

	r.do("GET", "/sessions/"+id, "", from("192.0.2.1")).want(200)
	r.do("GET", "/sessions/"+id+"/stream", "", from("192.0.2.1")).want(204)
	r.do("POST", "/sessions/"+id+"/stop", "", from("192.0.2.1")).want(200)
	r.do("DELETE", "/sessions/"+id, "", from("192.0.2.1")).want(200)
}

// TestSessionLimit: sessions that are only begun have a count of their own.
func TestSessionLimit(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 2}))
	id := decode[chatSession](t, r.do("POST", "/sessions", "", from("192.0.2.1")).want(201)).ID
	r.join("/ws", dialFrom("192.0.2.1"))
	r.do("POST", "/sessions", "", from("192.0.2.1")).wantError(429, "rate_limited")
	r.dial("/ws", dialFrom("192.0.2.1")).wantClose(1013)
	r.join("/ws/"+id, dialFrom("192.0.2.1"))
	r.do("POST", "/chat", `{"message":"hi","conversation_id":"`+id+`"}`, from("192.0.2.1")).want(200)
	r.do("POST", "/sessions", "", from("192.0.2.2")).want(201)
}

// TestMessageLimitOverWebSocket: a frame is refused and says when to come
// again; who does not heed it is sent away, and may come back to read.
func TestMessageLimitOverWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		token := tokenOf(t, "me", "exp", time.Now().Add(time.Hour).Unix())
		p := r.join("/ws", offering("chathub.v1", "bearer."+token))
		for range 2 {
			p.say("", "hi")
			p.reply()
		}
		id := newID()
		p.ask(message(id, "again"))
		f := p.want("error")
		if f.Code != "rate_limited" || f.Ref != id || f.RetryAfter < 1 || f.RetryAfter > 30 {
			t.Errorf("refused with %+v", f)
		}
		pass(time.Duration(f.RetryAfter) * time.Second)
		p.say(id, "again") // the same id, now taken
		p.reply()
		p.ask(map[string]string{"type": "regenerate"})
		if f := p.want("error"); f.Code != "rate_limited" {
			t.Errorf("a regeneration is refused with %+v", f)
		}
		p.ask(map[string]string{"type": "stop"})
		p.want("stopped")
		p.wantQuiet()
		go func() { // a pipe holds nothing
			for range 9 {
				p.ask(message("", "flood"))
			}
		}()
		refused := p.wantClose(1008)
		if len(refused) != 9 {
			t.Errorf("%d of 9 were refused before the end: %+v", len(refused), refused)
		}
		back := r.join("/ws/"+p.ready.Conversation, offering("chathub.v1", "bearer."+token))
		if n := len(back.ready.Messages); n != 6 {
			t.Errorf("there are %d messages, want 6", n)
		}
	}, withSecret(t), withLimits(hub.Limits{MessagesPerMinute: 2}))
}

// TestReplyLimit: so many replies run for one client, whatever way they were
// asked for; one that ends makes room.
func TestReplyLimit(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{RepliesPerClient: 1}))
	answer, g := held(0, "at last")
	r.answer("wait", answer)
	p := r.join("/ws", dialFrom("192.0.2.1"))
	p.say("", "wait")
	reply := p.begin()
	g.wait(t)
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).wantError(429, "rate_limited")
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.2")).want(200)
	r.do("POST", "/sessions/"+p.ready.Conversation+"/stop", "", from("192.0.2.1")).want(200)
	p.finish(&reply)
	eventually(t, "there is room for another reply", func() bool {
		return r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).StatusCode == 200
	})
}

// TestReplyLimitBehindATakeOver: H4. A reply that was taken over counts for its client at
// the node that writes it now, until it ends.
func TestReplyLimitBehindATakeOver(t *testing.T) {
	var shared storetest.Shared
	a := session.NewManager(node(shared.Node()))
	running, kill := context.WithCancel(t.Context())
	killed := make(chan error)
	go func() { killed <- a.Run(running) }()
	made, err := a.New(t.Context(), "", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	turn := storetest.Submit("wait")
	turn.Client = "ip 192.0.2.1"
	if said, err := a.Say(t.Context(), made.Ref(), turn); err != nil || !said.Started {
		t.Fatal(said, err)
	}
	kill()
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	r := newRig(t, behindProxy, withLimits(hub.Limits{RepliesPerClient: 1}),
		withStore(shared.Node))
	answer, g := held(1, "so ", "long")
	r.answer("wait", answer)
	p := r.join("/ws/" + made.ID.String())
	g.wait(t)
	me, other := from("192.0.2.1"), from("192.0.2.2")
	r.do("POST", "/chat", `{"message":"hi"}`, me).wantError(429, "rate_limited")
	r.do("POST", "/chat", `{"message":"hi"}`, other).want(200)
	g.open()
	if got := p.reply(); got.text != "so long" {
		t.Errorf("the reply is %+v", got)
	}
	eventually(t, "it counts no more", func() bool { return r.do("POST", "/chat", `{"message":"hi"}`, me).StatusCode == 200 })
}

// node is a store's Backend and Kind with a configuration.
func node(b session.Backend, k session.Kind) (session.Backend, session.Kind, session.Config) {
	return b, k, session.Config{Logger: slog.New(slog.DiscardHandler)}
}

// TestConnectionLimits: per client and in all, for those that are open; a
// conversation's own connection can always be taken over.
func TestConnectionLimits(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{ConnectionsPerClient: 2, Connections: 3}))
	one := r.join("/ws", dialFrom("192.0.2.1"))
	two := r.join("/ws", dialFrom("192.0.2.1"))
	idle := decode[chatSession](t, r.do("POST", "/sessions", "").want(201)).ID
	r.dial("/ws", dialFrom("192.0.2.1")).wantClose(1013)
	r.dial("/ws/"+idle, dialFrom("192.0.2.1")).wantClose(1013)
	r.join("/ws/"+one.ready.Conversation, dialFrom("192.0.2.1"))
	one.wantClose(4001)
	three := r.join("/ws", dialFrom("192.0.2.3"))
	r.dial("/ws", dialFrom("192.0.2.4")).wantClose(1013)
	r.dial("/ws/"+idle, dialFrom("192.0.2.4")).wantClose(1013)
	r.join("/ws/"+three.ready.Conversation, dialFrom("192.0.2.4"))
	three.wantClose(4001)
	two.leave()
	eventually(t, "there is room for another connection", func() bool {
		p := r.dial("/ws", dialFrom("192.0.2.5"))
		_, err := p.read()
		return err == nil
	})
	// Nobody's session was made in vain.
	if log := r.log.String(); strings.Contains(log, "level=ERROR") {
		t.Error(log)
	}
}

// TestStreamLimit: who follows a reply by a stream has a connection as by a
// WebSocket; what answers a message has none, and comes back all the same.
func TestStreamLimit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answer, g := held(0, "at last")
		r.answer("wait", answer)
		token := func(who string) string { return tokenOf(t, who, "exp", time.Now().Add(time.Hour).Unix()) }
		as := func(who string) func(*websocket.DialOptions) { return offering("chathub.v1", "bearer."+token(who)) }
		mine := authorized(token("me"))
		p := r.join("/ws", as("me"))
		p.say("", "wait")
		reply := p.begin()
		id := p.ready.Conversation
		path := "/sessions/" + id + "/stream"
		stream := r.follow("GET", path, "", mine)

		r.do("GET", path, "", mine).wantError(429, "rate_limited")
		r.do("GET", "/api/chat/"+id+"/stream", "", mine).wantError(429, "rate_limited")
		r.dial("/ws", as("me")).wantClose(1013)
		r.do("POST", "/chat", `{"message":"hi"}`, mine).want(200)
		r.follow("POST", "/chat", `{"message":"hi"}`, mine).rest()
		sdk := `{"id":"` + newID() + `","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}]}]}`
		r.follow("POST", "/api/chat", sdk, mine).rest()

		r.join("/ws", as("another"))
		r.dial("/ws", as("one too many")).wantClose(1013)

		// Who comes back before it is known to be gone is waited for.
		back := r.later("GET", path, "", mine)
		pass(500 * time.Millisecond)
		stream.close()
		pass(500 * time.Millisecond)
		g.open()
		back().want(200)
		p.finish(&reply)
		synctest.Wait()
		r.join("/ws", as("me")).leave()
	}, withSecret(t), withLimits(hub.Limits{ConnectionsPerClient: 2, Connections: 3}))
}

// TestStreamsCount: what is being written counts as a connection, also the answer to a
// message, which itself is not refused for that, and a session that is read slowly.
func TestStreamsCount(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{ConnectionsPerClient: 1}))
	me, other := from("192.0.2.1"), from("192.0.2.2")
	id := r.newSession()
	full := func() bool {
		p := r.dial("/ws/"+id, dialFrom("192.0.2.1"))
		_, err := p.read()
		_ = p.ws.CloseNow()
		return err != nil
	}
	free := func() bool { return !full() }
	sdk := `{"id":"` + newID() + `","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"wait"}]}]}`
	for path, body := range map[string]string{"/chat": `{"message":"wait"}`, "/api/chat": sdk} {
		answer, g := held(1, "so ", "long")
		r.answer("wait", answer)
		s := r.follow("POST", path, body, me, header("Accept", "text/event-stream"))
		g.wait(t)
		// The one that found room before may not have gone yet, and can be taken over.
		eventually(t, "a stream of POST "+path+" is a connection", full)
		r.do("GET", "/sessions/"+id, "", me).wantError(429, "rate_limited")
		r.do("GET", "/sessions/"+id+"/stream", "", me).wantError(429, "rate_limited")
		r.do("GET", "/sessions/"+id, "", other).want(200)
		r.do("POST", "/chat", `{"message":"hi"}`, me).want(200)
		r.follow("POST", "/chat", `{"message":"hi"}`, me, header("Accept", "text/event-stream")).rest()
		g.open()
		s.rest()
		eventually(t, "there is room behind POST "+path, free)
	}
	// Somebody who does not read what a GET is answered.
	r.answer("much", mistralsim.Answer{Tokens: slices.Repeat([]string{strings.Repeat("y", 1<<10)}, 10<<10)})
	r.do("POST", "/chat", chatBody(id, "much"), other).want(200)
	stalled, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(stalled, "GET /sessions/%s HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", id)
	eventually(t, "a session that is read is a connection", full)
	_ = stalled.Close()
	eventually(t, "there is room when it has left", free)
}

// TestSessionBytes: MAX_SESSION_BYTES bounds all that a conversation holds, on whatever
// branch, for whatever way something is said. A reply that runs is not cut by it.
func TestSessionBytes(t *testing.T) {
	const most = 100
	r := newRig(t, withLimits(hub.Limits{SessionBytes: most}))
	r.answer("éééé", mistralsim.Answer{Text: strings.Repeat("x", 60)})
	p := r.join("/ws")
	id := p.ready.Conversation
	p.say("", "éééé") // 8 bytes, and 60
	first := p.reply()
	const fits, long = 32, 33
	said := strings.Repeat("a", long)
	r.do("POST", "/chat", chatBody(id, said)).wantError(409, "conversation_full")
	p.ask(message("", said))
	if f := p.want("error"); f.Code != "conversation_full" || !strings.Contains(f.ErrorText, "as long as it may be") {
		t.Errorf("refused with %+v", f)
	}
	sdk := `{"id":"` + id + `","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"` + said + `"}]}]}`
	r.do("POST", "/api/chat", sdk).wantError(409, "conversation_full")
	p.say("", said[:fits])
	last := p.reply()
	if last.end.Metadata.FinishReason != "stop" {
		t.Errorf("the reply ends as %+v", last.end)
	}
	r.do("POST", "/chat", chatBody(id, "b")).wantError(409, "conversation_full")
	p.ask(map[string]string{"type": "regenerate"})
	if f := p.want("error"); f.Code != "conversation_full" {
		t.Errorf("a regeneration: %+v", f)
	}
	if s := r.session(id); len(s.Messages) != 4 || s.Messages[1].ID != first.id || s.Messages[3].ID != last.id {
		t.Errorf("it holds %+v", s.Messages)
	}
}

// TestBodyOfAPage: a body on /api/chat may have 4 × MAX_SESSION_BYTES, of which the list
// before the message may be anything; 413 beyond.
func TestBodyOfAPage(t *testing.T) {
	const most = 200 << 10 // 4 times that is more than a message may need
	r := newRig(t, withLimits(hub.Limits{SessionBytes: most}))
	body := func(size int) string {
		head := `{"id":"` + newID() + `","trigger":"submit-message","data":"`
		tail := `","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}]}]}`
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	r.follow("POST", "/api/chat", body(4*most)).rest()
	r.do("POST", "/api/chat", body(4*most+1)).wantError(413, "message_too_large")
	r.do("POST", "/chat", `{"message":"hi","data":"`+strings.Repeat("x", 4*most)+`"}`).wantError(413, "message_too_large")
}

// TestDeepChatConnectionLimit: that widget is refused before the upgrade.
func TestDeepChatConnectionLimit(t *testing.T) {
	r := newRig(t, withLimits(hub.Limits{Connections: 1}))
	r.join("/ws")
	r.do("GET", "/ws", "", func(req *http.Request) {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "deep-chat",
		} {
			req.Header.Set(name, value)
		}
	}).wantError(429, "rate_limited")
}

// TestSessionMessages: a conversation ends at its limit, for whatever way
// something is said, and an edit within it is none more.
func TestSessionMessages(t *testing.T) {
	r := newRig(t, withLimits(hub.Limits{SessionMessages: 4}))
	p := r.join("/ws")
	id := p.ready.Conversation
	first := newID()
	p.say(first, "one")
	p.reply()
	p.say("", "two")
	last := p.reply()
	p.ask(message("", "three"))
	if f := p.want("error"); f.Code != "conversation_full" {
		t.Errorf("refused with %+v", f)
	}
	r.do("POST", "/chat", `{"message":"three","conversation_id":"`+id+`"}`).wantError(409, "conversation_full")
	p.ask(map[string]string{"type": "regenerate", "of": last.id})
	p.reply()
	edit := `{"id":"` + id + `","trigger":"submit-message","messageId":"` + first + `","messages":[{"id":"` + first + `","role":"user","parts":[{"type":"text","text":"edited"}]}]}`
	r.follow("POST", "/api/chat", edit).rest()
	if s := r.session(id); len(s.Messages) != 2 || s.Messages[0].Content != "edited" {
		t.Errorf("after the edit there is %+v", s.Messages)
	}
}

// TestReplyBytes: a reply ends at its limit, between two characters.
func TestReplyBytes(t *testing.T) {
	const whole = "éa€bc"
	for most, want := range map[int]string{1: "", 2: "é", 3: "éa", 5: "éa", 6: "éa€", 7: "éa€b", len(whole): whole, 100: whole} {
		r := newRig(t, withLimits(hub.Limits{ReplyBytes: most}))
		r.answer("hi", mistralsim.Answer{Tokens: []string{"é", "a€", "bc"}})
		got := decode[struct {
			Response string
			Reason   string `json:"finish_reason"`
		}](t, r.do("POST", "/chat", `{"message":"hi"}`).want(200))
		reason := "length"
		if want == whole {
			reason = "stop"
		}
		if got.Response != want || got.Reason != reason {
			t.Errorf("of at most %d bytes: %q, %s; want %q, %s", most, got.Response, got.Reason, want, reason)
		}
		r.stop()
	}
}

// TestUpstreamLimit: replies wait their turn, in their order; who waits too
// long is told so, and who stops does not wait.
func TestUpstreamLimit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answer, g := held(0, "first")
		r.answer("first", answer)
		first := r.join("/ws")
		first.say("", "first")
		g.wait(t)
		second, third := r.join("/ws"), r.join("/ws")
		second.say("", "second")
		pass(time.Second)
		third.say("", "third")
		third.begin()
		third.ask(map[string]string{"type": "stop"})
		pass(time.Second)
		if n := r.asked(); n != 1 {
			t.Errorf("the model was asked %d times, want once", n)
		}
		pass(30 * time.Second)
		if got := second.reply(); got.end.Code != "upstream_busy" || got.text != "" {
			t.Errorf("who waited too long got %+v", got)
		}
		second.say("", "second again")
		pass(time.Second)
		g.open()
		first.reply()
		if got := second.reply(); got.text != "You said: second\n\nsecond again" { // the model never saw the first
			t.Errorf("who waited got %+v", got)
		}
	}, withLimits(hub.Limits{Upstream: 1}), patientModel)
}

// TestClientsByAddress: whose limit counts, by what the proxies tell.
func TestClientsByAddress(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		same                bool
	}{
		{"one address", "192.0.2.1", "192.0.2.1", true},
		{"two addresses", "192.0.2.1", "192.0.2.2", false},
		{"what is in front is made up", "198.51.100.1, 192.0.2.1", "198.51.100.2, 192.0.2.1", true},
		{"a chain of proxies", "192.0.2.1, 10.0.0.1", "192.0.2.1, 10.0.0.2", true},
		{"made up in front of a chain", "192.0.2.9, 192.0.2.1, 10.0.0.1", "192.0.2.1", true},
		{"with a port", "192.0.2.1:1234", "192.0.2.1:5678", true},
		{"mapped", "::ffff:192.0.2.1", "192.0.2.1", true},
		{"one /64", "2001:db8::1", "[2001:db8::2]:443", true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"private, forwarded", "192.168.1.1", "192.168.1.1", true},
		{"private ones, forwarded", "192.168.1.1", "192.168.1.2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 1}))
			r.do("POST", "/sessions", "", from(tt.first)).want(201)
			want := 201
			if tt.same {
				want = 429
			}
			r.do("POST", "/sessions", "", from(tt.second)).want(want)
		})
	}
	// Not known: no limit, and no word of a client's own making changes that.
	for _, change := range []func(*http.Request){func(*http.Request) {}, from("garbage"), from("garbage, "), from("")} {
		r := newRig(t, behindProxy, withLimits(hub.Limits{MessagesPerMinute: 1}))
		r.do("POST", "/sessions", "", change).want(201)
		r.do("POST", "/sessions", "", change).want(201)
	}
}

// TestUnknownProxy: a private peer is taken for a proxy and not limited, and the log
// says so once.
func TestUnknownProxy(t *testing.T) {
	r := newRig(t, withLimits(hub.Limits{MessagesPerMinute: 1}))
	for range 3 {
		r.do("POST", "/sessions", "").want(201)
	}
	if n := strings.Count(r.log.String(), "TRUSTED_PROXIES"); n != 1 {
		t.Errorf("the log tells it %d times, want once", n)
	}
}

// TestUnlistedProxy: the first X-Forwarded-For of a peer that is not listed is warned
// of, also where the hub listens on a loopback address alone; a stranger who sends
// one does not use the warning up.
func TestUnlistedProxy(t *testing.T) {
	r := newRig(t)
	h := httpapi.New(httpapi.Config{
		Hub: r.hub, Sessions: r.sessions, Static: http.NotFoundHandler(), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, LoopbackOnly: true,
	})
	ask := func(peer string) {
		req := httptest.NewRequest("POST", "http://127.0.0.1/sessions", nil)
		req.RemoteAddr = peer
		req.Header.Set("X-Forwarded-For", "192.0.2.9")
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	ask("10.1.2.3:1")
	if log := r.log.String(); strings.Contains(log, "TRUSTED_PROXIES") {
		t.Errorf("of a proxy that is listed: %s", log)
	}
	for range 3 {
		for _, peer := range []string{"192.0.2.1:1", "127.0.0.1:1", "172.16.0.1:1"} {
			ask(peer)
		}
	}
	for _, peer := range []string{"192.0.2.1", "127.0.0.1"} {
		line := regexp.MustCompile(`(?m)^.*WARN.*X-Forwarded-For is ignored.*TRUSTED_PROXIES.*address"?[=:]"?` + regexp.QuoteMeta(peer) + `"?.*$`)
		if n := len(line.FindAllString(r.log.String(), -1)); n != 1 {
			t.Errorf("%d warnings of %s:\n%s", n, peer, r.log.String())
		}
	}
}

// TestSubjectsAreClients: with tokens it is the subject that counts, from
// wherever it comes.
func TestSubjectsAreClients(t *testing.T) {
	r := newRig(t, withSecret(t), behindProxy, withLimits(hub.Limits{MessagesPerMinute: 1}))
	r.do("POST", "/sessions", "", authorized(tokenOf(t, "me")), from("192.0.2.1")).want(201)
	r.do("POST", "/sessions", "", authorized(tokenOf(t, "me")), from("192.0.2.2")).want(429)
	r.do("POST", "/sessions", "", authorized(tokenOf(t, "you")), from("192.0.2.1")).want(201)
}
