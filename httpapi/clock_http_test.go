package httpapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// wire opens a bare connection to the server.
func (r *rig) wire() net.Conn {
	r.t.Helper()
	dial := r.client.Transport.(*http.Transport).DialContext
	c, err := dial(r.t.Context(), "tcp", strings.TrimPrefix(r.url, "http://")+":80")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSlowBody: who sends half a body is not waited for for ever.
func TestSlowBody(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const head = "POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\n\r\n"
		for name, trickle := range map[string]bool{"stops": false, "trickles": true} {
			c, began, sent := r.wire(), time.Now(), make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(c, head+`{"message":"`)
				for trickle {
					time.Sleep(time.Second)
					if _, err := io.WriteString(c, "a"); err != nil {
						return
					}
				}
			}()
			answer := bufio.NewReader(c)
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest || !resp.Close {
				t.Errorf("%s: %s, closed %v, %v", name, resp.Status, resp.Close, err)
			}
			if took := time.Since(began); took != 30*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			_, _ = io.Copy(io.Discard, answer) // until the server closes
			<-sent
		}
	})
}

// TestBodyInTime: the time for a body is no time for the reply.
func TestBodyInTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 200), Pace: time.Second})
		got := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "go")).want(http.StatusOK))
		if len(got.Response) != 1000 {
			t.Errorf("got %d bytes", len(got.Response))
		}
	})
}

// TestStreamPings: a stream that is silent shows that it is alive, and what
// comes behind it on the same connection has its own time.
func TestStreamPings(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Text: "at last", FirstToken: 100 * time.Second})
		s := r.follow("POST", "/chat", chatBody("", "go"))
		s.rest()
		if s.text != "at last" || s.pings != 1+6 {
			t.Errorf("%q after %d pings, want 7: at once and every 15 s", s.text, s.pings)
		}
		pass(50 * time.Second)
		r.do("GET", "/healthz", "").want(http.StatusOK)
		r.do("POST", "/chat", chatBody("", "hi")).want(http.StatusOK)
	})
}

// TestStreamStalled: who takes nothing of a stream is cut off, and resumes.
func TestStreamStalled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 100), Pace: time.Second})
		s := r.follow("POST", "/chat", chatBody("", "go"))
		id := s.until("start").Metadata.Conversation
		last := s.until("text-delta")
		pass(200 * time.Second)
		if log := r.log.String(); !strings.Contains(log, "path=/chat") {
			t.Error("the request has not ended")
		}
		if m := r.session(id).Messages; len(m) != 2 || len(m[1].Content) != 500 {
			t.Errorf("stored: %d messages", len(m))
		}
		again := r.follow("GET", "/sessions/"+id+"/stream", "", header("Last-Event-ID", last.EventID))
		again.rest()
		if s.text+again.text != strings.Repeat("word ", 100) {
			t.Errorf("%d bytes, then %d", len(s.text), len(again.text))
		}
	})
}

// TestHistoryStalled: nor is a long answer held for a client that does not take it.
func TestHistoryStalled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Text: strings.Repeat("x", 1<<20)})
		id := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "go")).want(http.StatusOK)).Conversation
		resp, _ := r.send("GET", "/sessions/"+id, "")
		defer resp.Body.Close()
		pass(httpapi.DefaultWriteTimeout + time.Second)
		if got, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("all %d bytes were kept for it", len(got))
		}
	})
}

// TestUpstreamSilence has the client's own limits: two minutes before the first
// token, one behind it, and then half a minute for the one that goes on.
func TestUpstreamSilence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer mistralsim.Answer
		after  time.Duration
	}{
		{"no header", mistralsim.Answer{Stall: mistralsim.StallHeaders}, llm.DefaultFirstTokenTimeout},
		{"no token", mistralsim.Answer{Stall: mistralsim.StallTokens}, llm.DefaultFirstTokenTimeout},
		{"no second token", mistralsim.Answer{Tokens: []string{"a", "b"}, Stall: mistralsim.StallTokens, StallAfter: 1}, llm.DefaultIdleTimeout + 30*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.answer("go", tt.answer)
				began := time.Now()
				r.do("POST", "/chat", chatBody("", "go")).wantError(http.StatusGatewayTimeout, "upstream_timeout")
				if took := time.Since(began); took != tt.after {
					t.Errorf("told after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// TestRetriesWithinTheMinute: a rate limit that ends is not seen by the client.
func TestRetriesWithinTheMinute(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.RateLimited("40"))
		waiting := r.later("POST", "/chat", chatBody("", "go"))
		pass(20 * time.Second)
		r.answer("go", mistralsim.Answer{Text: "here"})
		if got := decode[chatReply](t, waiting().want(http.StatusOK)); got.Response != "here" {
			t.Errorf("got %+v", got)
		}
	}, withLLM(func(c *llm.Config) { c.MaxRetries, c.MaxRetryWait = 0, 0 }))
}

// TestSessionExpiry: an empty session lives five minutes, another half an hour
// from when it was last used; a connection and a running reply keep it.
func TestSessionExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		empty, used, running := r.newSession(), r.newSession(), r.newSession()
		r.do("POST", "/chat", chatBody(used, "hi")).want(http.StatusOK)
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 100), Pace: 50 * time.Second})
		r.follow("POST", "/chat", chatBody(running, "go")).close()

		pass(4 * time.Minute)
		r.session(empty)
		pass(4 * time.Minute) // it slides
		r.session(empty)
		pass(6 * time.Minute)
		r.do("GET", "/sessions/"+empty, "").wantError(http.StatusNotFound, "session_not_found")
		r.dial("/ws/" + empty).wantClose(4404)
		pass(session.DefaultTTL + time.Minute)
		r.do("POST", "/chat", chatBody(used, "hi")).wantError(http.StatusNotFound, "session_not_found")
		r.dial("/ws/" + used).wantClose(4404)

		p := r.join("/ws/" + running)
		wait := p.closes(1001)
		pass(3 * time.Hour)
		if m := r.session(running).Messages; len(m) != 2 || m[1].FinishReason != "stop" {
			t.Errorf("stored: %+v", m)
		}
		r.stop()
		wait()
	})
}

// TestStoreAwayForLong: the end of a reply that cannot be stored in time is not
// told: whoever follows is sent away to come back.
func TestStoreAwayForLong(t *testing.T) {
	f := new(storetest.Faults)
	bubble(t, func(t *testing.T, r *rig) {
		p := r.join("/ws")
		a, g := held(1, "so", " far", ".") // the last text may be stored with the end alone, and is shown then
		a.Pace = time.Second
		r.answer("go", a)
		p.say("", "go")
		reply := p.begin()
		s := r.follow("GET", "/sessions/"+p.ready.Conversation+"/stream", "")
		ended := make(chan struct{})
		go func() { defer close(ended); s.rest() }()
		waiting := r.later("POST", "/chat", chatBody("", "go"))
		g.wait(t)
		pass(time.Second)
		f.Set(failing(session.ErrUnavailable))
		g.open()
		p.delta(&reply, "so far")
		began := time.Now()
		for _, f := range p.wantClose(1013) {
			if f.Type != "text-delta" {
				t.Errorf("got %+v of a reply that is not stored", f)
			}
		}
		if took := time.Since(began); took < 29*time.Second || took > 40*time.Second {
			t.Errorf("sent away after %v", took)
		}
		<-ended
		if s.done || !strings.HasPrefix(s.text, "so far") {
			t.Errorf("the stream has %q, [DONE] %v", s.text, s.done)
		}
		waiting().wantError(http.StatusServiceUnavailable, "store_unavailable")
	}, withStore(store(shared).behind(f)))
}
