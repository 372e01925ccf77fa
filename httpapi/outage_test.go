package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/coder/websocket"

	"lumos/backend/hub"
	"lumos/backend/session"
	"lumos/backend/session/redisstore"
	"lumos/backend/session/storetest"
)

// awayCounter is a Counter that is away when Ready fails.
type awayCounter struct {
	session.Counter
	*storetest.Faults
}

func (c awayCounter) Take(ctx context.Context, key string, perMinute int) (time.Duration, error) {
	if err := c.Ready(ctx); err != nil {
		return 0, err
	}
	return c.Counter.Take(ctx, key, perMinute)
}

// outage has the store, the counter of messages, or both be away.
type outage struct{ store, counter *storetest.Faults }

// begin is called in a bubble: what reads the conversation just then is to be done.
func (o outage) begin() {
	synctest.Wait()
	for _, f := range []*storetest.Faults{o.store, o.counter} {
		if f != nil {
			f.Set(failing(session.ErrUnavailable))
		}
	}
}

func (o outage) end() {
	for _, f := range []*storetest.Faults{o.store, o.counter} {
		if f != nil {
			f.Set(nil)
		}
	}
}

// sayer is a client that says something and is answered, in one of the dialects.
type sayer struct {
	t      testing.TB
	ws     *websocket.Conn
	deep   bool
	frames chan []byte // closed behind the last
	err    error       // what ended the connection; to be read then
}

// newSayer reads in the background, so that pings are answered.
func newSayer(t testing.TB, ws *websocket.Conn, dialect string) *sayer {
	s := &sayer{t: t, ws: ws, deep: dialect == "deep-chat", frames: make(chan []byte, 1000)}
	go func() {
		defer close(s.frames)
		for s.err == nil {
			var raw []byte
			if _, raw, s.err = ws.Read(context.Background()); s.err == nil {
				s.frames <- raw
			}
		}
	}()
	return s
}

func (s *sayer) send(v any) {
	s.t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = s.ws.Write(s.t.Context(), websocket.MessageText, b)
	}
	if err != nil && websocket.CloseStatus(s.ended()) != websocket.StatusTryAgainLater {
		s.t.Fatal(err)
	}
}

// ended returns what ended the connection; nil: it goes on.
func (s *sayer) ended() error {
	select {
	case raw, ok := <-s.frames:
		if !ok {
			return s.err
		}
		s.t.Errorf("got %s", raw)
	default:
	}
	return nil
}

// sentAway is what a sayer is answered that is closed with 1013.
const sentAway = "sent away"

// say sends a message, and returns the code with which it was refused, or its sentence
// for deep-chat; "": it was answered to the end.
func (s *sayer) say(text string) string {
	s.t.Helper()
	if s.deep {
		s.send(map[string]any{"messages": []map[string]string{{"role": "user", "text": text}}})
	} else {
		s.send(message("", text))
	}
	return s.answer()
}

func (s *sayer) answer() string {
	s.t.Helper()
	for {
		raw, err := s.read()
		if websocket.CloseStatus(err) == websocket.StatusTryAgainLater {
			return sentAway
		}
		if err != nil {
			s.t.Fatal(err)
		}
		var f struct{ Type, Code, Error, Text string }
		if err := json.Unmarshal(raw, &f); err != nil {
			s.t.Fatal(err)
		}
		switch {
		case f.Code != "" || f.Error != "":
			return f.Code + f.Error
		case f.Type == "finish" || f.Text == "[DONE]":
			return ""
		}
	}
}

func (s *sayer) read() ([]byte, error) {
	if raw, ok := <-s.frames; ok {
		return raw, nil
	}
	return nil, s.err
}

// closed holds that the connection ends now, with this code.
func (s *sayer) closed(code websocket.StatusCode) {
	s.t.Helper()
	if raw, err := s.read(); err == nil || websocket.CloseStatus(err) != code {
		s.t.Errorf("got %s, %v; want close code %d", raw, err, code)
	}
}

