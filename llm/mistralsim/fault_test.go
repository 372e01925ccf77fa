package mistralsim

import (
	"io"
	"net/http"
	"strings"
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
