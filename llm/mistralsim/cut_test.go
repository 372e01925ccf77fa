package mistralsim

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

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
		resp, err := srv.Client().Do(post(t.Context(), t, srv, notStreamed))
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
