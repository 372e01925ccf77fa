package mistralsim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestFaults holds the ready-made refusals to what was recorded.
func TestFaults(t *testing.T) {
	const detail = `[{"type":"extra_forbidden","loc":["body","store"],"msg":"Extra inputs are not permitted","input":false}]`
	cases := []struct {
		name   string
		ans    Answer
		status int
		body   string
		header map[string]string
	}{
		{"unauthorized", Unauthorized(), 401, `{"detail":"Unauthorized"}`, nil},
		{"unauthorized at the gateway", UnauthorizedKong(), 401, "{\n\"message\":\"Unauthorized\",\n\"request_id\":\"933f5a47d0b6a15e2c3c9c68a76a8d25\"\n}", nil},
		{"rate limited", RateLimited(""), 429,
			`{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`,
			map[string]string{"Retry-After": "", "X-Ratelimit-Remaining-Req-Minute": "0", "X-Ratelimit-Limit-Req-Minute": "23"}},
		{"rate limited for a while", RateLimited("17"), 429, `"code":"1300"`, map[string]string{"Retry-After": "17"}},
		{"overloaded", Overloaded(), 429,
			`{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}`, nil},
		{"unavailable", Unavailable(), 503, `{"object":"error","message":"Internal server error","type":"unreachable_backend","param":null,"code":"1100"}`, nil},
		{"internal error", InternalError(), 500, "Internal Server Error", map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		{"520", Cloudflare520(), 520, "<!DOCTYPE html>", map[string]string{"Content-Type": "text/html; charset=UTF-8"}},
		{"forbidden", Forbidden(), 403, `{"detail":"Forbidden"}`, nil},
		{"unknown model", ModelUnknown("foo"), 400, `{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}`, nil},
		{"prompt too long", PromptTooLong(264620, 262144), 400,
			`{"object":"error","message":"Prompt 264620 > 262144 maximum context length","type":"invalid_request_prompt_too_long","param":null,"code":"3059"}`, nil},
		{"unprocessable", Unprocessable("store"), 422, `{"detail":` + detail + `}`, nil},
		{"unprocessable, nested", UnprocessableNested("store"), 422,
			`{"object":"error","message":{"detail":` + detail + `},"type":"invalid_request_error","param":null,"code":null,"raw_status_code":422}`, nil},
		{"unprocessable, as an array", UnprocessableArray("store"), 422,
			`{"code":3001,"detail":` + detail + `,"message":` + detail + `,"object":"Error","type":"invalid_request_error"}`, nil},
		{"anything", Answer{Status: 418, Body: "\x00teapot", Header: http.Header{"X-Tea": {"green"}}}, 418, "\x00teapot", map[string]string{"X-Tea": "green"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sim, srv := serve(t, saying(c.ans))
			for _, body := range []string{streamed, notStreamed} {
				resp := ask(t.Context(), t, srv, body)
				got, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != c.status || !strings.Contains(string(got), c.body) {
					t.Errorf("%d %s (%v), want %d %s", resp.StatusCode, got, err, c.status, c.body)
				}
				if c.header["Content-Type"] == "" && resp.Header.Get("Content-Type") != "application/json" {
					t.Errorf("content-type %q", resp.Header.Get("Content-Type"))
				}
				for k, want := range c.header {
					if got := resp.Header.Get(k); got != want {
						t.Errorf("%s: %q, want %q", k, got, want)
					}
				}
			}
			if n := len(sim.Requests()); n != 2 {
				t.Errorf("%d requests are remembered, want 2", n)
			}
		})
	}
}

// protocols runs a test over HTTP/1.1 and over HTTP/2 with TLS.
func protocols(t *testing.T, cfg Config, test func(t *testing.T, sim *Server, srv *httptest.Server)) {
	t.Helper()
	for _, h2 := range []bool{false, true} {
		name := "HTTP/1.1"
		if h2 {
			name = "HTTP/2"
		}
		t.Run(name, func(t *testing.T) {
			sim := New(cfg)
			srv := httptest.NewUnstartedServer(sim)
			if srv.EnableHTTP2 = h2; h2 {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			test(t, sim, srv)
			srv.Client().CloseIdleConnections()
		})
	}
}

// TestCutAnywhere cuts a stream after each of its bytes: the client gets
// exactly those, and then an error, or with CleanEnd an end.
func TestCutAnywhere(t *testing.T) {
	var next atomic.Pointer[Answer]
	cfg := Config{Answer: func(*Request) Answer { return *next.Load() }}
	protocols(t, cfg, func(t *testing.T, sim *Server, srv *httptest.Server) {
		ans := Answer{Tokens: []string{"a\n", "é", "🙂 \"x\""}, Flush: 2}
		next.Store(&ans)
		_, whole, err := call(t, srv, streamed)
		if err != nil {
			t.Fatal(err)
		}
		// Paddings differ from request to request, and so does the length.
		for n := 1; n < len(whole)+100; n++ {
			ans := Answer{Tokens: ans.Tokens, Flush: 2, CutBytes: n, CleanEnd: n%3 == 0}
			next.Store(&ans)
			_, got, err := call(t, srv, streamed)
			if full := strings.HasSuffix(got, "[DONE]\n\n"); len(got) != n && !full {
				t.Fatalf("cut after %d bytes: got %d", n, len(got))
			}
			if (err == nil) != ans.CleanEnd {
				t.Fatalf("cut after %d bytes, clean %v: %v", n, ans.CleanEnd, err)
			}
			if err != nil && strings.HasPrefix(srv.URL, "http:") && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
		}
		for _, r := range sim.Requests() {
			wait(t, r)
			if !r.Gone().IsZero() {
				t.Error("a cut was taken for the client's leaving")
			}
		}
	})
}

func TestCutWithReset(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "hello, you there", CutTokens: 2, Reset: true}))
	_, got, err := call(t, srv, streamed)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes and %v, want a reset", len(got), err)
	}
}

