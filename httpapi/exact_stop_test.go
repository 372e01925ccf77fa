package httpapi_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
)

// stops are the places at which a reply is stopped.
var stops = []struct {
	name   string
	answer mistralsim.Answer
	begun  bool // there is text
}{
	{"before the header", mistralsim.Answer{Stall: mistralsim.StallHeaders}, false},
	{"before the first token", mistralsim.Answer{Text: "x", Stall: mistralsim.StallTokens}, false},
	{"between tokens", mistralsim.Answer{Tokens: []string{"a", "b"}, Stall: mistralsim.StallTokens, StallAfter: 1}, true},
	{"in full flow", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 1<<20), Pace: 100 * time.Microsecond}, true},
}

// stopServer is a server whose model gives one kind of answer and hands every
// request out.
func stopServer(tb testing.TB, a mistralsim.Answer) (*exactServer, <-chan *mistralsim.Request) {
	requests := make(chan *mistralsim.Request, 1)
	return newExactServer(tb, exactOptions{voice: func(r *mistralsim.Request) mistralsim.Answer {
		requests <- r
		return a
	}}), requests
}

// begin says something and returns the request that the model gets for it, once
// there is text if there is to be any.
func begin(tb testing.TB, s *refSocket, p *refPage, requests <-chan *mistralsim.Request, text bool) *mistralsim.Request {
	tb.Helper()
	if err := s.say(uuid.NewString(), "x"); err != nil {
		tb.Fatal(err)
	}
	req := <-requests
	for text && (p.last() == nil || len(p.last().text()) == 0) {
		takeFrame(tb, s, p)
	}
	return req
}

func takeFrame(tb testing.TB, s *refSocket, p *refPage) *refFrame {
	tb.Helper()
	raw, err := s.read()
	if err != nil {
		tb.Fatal(err)
	}
	f, err := p.take(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// TestExactStop holds that a stop ends the request to the model too, wherever
// the reply stands, and that the client is told in order: the reply's abort,
// then the outcome.
func TestExactStop(t *testing.T) {
	for _, tt := range stops {
		t.Run(tt.name, func(t *testing.T) {
			x, requests := stopServer(t, tt.answer)
			p := new(refPage)
			s := x.connect(t, p, refDial{})
			for _, overREST := range []bool{false, true} {
				req := begin(t, s, p, requests, tt.begun)
				if overREST {
					status, body, err := x.call("POST", "/sessions/"+p.session+"/stop", "")
					if err != nil || status != http.StatusOK || string(body) != `{"outcome":"stopped"}`+"\n" {
						t.Fatalf("stop: %d %s %v", status, body, err)
					}
				} else if err := s.write(`{"type":"stop"}`); err != nil {
					t.Fatal(err)
				}
				await(t, req.Done(), "the simulator sees its client go")
				if req.Gone().IsZero() {
					t.Error("the simulator's reply was not cut short")
				}
				for takeFrame(t, s, p).Type != "abort" {
				}
				if !overREST {
					if f := takeFrame(t, s, p); f.Type != "stopped" || f.Outcome != "stopped" {
						t.Errorf("behind the abort comes %+v, want stopped", f)
					}
				}
				stored, err := x.stored(p.session)
				if err != nil {
					t.Fatal(err)
				}
				if d := p.differs(stored); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// BenchmarkStop measures how long after a stop frame was sent the simulator
// sees its client gone; the contract's bound is 50 ms.
func BenchmarkStop(b *testing.B) {
	for _, bb := range stops {
		b.Run(bb.name, func(b *testing.B) {
			x, requests := stopServer(b, bb.answer)
			s, err := dialRefSocket(x.addr, "/ws", refDial{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()
			p := new(refPage)
			var took []time.Duration
			for b.Loop() {
				req := begin(b, s, p, requests, bb.begun)
				sent := time.Now()
				if err := s.write(`{"type":"stop"}`); err != nil {
					b.Fatal(err)
				}
				<-req.Done()
				took = append(took, req.Gone().Sub(sent))
				for takeFrame(b, s, p).Type != "stopped" {
				}
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "ms-median")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "ms-p99")
		})
	}
}
