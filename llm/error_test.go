package llm

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// TestRefusals holds the errors to every body in MISTRAL.md section 3.
func TestRefusals(t *testing.T) {
	const rejected = `"Extra inputs are not permitted"`
	tests := []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   llms.ErrorCode
		code   string // the detail
		says   string // a part of the message
		again  bool
	}{
		{name: "key", status: 401, body: `{"detail":"Unauthorized"}`, want: llms.ErrCodeAuthentication, says: "Unauthorized"},
		{name: "key, Kong", status: 401, body: "{\n\"message\":\"Unauthorized\",\n\"request_id\":\"933f\"\n}", want: llms.ErrCodeAuthentication, says: "Unauthorized"},
		{name: "key, other words", status: 401, body: `{"detail":"Invalid API Key"}`, want: llms.ErrCodeAuthentication, says: "Invalid API Key"},
		{name: "forbidden", status: 403, body: `{"detail":"Forbidden"}`, want: llms.ErrCodeAuthentication, says: "guardrail"},
		{name: "path", status: 404, body: `{"message":"no Route matched with those values","request_id":"x"}`, want: llms.ErrCodeResourceNotFound, says: "no Route matched"},
		{name: "model", status: 400, body: `{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}`, want: llms.ErrCodeInvalidRequest, code: "1500", says: "Invalid model: foo"},
		{name: "arguments", status: 400, body: `{"object":"error","message":"Reasoning prompt mode is not enabled for this model","type":"invalid_request_invalid_args","param":null,"code":"3051","raw_status_code":400}`, want: llms.ErrCodeInvalidRequest, code: "3051", says: "Reasoning"},
		{name: "order", status: 400, body: `{"object":"error","message":"Expected last role User or Tool","type":"invalid_request_message_order","param":null,"code":"3230"}`, want: llms.ErrCodeInvalidRequest, code: "3230"},
		{name: "prompt too long", status: 400, body: `{"object":"error","message":"Prompt 264620 > 262144 maximum context length","type":"invalid_request_prompt_too_long","param":null,"code":"3059"}`, want: llms.ErrCodeTokenLimit, code: "3059", says: "264620"},
		{name: "detail list", status: 422, body: `{"detail":[{"type":"extra_forbidden","loc":["body","store"],"msg":` + rejected + `,"input":"what the user said"}]}`, want: llms.ErrCodeInvalidRequest, says: "body.store: Extra inputs"},
		{name: "message is an object", status: 422, body: `{"object":"error","message":{"detail":[{"loc":["body","x",0],"msg":` + rejected + `,"input":"what the user said"}]},"type":"invalid_request_error","param":null,"code":null,"raw_status_code":422}`, want: llms.ErrCodeInvalidRequest, says: "body.x.0: Extra inputs"},
		{name: "message is a list, code a number", status: 422, body: `{"object":"Error","detail":[],"message":[{"loc":["body","tools"],"msg":` + rejected + `}],"type":"invalid_request_error","code":3001}`, want: llms.ErrCodeInvalidRequest, code: "3001", says: "body.tools: Extra inputs"},
		{name: "rate", status: 429, body: `{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}`, want: llms.ErrCodeRateLimit, code: "1300", says: "Rate limit exceeded", again: true},
		{name: "rate, old", status: 429, body: `{"message":"Requests rate limit exceeded"}`, want: llms.ErrCodeRateLimit, again: true},
		{name: "capacity", status: 429, body: `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}`, want: llms.ErrCodeRateLimit, code: "3505", says: "no capacity", again: true},
		{name: "capacity, later", status: 503, body: `{"object":"error","message":"Service tier capacity exceeded for this model.","code":"3505"}`, want: llms.ErrCodeRateLimit, code: "3505", again: true},
		{name: "no quota", status: 429, header: map[string]string{"x-ratelimit-limit-req-minute": "0"}, body: `{"code":"1300"}`, want: llms.ErrCodeQuotaExceeded, code: "1300", says: "waiting does not help"},
		{name: "backend", status: 503, body: `{"object":"error","message":"Internal server error","type":"unreachable_backend","param":null,"code":"1100"}`, want: llms.ErrCodeProviderUnavailable, code: "1100", again: true},
		{name: "Cloudflare", status: 520, body: "<!DOCTYPE html>\n<html><body>Web server is returning an unknown error", want: llms.ErrCodeProviderUnavailable, says: "HTML page", again: true},
		{name: "docs' shape", status: 404, body: `{"error":{"message":"no such thing","code":"unknown_model"}}`, want: llms.ErrCodeResourceNotFound, says: "no such thing", code: "unknown_model"},
		{name: "error is text", status: 400, body: `{"error":"no"}`, want: llms.ErrCodeInvalidRequest, says: "no"},
		{name: "plain text", status: 502, body: "upstream connect error", want: llms.ErrCodeProviderUnavailable, says: "upstream connect error", again: true},
		{name: "a long text", status: 500, body: strings.Repeat("é", 100_000), want: llms.ErrCodeProviderUnavailable, says: "é…", again: true},
		{name: "key in the body", status: 401, body: `{"detail":"wrong key ` + testKey + `"}`, want: llms.ErrCodeAuthentication, says: "[key]"},
		{name: "nothing", status: 500, want: llms.ErrCodeProviderUnavailable, again: true},
		{name: "payment", status: 402, want: llms.ErrCodeQuotaExceeded},
		{name: "timeout", status: 408, want: llms.ErrCodeTimeout, again: true},
		{name: "conflict", status: 409, want: llms.ErrCodeProviderUnavailable, again: true},
		{name: "early", status: 425, want: llms.ErrCodeProviderUnavailable, again: true},
		{name: "overload", status: 529, want: llms.ErrCodeProviderUnavailable, again: true},
		{name: "too large", status: 413, want: llms.ErrCodeInvalidRequest},
		{name: "not implemented", status: 501, want: llms.ErrCodeProviderUnavailable},
		{name: "redirect", status: 307, header: map[string]string{"Location": "http://127.0.0.1:1/"}, want: llms.ErrCodeInvalidRequest, says: "redirects"},
		{name: "no content", status: 204, want: llms.ErrCodeProviderUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("mistral-correlation-id", "abc")
				for k, v := range test.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(test.status)
				if test.body != "" {
					_, _ = io.WriteString(w, test.body)
				}
			})
			_, err := m.GenerateContent(t.Context(), ask)
			e := wantError(t, err, test.want)
			if e.Details["status"] != test.status || e.Details["request_id"] != "abc" {
				t.Errorf("details %v", e.Details)
			}
			if code, _ := e.Details["code"].(string); code != test.code {
				t.Errorf("got code %q, want %q", code, test.code)
			}
			if !strings.Contains(e.Message, test.says) || strings.Contains(e.Message, "what the user said") {
				t.Errorf("message %q", e.Message)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error("a refusal counts as a cut answer")
			}
			if code, _ := e.Details["code"].(string); transient(test.status, code) != test.again && test.want != llms.ErrCodeQuotaExceeded {
				t.Errorf("tried again: %v", !test.again)
			}
		})
	}
}

