package llm

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// TestDoneIsAnEnd: [DONE] ends an answer that has no finish_reason.
func TestDoneIsAnEnd(t *testing.T) {
	two := event(`"Hel"`) + event(`"lo"`)
	counted := `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}` + "\n\n"
	for name, test := range map[string]struct{ body, text string }{
		"behind two chunks":            {two + "data: [DONE]\n\n", "Hello"},
		"behind a usage":               {two + counted + "data: [DONE]\n\n", "Hello"},
		"without a space":              {two + "data:[DONE]\n\n", "Hello"},
		"with CR LF":                   {two + "data: [DONE]\r\n\r\n", "Hello"},
		"without an empty line":        {two + "data: [DONE]\n", "Hello"},
		"with spaces around it":        {two + "data:  [DONE] \n\n", "Hello"},
		"with a space behind it":       {two + "data: [DONE] ", "Hello"},
		"without a line end":           {two + "data: [DONE]", "Hello"},
		"a reason of no letters":       {two + `data: {"choices":[{"index":0,"delta":{},"finish_reason":""}]}` + "\n\ndata: [DONE]\n\n", "Hello"},
		"a null reason in a last one":  {two + `data: {"choices":[{"index":0,"delta":{},"finish_reason":null}]}` + "\n\ndata: [DONE]\n\n", "Hello"},
		"with more behind it":          {two + "data: [DONE]\n\n" + event(`"x"`), "Hello"},
		"behind a chunk without a key": {`data: {"choices":[{"delta":{"content":"Hello"}}]}` + "\n\ndata: [DONE]\n\n", "Hello"},
		"alone":                        {"data: [DONE]\n\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: []http.HandlerFunc{streams(test.body)}}
				m, stop := inMemory(t, s.ServeHTTP)
				defer stop()
				got, option := gather()
				resp, err := m.GenerateContent(t.Context(), ask, option)
				if err != nil || got.String() != test.text || resp.Choices[0].StopReason != "stop" || len(s.bodies) != 1 {
					t.Errorf("%q, %+v, %v after %d requests", got, resp, err, len(s.bodies))
				}
			})
		})
	}
}

// TestNoEnd tells a body that ended properly without an end mark from one that
// was cut, and what adds nothing to a given text is not asked for again.
func TestNoEnd(t *testing.T) {
	hangUp := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			streams(body)(w, r)
			flush(w)
			panic(http.ErrAbortHandler)
		}
	}
	half := event(`"lo"`)[:40]
	for name, test := range map[string]struct {
		given  string
		answer http.HandlerFunc
		noEnd  bool
		asked  int
	}{
		"text":                        {"", streams(event(`"Hello"`)), true, 1},
		"text and half an event":      {"", streams(event(`"Hel"`) + half), false, 1},
		"a connection that is cut":    {"", hangUp(event(`"Hello"`)), false, 1},
		"nothing":                     {"", streams(": hi\n\n"), true, 6},
		"the given text alone":        {"Hello ", streams(event(`"Hello"`)), true, 1},
		"the given text, and a cut":   {"Hello", hangUp(event(`"Hello"`)), false, 6},
		"the given text, half a word": {"Hello", streams(event(`"Hello"`) + half), false, 6},
		"a part of the given text":    {"Hello", streams(event(`"Hel"`)), true, 6},
		"more than the given text":    {"Hello", streams(event(`"Hello you"`)), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: []http.HandlerFunc{test.answer}}
				m, stop := inMemory(t, s.ServeHTTP)
				defer stop()
				_, err := m.GenerateContent(t.Context(), goOn(test.given))
				wantError(t, err, llms.ErrCodeProviderUnavailable)
				if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNoEnd) != test.noEnd || len(s.bodies) != test.asked {
					t.Errorf("%v after %d requests, no end: %v", err, len(s.bodies), errors.Is(err, ErrNoEnd))
				}
			})
		})
	}
}

// TestBudget: the calls with one budget make no more requests than it has, and
// wait no longer than MaxElapsed together.
func TestBudget(t *testing.T) {
	texts := func(token string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			streams(event(token))(w, r)
			flush(w)
			panic(http.ErrAbortHandler)
		}
	}
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		calls   int
		asked   int
		longest time.Duration
	}{
		"statuses":            {[]http.HandlerFunc{status(503)}, 5, 6, 20 * time.Second},
		"cuts":                {[]http.HandlerFunc{texts(`"a"`)}, 9, 6, 0},
		"statuses and cuts":   {[]http.HandlerFunc{status(500), texts(`"a"`), status(500), status(500), texts(`"a"`)}, 9, 6, 20 * time.Second},
		"waits as they asked": {[]http.HandlerFunc{status(429, "Retry-After", "50")}, 5, 2 + 4, 90 * time.Second},
		"slow refusals": {[]http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(40 * time.Second):
				status(503)(w, r)
			case <-r.Context().Done():
			}
		}}, 9, 3, 121 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: test.answers}
				m, stop := inMemory(t, s.ServeHTTP)
				defer stop()
				b := NewBudget(6, DefaultMaxElapsed)
				began := time.Now()
				for range test.calls {
					if _, err := m.GenerateContent(WithBudget(t.Context(), b), ask); err == nil {
						t.Error("an answer")
					}
				}
				synctest.Wait() // for a request that was given up
				if len(s.bodies) != test.asked || test.calls > 5 && !b.Spent() {
					t.Errorf("%d requests, spent: %v", len(s.bodies), b.Spent())
				}
				if took := time.Since(began); took > test.longest {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestTokens: what was generated is counted, whatever became of the answer.
func TestTokens(t *testing.T) {
	counted := func(n string) string {
		return `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":` + n + `}}` + "\n\n"
	}
	many := strings.Repeat(event(`"word "`), 500)
	for name, test := range map[string]struct {
		given, body string
		want        int
	}{
		"each event is a token":           {"", many, 500},
		"empty ones are none":             {"", event(`""`) + many + event(`null`) + finish("stop"), 500},
		"thoughts without text are none":  {"", event(`[{"type":"thinking","thinking":"hm"}]`), 0},
		"thoughts are tokens":             {"", event(`[{"type":"thinking","thinking":"hm"}]`) + many, 501},
		"the usage knows better":          {"", event(`"one and two "`) + event(`"and three"`) + counted("6"), 6},
		"unless it is less than was sent": {"", many + counted("6"), 500},
		"what is repeated is none":        {"word word word", many, 498}, // of the third, the space is new,
		"nor where it ends in an event":   {"wo", many, 500},
		"nor to the usage":                {"word word word", event(`"word word word"`) + event(`" !"`) + counted("5"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBudget(1, time.Hour)
			m := serve(t, streams(test.body))
			_, _ = m.GenerateContent(WithBudget(t.Context(), b), goOn(test.given))
			if b.Tokens() != test.want {
				t.Errorf("%d tokens, want %d", b.Tokens(), test.want)
			}
		})
	}
}
