package mistralsim

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

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
				req := post(ctx, t, srv, streamed)
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