// inBothDialects connects one client that counts, in each dialect.
func inBothDialects(t *testing.T, o outage, options []rigOption, f func(r *rig, s *sayer)) {
	for _, dialect := range []string{"chathub.v1", "deep-chat"} {
		t.Run(dialect, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.dial("/ws", offering(dialect, "bearer."+tokenOf(t, "me", "exp", time.Now().Add(time.Hour).Unix())))
				if dialect == "chathub.v1" {
					p.want("ready")
				}
				defer o.end()
				f(r, newSayer(t, p.ws, dialect))
			}, append(options, withSecret(t))...)
		})
	}
}

// awayIn returns the options for a server of which the store, the counter, or both can
// be away, and what has them be.
func awayIn(sessions, counter bool, perMinute int) (outage, []rigOption) {
	var o outage
	options := []rigOption{withHub(func(c *hub.Config) {
		c.Limits.MessagesPerMinute = perMinute
		c.Limits.Counter = new(session.Counts)
		if o.counter != nil {
			c.Limits.Counter = awayCounter{c.Limits.Counter, o.counter}
		}
	})}
	if counter {
		backend, _ := session.Memory()
		o.counter = &storetest.Faults{Backend: backend}
	}
	if sessions {
		o.store = new(storetest.Faults)
		options = append(options, withStore(store(shared).behind(o.store)))
	}
	return o, options
}

// TestOutageIsNoFlood: who keeps on while the store is away, at whatever pace, is not
// told that it sends too much, but sent away to come back.
func TestOutageIsNoFlood(t *testing.T) {
	for name, away := range map[string][2]bool{"the counter": {false, true}, "the store": {true, false}, "both": {true, true}} {
		for _, pause := range []time.Duration{0, 30 * time.Second} {
			t.Run(fmt.Sprintf("%s, every %v", name, pause), func(t *testing.T) {
				o, options := awayIn(away[0], away[1], 1000)
				inBothDialects(t, o, options, func(r *rig, s *sayer) {
					o.begin()
					for i := range 10 {
						if i > 0 {
							pass(pause)
						}
						if got := s.say("hi"); got != "store_unavailable" && got != hub.ErrorOf(hub.CodeStoreUnavailable).Text {
							t.Fatalf("message %d is answered by %q", i, got)
						}
					}
					s.closed(websocket.StatusTryAgainLater)
				})
			})
		}
	}
}

// TestOutageEnds: what comes through in between begins the count anew, and whatever is
// refused for another reason is no outage.
func TestOutageEnds(t *testing.T) {
	o, options := awayIn(true, true, 1000)
	inBothDialects(t, o, options, func(r *rig, s *sayer) {
		for range 5 {
			o.begin()
			for range 9 {
				s.say("hi")
			}
			o.end()
			if got := s.say("hi"); got != "" {
				t.Fatalf("when it is over: %q", got)
			}
		}
	})
}

// TestBusyIsNoFlood: as often as one likes a message may come while a reply runs.
func TestBusyIsNoFlood(t *testing.T) {
	o, options := awayIn(false, false, 1000)
	inBothDialects(t, o, options, func(r *rig, s *sayer) {
		a, g := held(0, "at last")
		r.answer("go", a)
		if s.deep {
			s.send(map[string]any{"messages": []map[string]string{{"role": "user", "text": "go"}}})
		} else {
			s.send(message("", "go"))
		}
		for range 30 {
			if got := s.say("impatient"); got != "conversation_busy" && got != hub.ErrorOf(hub.CodeBusy).Text {
				t.Fatalf("answered by %q", got)
			}
		}
		g.open()
		if got := s.answer(); got != "" {
			t.Errorf("the reply ends with %q", got)
		}
	})
}

// TestOutageAmidFlood: an outage neither makes a flood longer nor lets it off.
func TestOutageAmidFlood(t *testing.T) {
	o, options := awayIn(false, true, 1)
	inBothDialects(t, o, options, func(r *rig, s *sayer) {
		if got := s.say("the one that may come"); got != "" {
			t.Fatal(got)
		}
		for range 9 {
			s.say("too much")
		}
		o.begin()
		for range 9 {
			s.say("too much, and who could tell")
		}
		o.end()
		s.say("too much again")
		s.closed(websocket.StatusPolicyViolation)
	})
}

