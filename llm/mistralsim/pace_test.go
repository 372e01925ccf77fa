package mistralsim

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clocked is a ResponseWriter that notes when how many events were flushed.
type clocked struct {
	httptest.ResponseRecorder
	start time.Time
	log   []string
}

func newClocked() *clocked {
	return &clocked{ResponseRecorder: *httptest.NewRecorder(), start: time.Now()}
}

func (c *clocked) Flush() {
	c.log = append(c.log, fmt.Sprintf("%v:%d", time.Since(c.start), bytes.Count(c.Body.Bytes(), []byte("\n\n"))))
	c.ResponseRecorder.Flush()
}

func request(ctx context.Context, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	return r
}

// TestPace holds when which event leaves: the role comes with the first token,
// the end with the last.
func TestPace(t *testing.T) {
	tokens := []string{"a", "b", "c", "d", "e"}
	const first, pace = time.Second, 100 * time.Millisecond
	slow := func(ctx context.Context, i int) {
		if i == 2 {
			time.Sleep(time.Second)
		}
	}
	const prefixed = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"},{"role":"assistant","prefix":true,"content":"ab"}]}`
	cases := []struct {
		name string
		ans  Answer
		body string
		want string
	}{
		{"each", Answer{Tokens: tokens, FirstToken: first, Pace: pace}, streamed, "0s:0 1s:2 1.1s:3 1.2s:4 1.3s:5 1.4s:6 1.4s:8"},
		{"two at a time", Answer{Tokens: tokens, FirstToken: first, Pace: pace, Flush: 2}, streamed, "0s:0 1.1s:3 1.3s:5 1.4s:8"},
		{"many at a time", Answer{Tokens: tokens, FirstToken: first, Pace: pace, Flush: 32}, streamed, "0s:0 1.4s:8"},
		{"text on the last chunk", Answer{Tokens: tokens, FirstToken: first, Pace: pace, FinishWithText: true}, streamed, "0s:0 1s:2 1.1s:3 1.2s:4 1.3s:5 1.4s:7"},
		{"at once", Answer{Tokens: tokens, Flush: 32}, streamed, "0s:8"},
		{"no first wait", Answer{Tokens: tokens[:2], Pace: pace}, streamed, "0s:2 100ms:3 100ms:5"},
		{"held up", Answer{Tokens: tokens[:3], Pace: pace, Hold: slow}, streamed, "0s:1 0s:2 0s:2 100ms:3 100ms:3 1.1s:4 1.1s:4 1.1s:6"},
		{"prefix", Answer{Tokens: tokens, FirstToken: first, Pace: pace}, prefixed, "0s:0 1s:2 1s:3 1s:4 1.1s:5 1.2s:6 1.2s:8"},
		{"nothing", Answer{FirstToken: first}, streamed, "0s:0 1s:3"},
		{"whole", Answer{Tokens: tokens, FirstToken: first, Pace: pace}, notStreamed, "1.4s:0"},
		{"refused", Answer{Status: 503, FirstToken: first}, streamed, "1s:0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newClocked()
				New(saying(c.ans)).ServeHTTP(w, request(t.Context(), c.body))
				if got := strings.Join(w.log, " "); got != c.want {
					t.Errorf("got %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// TestPaceCatchesUp wants a late token not to delay those behind it.
func TestPaceCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{first: time.Second, pace: 100 * time.Millisecond, start: time.Now()}
		defer p.stop()
		start := time.Now()
		time.Sleep(1250 * time.Millisecond)
		for i, want := range []time.Duration{1250, 1250, 1250, 1300, 1400} {
			if err := p.wait(t.Context(), i); err != nil || time.Since(start) != want*time.Millisecond {
				t.Errorf("token %d after %v (%v), want %v", i, time.Since(start), err, want*time.Millisecond)
			}
		}
	})
}

// TestLeavingWhileWaiting wants the client's leaving seen at once, whatever the
// reply waits for.
func TestLeavingWhileWaiting(t *testing.T) {
	for _, ans := range []Answer{
		{Text: "hello", FirstToken: time.Hour},
		{Text: "hello", Pace: time.Hour},
		{Status: 503, FirstToken: time.Hour},
		{Text: "hello", Stall: StallHeaders},
		{Text: "hello", Stall: StallTokens},
		{Text: "hello", Hold: func(ctx context.Context, _ int) { <-ctx.Done() }},
	} {
		for _, body := range []string{streamed, notStreamed} {
			synctest.Test(t, func(t *testing.T) {
				ctx, leave := context.WithTimeout(t.Context(), time.Minute)
				defer leave()
				sim, start := New(saying(ans)), time.Now()
				sim.ServeHTTP(httptest.NewRecorder(), request(ctx, body))
				r := sim.Requests()[0]
				if got := time.Since(start); got != time.Minute || !r.Gone().Equal(start.Add(time.Minute)) {
					t.Errorf("%+v: returned after %v, gone at %v", ans, got, r.Gone())
				}
			})
		}
	}
}

// TestDemo wants the demo's voice alive: it thinks, and then writes.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := New(Config{Models: []string{DemoModel}, Answer: Demo})
		start, w := time.Now(), newClocked()
		sim.ServeHTTP(w, request(t.Context(), `{"model":"eliza (simulated)","stream":true,"messages":[{"role":"user","content":"tell me a long story"}]}`))
		text := told(events(t, w.Body.String()))
		if !strings.HasPrefix(text, "# The keeper of the last lighthouse") || !strings.HasSuffix(text, "🌊") {
			t.Errorf("got %.40s … %s", text, text[max(0, len(text)-40):])
		}
		if d := time.Since(start); d < 20*time.Second || d > 40*time.Second {
			t.Errorf("the long story took %v", d)
		}
	})
}