// TestErrorEvents is about errors inside a stream that began well.
func TestErrorEvents(t *testing.T) {
	tests := []struct {
		name, event string
		want        llms.ErrorCode
		code        string
	}{
		{"as a body", `data: {"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}`, llms.ErrCodeRateLimit, "1300"},
		{"with a status", `data: {"object":"Error","message":"no","code":null,"raw_status_code":400}`, llms.ErrCodeInvalidRequest, ""},
		{"unreachable", `data: {"object":"error","message":"Internal server error","code":"1100"}`, llms.ErrCodeProviderUnavailable, "1100"},
		{"error key", "event: error\ndata: {\"error\":{\"message\":\"no\",\"code\":3505}}", llms.ErrCodeRateLimit, "3505"},
		{"gateway", `data: {"message":"An unexpected error occurred","request_id":"x"}`, llms.ErrCodeProviderUnavailable, ""},
		{"detail", `data: {"detail":"broken"}`, llms.ErrCodeProviderUnavailable, ""},
		{"finish_reason", `data: {"choices":[{"index":0,"delta":{"content":" lost"},"finish_reason":"error"}]}`, llms.ErrCodeProviderUnavailable, ""},
		{"no JSON", `data: {"choices":[{"index":0,`, llms.ErrCodeProviderUnavailable, ""},
		{"content is a number", `data: {"choices":[{"index":0,"delta":{"content":5}}]}`, llms.ErrCodeProviderUnavailable, ""},
		{"a line without end", `data: {"` + strings.Repeat("x", maxEvent+1), llms.ErrCodeProviderUnavailable, ""},
		{"an event without end", "data: [\n" + strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000+1), llms.ErrCodeProviderUnavailable, ""},
		{"too deep", `data: ` + strings.Repeat("[", 200), llms.ErrCodeProviderUnavailable, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, option := gather()
			_, err := serve(t, streams(event(`"Hel"`)+test.event+"\n\n"+event(`"lo"`)+finish("stop"))).GenerateContent(t.Context(), ask, option)
			e := wantError(t, err, test.want)
			if code, _ := e.Details["code"].(string); code != test.code {
				t.Errorf("got code %q, want %q", code, test.code)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error("counts as a cut answer")
			}
			if want := "Hel"; got.String() != want && got.String() != want+" lost" {
				t.Errorf("streamed %q", got)
			}
		})
	}
}

// TestBehindTheReason holds that nothing behind a finish_reason undoes an answer.
func TestBehindTheReason(t *testing.T) {
	reason := strings.TrimSuffix(finish("stop"), "data: [DONE]\n\n")
	for name, tail := range map[string]string{
		"nothing": "", "half an event": "data: {", "no JSON": "data: {\n\n", "an error": "data: {\"object\":\"error\"}\n\n", "bytes behind the end": "data: [DONE]\n\n" + hello,
	} {
		t.Run(name, func(t *testing.T) {
			m := serve(t, func(w http.ResponseWriter, r *http.Request) {
				streams(event(`"a"`)+reason+tail)(w, r)
				flush(w)
				panic(http.ErrAbortHandler)
			})
			resp, err := m.GenerateContent(t.Context(), ask)
			if err != nil || resp.Choices[0].Content != "a" {
				t.Errorf("got %+v, %v", resp, err)
			}
		})
	}
}

