package llm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// Times here are those of synctest's fake clock.

func TestSilence(t *testing.T) {
	begin := func(w http.ResponseWriter, parts ...string) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, part := range parts {
			_, _ = io.WriteString(w, part)
			flush(w)
			if part != "" {
				<-time.After(50 * time.Second)
			}
		}
	}
	hang := func(r *http.Request) { <-r.Context().Done() }
	role := `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   time.Duration
	}{
		{"no header", func(w http.ResponseWriter, r *http.Request) { hang(r) }, 120 * time.Second},
		{"no event", func(w http.ResponseWriter, r *http.Request) { begin(w, ""); hang(r) }, 120 * time.Second},
		{"no token", func(w http.ResponseWriter, r *http.Request) { begin(w, role); hang(r) }, 120 * time.Second},
		{"comments only", func(w http.ResponseWriter, r *http.Request) { begin(w, ": ping\n\n", ": ping\n\n"); hang(r) }, 170 * time.Second},
		{"behind a token", func(w http.ResponseWriter, r *http.Request) { begin(w, event(`"a"`)); hang(r) }, 60 * time.Second},
		{"behind three", func(w http.ResponseWriter, r *http.Request) {
			begin(w, event(`"a"`), event(`"b"`), event(`"c"`))
			hang(r)
		}, 160 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, stop := inMemory(t, test.answer)
				defer stop()
				began := time.Now()
				_, err := m.GenerateContent(t.Context(), ask)
				wantError(t, err, llms.ErrCodeTimeout)
				if errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error("silence counts as a cut answer")
				}
				if took := time.Since(began); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
			})
		})
	}
}

// TestLateEnd holds that a server that does not close behind its answer costs a
// moment, not the answer.
func TestLateEnd(t *testing.T) {
	reason := event(`"a"`) + finish("stop")
	for name, test := range map[string]struct {
		body string
		want time.Duration
	}{
		"behind the reason": {reason[:len(reason)-len("data: [DONE]\n\n")], lateUsage},
		"behind [DONE]":     {reason, lateEnd},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, stop := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
					streams(test.body)(w, r)
					flush(w)
					<-r.Context().Done()
				})
				defer stop()
				began := time.Now()
				resp, err := m.GenerateContent(t.Context(), ask)
				if err != nil || resp.Choices[0].Content != "a" {
					t.Fatalf("got %v, %v", resp, err)
				}
				if took := time.Since(began); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
			})
		})
	}
}

// TestCancel ends calls wherever they may wait. That no goroutine stays is held
// by the bubble.
func TestCancel(t *testing.T) {
	gone := func(r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"before the header", func(w http.ResponseWriter, r *http.Request) { gone(r) }},
		{"before the first token", func(w http.ResponseWriter, r *http.Request) {
			streams(": hello\n\n")(w, r)
			flush(w)
			gone(r)
		}},
		{"between tokens", func(w http.ResponseWriter, r *http.Request) {
			streams(event(`"a"`))(w, r)
			flush(w)
			gone(r)
		}},
		{"in an error's body", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			flush(w)
			gone(r)
		}},
		{"in a wait", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		}},
	}
	for _, test := range tests {
		for _, end := range []string{"cancel", "deadline"} {
			t.Run(test.name+", "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var left time.Time
					m, stop := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
						test.answer(w, r)
						left = time.Now()
					})
					defer stop()
					reason := errors.New("the user pressed stop")
					ctx, cancel := context.WithCancelCause(t.Context())
					code, is, cause := llms.ErrCodeCanceled, context.Canceled, reason
					if end == "deadline" {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Second)
						defer cancel()
						code, is, cause = llms.ErrCodeTimeout, context.DeadlineExceeded, context.DeadlineExceeded
					} else {
						time.AfterFunc(time.Second, func() { cancel(reason) })
					}
					began := time.Now()
					_, err := m.GenerateContent(ctx, ask)
					wantError(t, err, code)
					if !errors.Is(err, is) || !errors.Is(err, cause) || errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("got %v, cause %v", err, errors.Unwrap(err))
					}
					if took := time.Since(began); took != time.Second {
						t.Errorf("took %v", took)
					}
					synctest.Wait()
					if left.IsZero() || left.Sub(began) > time.Second {
						t.Errorf("the server saw its client leave at %v", left)
					}
					cancel(nil)
				})
			})
		}
	}
}

func TestCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("was asked") })
	_, err := m.GenerateContent(ctx, ask)
	wantError(t, err, llms.ErrCodeCanceled)
}

// TestUnwanted ends the request when the StreamingFunc has enough.
func TestUnwanted(t *testing.T) {
	left := make(chan struct{})
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		streams(event(`"a"`))(w, r)
		flush(w)
		<-r.Context().Done()
	})
	enough := errors.New("enough")
	_, err := m.GenerateContent(t.Context(), ask, llms.WithStreamingFunc(func(context.Context, []byte) error { return enough }))
	wantError(t, err, llms.ErrCodeCanceled)
	if !errors.Is(err, enough) {
		t.Errorf("%v does not wrap the function's error", err)
	}
	waitFor(t, left, "the server sees its client leave")

	thinks := event(`[{"type":"thinking","thinking":"hm"}]`) + finish("stop")
	_, err = serve(t, streams(thinks)).GenerateContent(t.Context(), ask,
		llms.WithStreamingReasoningFunc(func(context.Context, []byte, []byte) error { return enough }))
	wantError(t, err, llms.ErrCodeCanceled)
}
