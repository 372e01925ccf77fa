package llm

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// script answers one request after the other, the last one for good, and keeps
// their bodies and times.
type script struct {
	t       *testing.T
	answers []http.HandlerFunc
	bodies  []string
	times   []time.Time
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.bodies = append(s.bodies, string(body))
	s.times = append(s.times, time.Now())
	s.answers[min(len(s.bodies), len(s.answers))-1](w, r)
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func drop(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }

func TestRetry(t *testing.T) {
	good := streams(hello)
	// breaks is a stream that ends before the first token.
	breaks := streams(`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n")
	tests := []struct {
		name    string
		answers []http.HandlerFunc
		asked   int
		want    llms.ErrorCode // "": an answer
		longest time.Duration
	}{
		{"every status", []http.HandlerFunc{status(408), status(409), status(425), status(500), status(529), good}, 6, "", 16 * time.Second},
		{"gateway", []http.HandlerFunc{status(502), status(503), status(504), status(520), good}, 5, "", 8 * time.Second},
		{"connection", []http.HandlerFunc{drop, drop, good}, 3, "", 2 * time.Second},
		{"cut before the first token", []http.HandlerFunc{breaks, good}, 2, "", time.Second},
		{"rate event", []http.HandlerFunc{streams(`data: {"object":"error","code":"1300"}` + "\n\n"), good}, 2, "", time.Second},
		{"overload by its name", []http.HandlerFunc{streams(`data: {"error":{"type":"engine_overloaded_error","message":"x"}}` + "\n\n"),
			streams(`data: {"error":{"type":"ServiceUnavailableError"}}` + "\n\n"), streams(`data: {"error":{"code":"RateLimitError"}}` + "\n\n"), good}, 4, "", 4 * time.Second},
		{"stays down", []http.HandlerFunc{status(503)}, 6, llms.ErrCodeProviderUnavailable, 16 * time.Second},
		{"stays cut", []http.HandlerFunc{breaks}, 6, llms.ErrCodeProviderUnavailable, 16 * time.Second},
		{"refused", []http.HandlerFunc{status(400), good}, 1, llms.ErrCodeInvalidRequest, 0},
		{"no key", []http.HandlerFunc{status(401), good}, 1, llms.ErrCodeAuthentication, 0},
		{"not implemented", []http.HandlerFunc{status(501), good}, 1, llms.ErrCodeProviderUnavailable, 0},
		{"refused later", []http.HandlerFunc{status(503), status(422), good}, 2, llms.ErrCodeInvalidRequest, time.Second},
		{"behind the first token", []http.HandlerFunc{streams(event(`"a"`)), good}, 1, llms.ErrCodeProviderUnavailable, 0},
		{"behind a thought", []http.HandlerFunc{streams(event(`[{"type":"thinking","thinking":"hm"}]`)), good}, 2, "", time.Second},
		{"no quota", []http.HandlerFunc{status(429, "x-ratelimit-limit-req-minute", "0"), good}, 1, llms.ErrCodeQuotaExceeded, 0},
		{"asks for too long", []http.HandlerFunc{status(429, "Retry-After", "3600"), good}, 1, llms.ErrCodeRateLimit, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: test.answers}
				var waits []time.Duration
				m, stop := inMemory(t, s.ServeHTTP, func(c *Config) {
					c.OnRetry = func(wait time.Duration, err *llms.Error) {
						if waits = append(waits, wait); err.Code == "" {
							t.Error("no error is told")
						}
					}
				})
				defer stop()
				got, option := gather()
				began := time.Now()
				resp, err := m.GenerateContent(t.Context(), ask, option)
				if took := time.Since(began); took > test.longest {
					t.Errorf("took %v", took)
				}
				if len(s.bodies) != test.asked || len(waits) != test.asked-1 {
					t.Errorf("asked %d times, waited %d times", len(s.bodies), len(waits))
				}
				for _, body := range s.bodies {
					if body == "" || body != s.bodies[0] {
						t.Errorf("a retry sent %q", body)
					}
				}
				if test.want != "" {
					wantError(t, err, test.want)
					return
				}
				if err != nil || got.String() != "Hello world" || resp.Choices[0].Content != "Hello world" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		})
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []http.HandlerFunc{
			status(429, "Retry-After", "7"),
			func(w http.ResponseWriter, r *http.Request) {
				status(503, "Retry-After", time.Now().Add(11*time.Second).UTC().Format(http.TimeFormat))(w, r)
			},
			streams(hello)}}
		m, stop := inMemory(t, s.ServeHTTP)
		defer stop()
		if _, err := m.GenerateContent(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		// A date has no fractions of a second.
		if first, second := s.times[1].Sub(s.times[0]), s.times[2].Sub(s.times[1]); first < 7*time.Second || first > 12*time.Second || second <= 10*time.Second || second > 17*time.Second {
			t.Errorf("waited %v and %v", first, second)
		}
	})
}

// TestRateMinute is about a rate limit without Retry-After, whose window is a
// minute of the server's clock, shown to the second: waiting has to outlast it.
func TestRateMinute(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			window := time.Now().Truncate(time.Minute).Add(time.Minute)
			limited := func(w http.ResponseWriter, r *http.Request) {
				if time.Now().Before(window) {
					status(429)(w, r)
				} else {
					streams(hello)(w, r)
				}
			}
			s := &script{t: t, answers: []http.HandlerFunc{limited}}
			m, stop := inMemory(t, s.ServeHTTP)
			defer stop()
			if _, err := m.GenerateContent(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
			last := s.times[len(s.times)-1]
			if late := last.Sub(window); late < 0 || late > minuteSpread+time.Second {
				t.Errorf("came %v behind the minute", late)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m, stop := inMemory(t, status(429))
		defer stop()
		began := time.Now()
		_, err := m.GenerateContent(t.Context(), ask)
		e := wantError(t, err, llms.ErrCodeRateLimit)
		if after, _ := e.Details["retry_after"].(time.Duration); after <= 0 || after > time.Minute {
			t.Errorf("retry_after %v", e.Details["retry_after"])
		}
		if took := time.Since(began); took > DefaultMaxElapsed {
			t.Errorf("took %v", took)
		}
	})
}

func TestWaits(t *testing.T) {
	r := &Config{MaxRetries: 1000, MaxRetryWait: 3 * time.Second}
	down := &failure{Error: llms.NewError(llms.ErrCodeProviderUnavailable, provider, "x"), transient: true}
	var waits []time.Duration
	for range 500 {
		wait, ok := r.nextWait(9, down)
		if !ok {
			t.Fatal("gave up")
		}
		waits = append(waits, wait)
	}
	if low, high := slices.Min(waits), slices.Max(waits); low > time.Second || high < 2*time.Second || high > 3*time.Second {
		t.Errorf("500 waits were between %v and %v", low, high)
	}
	if _, ok := r.nextWait(1000, down); ok {
		t.Error("more attempts than allowed")
	}
	if b := NewBudget(9, time.Hour); !b.allows(time.Hour-1) || b.allows(time.Hour) {
		t.Error("an attempt begins too late, or too early")
	}
	if _, ok := r.nextWait(0, &failure{Error: down.Error}); ok {
		t.Error("tries again what stays as it is")
	}
}

// TestRedirect holds that neither key nor conversation follow a redirect.
func TestRedirect(t *testing.T) {
	asked := false
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { asked = true })
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.endpoint, http.StatusTemporaryRedirect)
	})
	_, err := m.GenerateContent(t.Context(), ask)
	wantError(t, err, llms.ErrCodeInvalidRequest)
	if asked || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("followed: %v, %v", asked, err)
	}
}