// TestCut holds that an answer without a finish_reason is never taken for one.
func TestCut(t *testing.T) {
	whole := event(`"Hel"`) + event(`"lo\ud83d\ude00"`)
	cuts := map[string]http.HandlerFunc{
		"a clean end":                   streams(whole),
		"a clean end inside an event":   streams(whole + `data: {"choices":[{"index":0,"delta":{"content":"x"}`),
		"a clean end before the dashes": streams(whole + strings.TrimSuffix(event(`"x"`), "\n")),
		"a reset": func(w http.ResponseWriter, r *http.Request) {
			streams(whole)(w, r)
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"a reset inside an escape": func(w http.ResponseWriter, r *http.Request) {
			streams(whole+`data: {"choices":[{"index":0,"delta":{"content":"\ud83d`)(w, r)
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"a closed connection": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"+whole)
				_ = conn.Close()
			}
		},
		"a short body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			streams(whole)(w, r)
		},
	}
	for name, handler := range cuts {
		t.Run(name, func(t *testing.T) {
			got, option := gather()
			resp, err := serve(t, handler).GenerateContent(t.Context(), ask, option)
			wantError(t, err, llms.ErrCodeProviderUnavailable)
			if !errors.Is(err, io.ErrUnexpectedEOF) || resp != nil {
				t.Errorf("got %v, %v", resp, err)
			}
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v counts as canceled", err)
			}
			if got.String() != "Hello😀" {
				t.Errorf("streamed %q", got)
			}
		})
	}
}

// TestUnreached is about requests that got no answer: no cut, whatever it was.
func TestUnreached(t *testing.T) {
	closes := func(w http.ResponseWriter, r *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
			_ = conn.Close()
		}
	}
	_, err := serve(t, closes).GenerateContent(t.Context(), ask)
	wantError(t, err, llms.ErrCodeProviderUnavailable)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v counts as a cut answer", err)
	}

	m, err := NewMistral(Config{BaseURL: "http://127.0.0.1:1", MaxRetries: -1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.GenerateContent(t.Context(), ask)
	if e := wantError(t, err, llms.ErrCodeProviderUnavailable); !strings.Contains(e.Message, "connection refused") {
		t.Errorf("message %q", e.Message)
	}
}

func TestNoStream(t *testing.T) {
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	_, err := m.GenerateContent(t.Context(), ask)
	if e := wantError(t, err, llms.ErrCodeProviderUnavailable); !strings.Contains(e.Message, "application/json") {
		t.Errorf("message %q", e.Message)
	}
}

// TestCompressed: a stream that a proxy compresses is read as it comes, and so is an error.
func TestCompressed(t *testing.T) {
	read := make(chan struct{})
	packed := func(w http.ResponseWriter, status int, texts ...string) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(status)
		z := gzip.NewWriter(w)
		for i, text := range texts {
			if i > 0 {
				<-read
			}
			_, _ = io.WriteString(z, text)
			_ = z.Flush()
			w.(http.Flusher).Flush()
		}
		_ = z.Close()
	}
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		packed(w, 200, event(`"a"`), event(`"b"`)+finish("stop"))
	})
	text := ""
	_, err := m.GenerateContent(t.Context(), ask, llms.WithStreamingFunc(func(_ context.Context, p []byte) error {
		if text += string(p); text == "a" {
			close(read)
		}
		return nil
	}))
	if err != nil || text != "ab" {
		t.Errorf("got %q, %v", text, err)
	}
	m = serve(t, func(w http.ResponseWriter, r *http.Request) { packed(w, 400, `{"message":"no","code":"1500"}`) })
	_, err = m.GenerateContent(t.Context(), ask)
	if e := wantError(t, err, llms.ErrCodeInvalidRequest); !strings.Contains(e.Message, "code 1500") {
		t.Errorf("message %q", e.Message)
	}
	m = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "not gzip at all")
	})
	_, err = m.GenerateContent(t.Context(), ask)
	wantError(t, err, llms.ErrCodeProviderUnavailable)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 40, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "x": 0, "7": 7 * time.Second, "99999999999999999999": (math.MaxInt32 - 1) * time.Second, "-99999999999999999999": 0,
		"1.5": 2 * time.Second, "0.001": time.Second, "3.0": 3 * time.Second,
		"Tue, 01 Sep 2026 12:01:00 GMT": 20 * time.Second, "Tue, 01 Sep 2026 11:00:00 GMT": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": math.MaxInt32 * time.Second,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	if got := untilMinute(http.Header{"Date": {"Tue, 01 Sep 2026 12:00:50 GMT"}}, now); got != 10*time.Second {
		t.Errorf("until the server's minute: %v", got)
	}
	if got := untilMinute(http.Header{}, now); got != 20*time.Second {
		t.Errorf("until our minute: %v", got)
	}
}