// TestCutTokens cuts between events.
func TestCutTokens(t *testing.T) {
	tokens := []string{"a", "b", "c"}
	for _, c := range []struct {
		after, events int
		clean         bool
	}{{1, 2, false}, {2, 3, false}, {3, 4, false}, {9, 4, false}, {2, 3, true}} {
		sim, srv := serve(t, saying(Answer{Tokens: tokens, Flush: 2, CutTokens: c.after, CleanEnd: c.clean}))
		_, got, err := call(t, srv, streamed)
		if (err == nil) != c.clean || strings.Count(got, "\n\n") != c.events || strings.Contains(got, "[DONE]") || strings.Contains(got, "stop") {
			t.Errorf("cut after %d tokens: %v\n%s", c.after, err, got)
		}
		r := sim.Requests()[0]
		if wait(t, r); r.Sent() != c.events-1 {
			t.Errorf("cut after %d tokens: %d sent", c.after, r.Sent())
		}
	}
}

func TestCutWhole(t *testing.T) {
	for _, ans := range []Answer{{Text: "hello", CutBytes: 40}, {Text: "hello", CutBytes: 1 << 20}, {Text: "hello", CutTokens: 1}} {
		_, srv := serve(t, saying(ans))
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/v1/chat/completions", strings.NewReader(notStreamed))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.Client().Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%+v: no error", ans)
		}
	}
}

func TestNoDone(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "hello", NoDone: true}))
	_, got, err := call(t, srv, streamed)
	if err != nil || strings.Contains(got, "[DONE]") || !strings.Contains(got, `"finish_reason":"stop"`) {
		t.Errorf("%v: %s", err, got)
	}
}

// TestStall hangs before and after tokens; the client leaves, and that is seen.
func TestStall(t *testing.T) {
	cases := []struct {
		name   string
		ans    Answer
		header bool
		events int
	}{
		{"before the header", Answer{Text: "hello", Stall: StallHeaders}, false, 0},
		{"before the first token", Answer{Text: "hello", Stall: StallTokens}, true, 1},
		{"after two tokens", Answer{Tokens: []string{"a", "b", "c"}, Flush: 5, Stall: StallTokens, StallAfter: 2}, true, 3},
		{"before the end", Answer{Tokens: []string{"a", "b"}, Stall: StallTokens, StallAfter: 9}, true, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			began := make(chan *Request, 1)
			cfg := Config{Answer: func(r *Request) Answer { began <- r; return c.ans }}
			protocols(t, cfg, func(t *testing.T, sim *Server, srv *httptest.Server) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/chat/completions", strings.NewReader(streamed))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer key")
				req.Header.Set("Content-Type", "application/json")
				answered := make(chan error, 1)
				go func() {
					resp, err := srv.Client().Do(req)
					if err == nil {
						defer resp.Body.Close()
						buf := make([]byte, 4096)
						for n := 0; n < c.events; {
							var m int
							if m, err = resp.Body.Read(buf); err != nil {
								break
							}
							n += strings.Count(string(buf[:m]), "\n\n")
						}
						leave()
					}
					answered <- err
				}()
				r := <-began
				if !c.header {
					if sim.Active() != 1 {
						t.Errorf("%d replies are active, want 1", sim.Active())
					}
					leave()
				}
				if err := <-answered; (err == nil) != c.header {
					t.Errorf("client: %v", err)
				}
				wait(t, r)
				if r.Gone().IsZero() || r.Sent() != max(c.events-1, 0) || sim.Active() != 0 {
					t.Errorf("gone %v, %d tokens sent, %d active", r.Gone(), r.Sent(), sim.Active())
				}
			})
		})
	}
}