// TestOutageForEveryFrame: a regeneration and a stop are refused as a message is, and
// count with it.
func TestOutageForEveryFrame(t *testing.T) {
	o, options := awayIn(true, false, 1000)
	bubble(t, func(t *testing.T, r *rig) {
		p := r.join("/ws")
		o.begin()
		for i := range 10 {
			p.ask([]map[string]string{message("", "hi"), {"type": "regenerate"}, {"type": "stop"}}[i%3])
			if f := p.want("error"); f.Code != "store_unavailable" {
				t.Errorf("refused with %+v", f)
			}
		}
		p.wantClose(1013)
		o.end()
		back := r.join("/ws/" + p.ready.Conversation)
		back.say("", "hi")
		if got := back.reply(); got.text != "You said: hi" {
			t.Errorf("got %+v", got)
		}
	}, options...)
}

// TestOutageOverREST: too much is 429 and says when to come back, an outage is 503.
func TestOutageOverREST(t *testing.T) {
	o, options := awayIn(false, true, 2)
	bubble(t, func(t *testing.T, r *rig) { outageOverREST(r, o) }, append(options, withSecret(t))...)
}

func outageOverREST(r *rig, o outage) {
	mine := authorized(tokenOf(r.t, "me", "exp", time.Now().Add(time.Hour).Unix()))
	for range 2 {
		r.do("POST", "/chat", `{"message":"hi"}`, mine).want(http.StatusOK)
	}
	for range 12 {
		if a := r.do("POST", "/chat", `{"message":"hi"}`, mine).wantError(http.StatusTooManyRequests, "rate_limited"); a.Header.Get("Retry-After") == "" {
			r.t.Error("429 without Retry-After")
		}
	}
	o.begin()
	sdk := `{"id":"` + newID() + `","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}]}]}`
	for _, path := range []string{"/chat", "/sessions", "/api/chat"} {
		body := map[string]string{"/chat": `{"message":"hi"}`, "/api/chat": sdk}[path]
		r.do("POST", path, body, mine).wantError(http.StatusServiceUnavailable, "store_unavailable")
	}
}

// TestRedisOutageIsNoFlood is TestOutageIsNoFlood with Redis, which has both the
// conversations and the counts.
func TestRedisOutageIsNoFlood(t *testing.T) {
	for _, dialect := range []string{"chathub.v1", "deep-chat"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			redis := miniredis.RunT(t)
			store, err := redisstore.Open(redisstore.Config{URL: "redis://" + redis.Addr(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(store.Close)
			opened := func() (session.Backend, session.Kind) { return store, store.Kind() }
			r := newRig(t, withSecret(t), withStore(opened), withHub(func(c *hub.Config) {
				c.Limits.MessagesPerMinute, c.Limits.Counter = 1000, store
			}))
			id := decode[chatSession](t, r.do("POST", "/sessions", "", authorized(tokenOf(t, "me"))).want(http.StatusCreated)).ID
			p := r.dial("/ws/"+id, offering(dialect, "bearer."+tokenOf(t, "me")))
			if dialect == "chathub.v1" {
				p.want("ready")
			}
			s := newSayer(t, p.ws, dialect)
			if got := s.say("hi"); got != "" {
				t.Fatal(got)
			}
			// A subscription that is refused is taken back, and rueidis panics when that is refused too.
			eventually(t, "the node listens", func() bool { return len(redis.PubSubChannels("")) > 0 })
			defer redis.SetError("")
			redis.SetError("NOPERM not now") // at once, where a Redis that is not there is tried for a while
			for range 10 {
				got := s.say("hi")
				if got == sentAway { // it was being looked for news for it just then
					break
				}
				if got != "store_unavailable" && got != hub.ErrorOf(hub.CodeStoreUnavailable).Text {
					t.Fatalf("answered by %q", got)
				}
			}
			redis.SetError("")
			s.closed(websocket.StatusTryAgainLater)
		})
	}
}
