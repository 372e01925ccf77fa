package httpapi_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// TestLogQuotesNobody: a service may repeat what was said anywhere in an error. The
// log has what is the service's own of it, and nothing else.
func TestLogQuotesNobody(t *testing.T) {
	const said, answered = "Xylophone \"was\" said: Ça va?\nIn two lines", "Zeppelin was answered"
	for i, place := range []string{"%s", "Invalid model: %s", "Rate limit exceeded: %s", "\"%s\"", "Prompt %s > 262144 maximum context length",
		"body.messages.0.content: %s", "%s Internal server error", "'%s' is not valid"} {
		text := strings.Replace(place, "%s", said+" "+answered, 1)
		quoted := string(must(json.Marshal(text)))
		escaped := `"` + strings.Trim(strconv.QuoteToASCII(text), `"`) + `"`
		for name, a := range map[string]mistralsim.Answer{
			"raw":               {Status: 500, Body: text},
			"half JSON":         {Status: 500, Body: `{"message":` + quoted},
			"HTML":              {Status: 500, Body: "<html><body>" + text},
			"message":           {Status: 400, Body: `{"object":"error","message":` + quoted + `,"type":"invalid_model","param":null,"code":"1500"}`},
			"message escaped":   {Status: 400, Body: `{"object":"error","message":` + escaped + `,"type":"invalid_model","code":"1500"}`},
			"detail":            {Status: 400, Body: `{"detail":` + quoted + `}`},
			"input":             {Status: 422, Body: `{"detail":[{"type":"string_type","loc":["body","messages",0,"content"],"msg":"Input should be a valid string","input":` + quoted + `}]}`},
			"msg":               {Status: 422, Body: `{"detail":[{"type":"value_error","loc":["body"],"msg":` + quoted + `}]}`},
			"loc":               {Status: 422, Body: `{"detail":[{"type":"value_error","loc":["body",` + quoted + `],"msg":"Field required"}]}`},
			"nested":            {Status: 422, Body: `{"object":"error","message":{"detail":[{"msg":` + quoted + `,"loc":[` + quoted + `]}]}}`},
			"type":              {Status: 400, Body: `{"object":"error","message":"x","type":` + quoted + `,"param":` + quoted + `,"code":` + quoted + `}`},
			"error":             {Status: 400, Body: `{"error":` + quoted + `}`},
			"error's message":   {Status: 400, Body: `{"error":{"message":` + quoted + `,"type":"invalid_request_error","code":"context_length_exceeded"}}`},
			"an event":          raw("data: {\"object\":\"error\",\"message\":" + quoted + ",\"code\":\"1100\"}\n\n"),
			"behind text":       raw(rawToken("a") + "data: {\"error\":{\"message\":" + quoted + "}}\n\n"),
			"behind the end":    raw(`data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\ndata: {\"error\":{\"message\":" + quoted + "}}\n\n"),
			"a kind of its own": {Status: 200, Header: http.Header{"Content-Type": {"Xylophone"}}, Body: text},
			"another kind":      {Status: 200, Header: http.Header{"Content-Type": {"text/x; a=" + strconv.QuoteToASCII(text)}}, Body: text},
		} {
			t.Run(strconv.Itoa(i)+", "+name, func(t *testing.T) {
				r := newRig(t, scripted(mistralsim.Answer{Text: answered}, a))
				id := decode[chatReply](t, r.do("POST", "/chat", `{"message":`+quoted+`}`).want(200)).Conversation
				r.do("POST", "/chat", `{"message":`+quoted+`,"conversation_id":"`+id+`"}`)
				r.stop()
				wantNothingSaid(t, r.log.String())
			})
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wantNothingSaid looks for every word of the conversation in TestLogQuotesNobody.
func wantNothingSaid(t *testing.T, log string) {
	t.Helper()
	if found := regexp.MustCompile(`(?i)xylophone|\bsaid|zeppelin|answered|va\?|two.lines`).FindString(log); found != "" {
		t.Errorf("the log has %q:\n%s", found, log)
	}
}

// TestLogQuotesNoNoise: nor is a word of what is no HTTP at all logged.
func TestLogQuotesNoNoise(t *testing.T) {
	const said = "Xylophone was said"
	for name, noise := range map[string]string{
		"no HTTP":         said + "\r\n\r\n",
		"a broken status": "HTTP/1.1 " + said + "\r\n\r\n",
		"a broken header": "HTTP/1.1 200 OK\r\n" + said + "\r\n\r\n",
		"a broken length": "HTTP/1.1 200 OK\r\nContent-Length: " + said + "\r\n\r\n",
		"a broken chunk":  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + said + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ln := must(net.Listen("tcp", "127.0.0.1:0"))
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 64<<10))
					_, _ = io.WriteString(conn, noise)
					_ = conn.Close()
				}
			}()
			r := newRig(t, withLLM(func(c *llm.Config) { c.BaseURL = "http://" + ln.Addr().String() }))
			r.do("POST", "/chat", `{"message":"`+said+`"}`).want(502)
			r.stop()
			wantNothingSaid(t, r.log.String())
		})
	}
}

// TestLogOfUpstream: what an operator needs of a failure is in its line.
func TestLogOfUpstream(t *testing.T) {
	for name, tt := range map[string]struct {
		answer mistralsim.Answer
		want   string
	}{
		"a rate limit":      {mistralsim.RateLimited("7"), `code=upstream_busy error="the rate limit of the model's service is reached (HTTP 429, code 1300: Rate limit exceeded)" upstream_status=429 upstream_code=1300 upstream_type=rate_limited upstream_request_id=[0-9a-f-]{36}`},
		"a key":             {mistralsim.UnauthorizedKong(), `code=upstream_auth error="the model's service refused the API key \(HTTP 401: Unauthorized\)" upstream_status=401 upstream_request_id=`},
		"a model":           {mistralsim.ModelUnknown("mistral-small-latest"), `error=".* \(HTTP 400, code 1500: Invalid model: mistral-small-latest\)" .*upstream_type=invalid_model`},
		"another's model":   {mistralsim.ModelUnknown("of somebody"), `error=".* \(HTTP 400, code 1500: 26 bytes that may quote the conversation\)"`},
		"a field":           {mistralsim.Unprocessable("max_tokens"), `error=".* \(HTTP 422: body\.max_tokens: Extra inputs are not permitted\)" upstream_status=422`},
		"a field, nested":   {mistralsim.UnprocessableNested("max_tokens"), `: body\.max_tokens: Extra inputs are not permitted\)" .*upstream_type=invalid_request_error`},
		"a page":            {mistralsim.Cloudflare520(), `\(HTTP 520: an HTML page\)" upstream_status=520`},
		"a framework's 500": {mistralsim.InternalError(), `code=upstream_error error="the model's service failed \(HTTP 500: Internal Server Error\)"`},
		"in the stream":     {raw(rawToken("a") + mistralsim.ErrorEvent("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505")), `code 3505: Service tier capacity exceeded for this model\.\)"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.answer("go", tt.answer)
			r.do("POST", "/chat", chatBody("", "go"))
			r.stop()
			want := strings.Replace(tt.want, "(HTTP 429, code 1300: Rate limit exceeded)", `\(HTTP 429, code 1300: Rate limit exceeded\)`, 1)
			if log := r.log.String(); !regexp.MustCompile(want).MatchString(log) {
				t.Errorf("no line %s in\n%s", want, log)
			}
		})
	}
}