// TestLeavingMidStream wants the client's leaving seen while tokens flow as
// fast as they can, and when it has stopped reading.
func TestLeavingMidStream(t *testing.T) {
	ans := Answer{Text: strings.Repeat("endless ", 8<<20), Flush: 32}
	protocols(t, saying(ans), func(t *testing.T, sim *Server, srv *httptest.Server) {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		resp := ask(ctx, t, srv, streamed)
		if _, err := io.ReadFull(resp.Body, make([]byte, 1<<16)); err != nil {
			t.Fatal(err)
		}
		leave()
		r := sim.Requests()[0]
		wait(t, r)
		if r.Gone().IsZero() || r.Sent() == 0 {
			t.Errorf("gone %v after %d tokens", r.Gone(), r.Sent())
		}
	})
}

// TestExtraEvents places raw events, replaced chunks and holds.
func TestExtraEvents(t *testing.T) {
	const oops = `data: {"object":"error","message":"boom","type":"internal_server_error","param":null,"code":"1000"}` + "\n\n"
	if got := ErrorEvent("boom", "internal_server_error", "1000"); got != oops {
		t.Fatalf("got %s", got)
	}
	for after, want := range map[int]string{0: "role,EVENT,a,b,stop", 1: "role,a,EVENT,b,stop", 2: "role,a,b,EVENT,stop", 7: "role,a,b,EVENT,stop"} {
		_, srv := serve(t, saying(Answer{Tokens: []string{"a", "b"}, Event: oops, EventAfter: after}))
		_, got, err := call(t, srv, streamed)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, e := range strings.SplitAfter(strings.TrimSuffix(got, "data: [DONE]\n\n"), "\n\n") {
			for _, s := range [][2]string{{`"role"`, "role"}, {`"content":"a"`, "a"}, {`"content":"b"`, "b"}, {`"stop"`, "stop"}} {
				if strings.Contains(e, s[0]) {
					order = append(order, s[1])
				}
			}
			if e == oops {
				order = append(order, "EVENT")
			}
		}
		if got := strings.Join(order, ","); got != want {
			t.Errorf("after %d: %s, want %s", after, got, want)
		}
	}

	var asked []string
	sim, srv := serve(t, saying(Answer{Tokens: []string{"a", "b"}, Chunk: func(i int, token string) string {
		asked = append(asked, string(rune('1'+i))+token)
		if i == 0 {
			return `{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"A"}]},"finish_reason":null}]}`
		}
		return ""
	}}))
	_, got, err := call(t, srv, streamed)
	wait(t, sim.Requests()[0])
	if err != nil || strings.Join(asked, ",") != "0,1a,2b,3" {
		t.Errorf("asked for %v (%v)", asked, err)
	}
	if !strings.Contains(got, `data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"A"}]},"finish_reason":null}]}`+"\n\n") ||
		strings.Contains(got, `"content":"a"`) || !strings.Contains(got, `"content":"b"`) {
		t.Errorf("got %s", got)
	}
}

// TestHold lets the test decide when each token comes.
func TestHold(t *testing.T) {
	holding, release := make(chan int), make(chan struct{})
	ans := Answer{Tokens: []string{"a", "b"}, Flush: 9, Hold: func(ctx context.Context, i int) {
		select {
		case holding <- i:
			<-release
		case <-ctx.Done():
		}
	}}
	sim, srv := serve(t, saying(ans))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ask(ctx, t, srv, streamed) // the header comes before the first hold
	for i := range 2 {
		if got := <-holding; got != i {
			t.Fatalf("held before token %d, want %d", got, i)
		}
		if got := sim.Requests()[0].Sent(); got != i {
			t.Errorf("%d tokens are sent before token %d", got, i)
		}
		release <- struct{}{}
	}
	leave() // held before the end
	r := sim.Requests()[0]
	wait(t, r)
	if r.Gone().IsZero() || r.Sent() != 2 {
		t.Errorf("gone %v after %d tokens", r.Gone(), r.Sent())
	}
}
