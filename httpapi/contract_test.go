package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract is openapi.yaml, ready to hold responses against.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

var loadContract = sync.OnceValues(func() (*contract, error) {
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562))
	for _, text := range []string{"text/event-stream", "text/html", "text/javascript", "application/openmetrics-text"} {
		openapi3filter.RegisterBodyDecoder(text, openapi3filter.PlainBodyDecoder)
	}
	data, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	router, err := gorillamux.NewRouter(doc)
	return &contract{doc, router}, err
})

// checkResponse fails t unless the answer to req is one that openapi.yaml describes: route, status,
// headers and body (which the caller has read), and every event of a stream.
func checkResponse(t testing.TB, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check(req, resp, body); err != nil {
		t.Errorf("%s %s: %s: %v\n%.2000s", req.Method, req.URL.Path, resp.Status, err, body)
	}
}

func (c *contract) check(req *http.Request, resp *http.Response, body []byte) error {
	if req.Method == http.MethodOptions && req.Header.Get("Access-Control-Request-Method") != "" {
		if resp.StatusCode != http.StatusNoContent || len(body) > 0 {
			return errors.New("a CORS preflight is answered by 204 without a body")
		}
		return nil
	}
	if req.Method == http.MethodHead {
		return c.checkHead(req, resp, body)
	}
	route, params, err := c.router.FindRoute(req)
	switch {
	case errors.Is(err, routers.ErrPathNotFound):
		return c.refused(resp, body, http.StatusNotFound, "not_found")
	case errors.Is(err, routers.ErrMethodNotAllowed):
		if resp.StatusCode == http.StatusMethodNotAllowed && resp.Header.Get("Allow") == "" {
			return errors.New("405 without Allow (RFC 9110, section 15.5.6)")
		}
		return c.refused(resp, body, http.StatusMethodNotAllowed, "method_not_allowed")
	case err != nil:
		return err
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 resp.StatusCode,
		Header:                 resp.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(req.Context(), input); err != nil {
		return err
	}
	described := route.Operation.Responses.Status(resp.StatusCode)
	if described == nil || described.Value == nil {
		return errors.New("the status is not described")
	}
	if len(described.Value.Content) == 0 && len(body) > 0 {
		return errors.New("a body where none is described")
	}
	if contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); contentType == "text/event-stream" {
		return c.checkStream(resp.Header, body)
	}
	return nil
}

// checkHead checks the answer to a HEAD, which is that to a GET without its body, or a refusal.
func (c *contract) checkHead(req *http.Request, resp *http.Response, body []byte) error {
	if len(body) > 0 {
		return errors.New("a body in answer to HEAD")
	}
	if resp.StatusCode == http.StatusMethodNotAllowed && resp.Header.Get("Allow") != "" {
		return nil
	}
	get := req.Clone(req.Context())
	get.Method = http.MethodGet
	route, _, err := c.router.FindRoute(get)
	if err == nil && route.Operation.Responses.Status(resp.StatusCode) == nil {
		err = errors.New("the status is not described for GET")
	}
	if errors.Is(err, routers.ErrPathNotFound) && resp.StatusCode == http.StatusNotFound {
		return nil
	}
	return err
}

// refused checks the answer to a request for what is not described: 404 or 405, or the refusal
// of a foreign origin or host, which comes before anybody looks at the rest.
func (c *contract) refused(resp *http.Response, body []byte, status int, code string) error {
	var told struct{ Error struct{ Code string } }
	if err := c.checkJSON("Error", body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusForbidden && told.Error.Code == "forbidden_origin" {
		return nil
	}
	if resp.StatusCode != status || told.Error.Code != code {
		return fmt.Errorf("not described: want %d %s, got code %s", status, code, told.Error.Code)
	}
	return nil
}

// checkJSON holds JSON against a schema of openapi.yaml.
func (c *contract) checkJSON(schema string, data []byte) error {
	return visit(c.doc.Components.Schemas[schema], data)
}

// visit holds one JSON value against schema.
func visit(schema *openapi3.SchemaRef, data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one JSON value")
	}
	return schema.Value.VisitJSON(value, openapi3.VisitAsResponse())
}

// TestOpenAPI holds the description to its own rules and its examples to its schemas.
func TestOpenAPI(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
	stream := c.doc.Components.Schemas["EventStream"].Value.Example.(string)
	if err := c.checkStream(streamHeader, []byte(stream)); err != nil {
		t.Errorf("the example of a stream: %v", err)
	}
	var codes []string
	for _, code := range c.doc.Components.Schemas["Error"].Value.Properties["error"].Value.Properties["code"].Value.Enum {
		codes = append(codes, code.(string))
	}
	contractText, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		if !strings.Contains(string(contractText), "`"+code+"`") {
			t.Errorf("PROTOCOL.md does not speak of the code %s", code)
		}
	}
	for path := range c.doc.Paths.Map() {
		if !strings.Contains(string(contractText), strings.ReplaceAll(path, "/api/chat/{session_id}", "/api/chat/{id}")) {
			t.Errorf("PROTOCOL.md does not speak of %s", path)
		}
	}
}

var streamHeader = http.Header{
	"Content-Type":                  {"text/event-stream"},
	"Cache-Control":                 {"no-cache, no-transform"},
	"X-Accel-Buffering":             {"no"},
	"X-Vercel-Ai-Ui-Message-Stream": {"v1"},
}

// TestCheckResponse shows that the check lets right answers through and no others.
func TestCheckResponse(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	const session = `{"id":"7d0f6a52-2f5e-4c53-9a07-3a0a3f7f1c11","created_at":"2026-11-22T16:52:03.117Z","updated_at":"2026-11-22T16:52:03Z","messages":[%s]}`
	const user = `{"role":"user","content":"hi","timestamp":"2026-11-22T16:52:03Z","id":"0b9a1f6e-6a0e-4f3b-8f0a-5d2c9e1b7a10"}`
	const path = "/sessions/7d0f6a52-2f5e-4c53-9a07-3a0a3f7f1c11"
	jsonHeader := http.Header{"Content-Type": {"application/json"}}
	with := func(header http.Header, name, value string) http.Header {
		header = header.Clone()
		header[name] = []string{value}
		return header
	}
	failure := func(code string) string { return `{"error":{"code":"` + code + `","message":"No."}}` }
	for _, tt := range []struct {
		name, method, path string
		status             int
		header             http.Header
		body               string
		right              bool
	}{
		{"empty session", "GET", path, 200, jsonHeader, fmt.Sprintf(session, ""), true},
		{"content type with charset", "GET", path, 200, with(jsonHeader, "Content-Type", "application/json; charset=utf-8"), fmt.Sprintf(session, user), true},
		{"unknown field", "GET", path, 200, jsonHeader, strings.Replace(fmt.Sprintf(session, ""), "{", `{"owner":"me",`, 1), false},
		{"null", "GET", path, 200, jsonHeader, fmt.Sprintf(session, strings.Replace(user, `"hi"`, "null", 1)), false},
		{"user with finish_reason", "GET", path, 200, jsonHeader, fmt.Sprintf(session, strings.Replace(user, "{", `{"finish_reason":"stop",`, 1)), false},
		{"assistant without finish_reason", "GET", path, 200, jsonHeader, fmt.Sprintf(session, strings.Replace(user, "user", "assistant", 1)), false},
		{"upper-case id", "GET", path, 200, jsonHeader, fmt.Sprintf(session, strings.Replace(user, "0b9a", "0B9A", 1)), false},
		{"local time", "GET", path, 200, jsonHeader, fmt.Sprintf(session, strings.Replace(user, "03Z", "03+01:00", 1)), false},
		{"text", "GET", path, 200, with(jsonHeader, "Content-Type", "text/plain"), fmt.Sprintf(session, ""), false},
		{"no content type", "GET", path, 200, nil, fmt.Sprintf(session, ""), false},
		{"status not described", "GET", path, 418, jsonHeader, failure("internal"), false},
		{"known error", "GET", path, 404, jsonHeader, failure("session_not_found"), true},
		{"error of another status", "GET", path, 404, jsonHeader, failure("not_found"), false},
		{"error that is no envelope", "GET", path, 404, with(jsonHeader, "Content-Type", "text/plain"), "404 page not found\n", false},
		{"no Location", "POST", "/sessions", 201, jsonHeader, fmt.Sprintf(session, ""), false},
		{"Location", "POST", "/sessions", 201, with(jsonHeader, "Location", path[1:]), fmt.Sprintf(session, ""), true},
		{"no Retry-After", "POST", "/chat", 429, jsonHeader, failure("rate_limited"), false},
		{"Retry-After", "POST", "/chat", 429, with(jsonHeader, "Retry-After", "3"), failure("rate_limited"), true},
		{"Retry-After that is no number", "POST", "/chat", 429, with(jsonHeader, "Retry-After", "soon"), failure("rate_limited"), false},
		{"nothing", "GET", path + "/stream", 204, nil, "", true},
		{"nothing, with a body", "GET", path + "/stream", 204, jsonHeader, "{}", false},
		{"stream that was cut", "GET", path + "/stream", 200, streamHeader, ": ping\n\n", true},
		{"stream that may be kept", "GET", path + "/stream", 200, with(streamHeader, "Cache-Control", "max-age=60"), "", false},
		{"unknown path", "GET", "/nope", 404, jsonHeader, failure("not_found"), true},
		{"unknown path, as a missing session", "GET", "/nope", 404, jsonHeader, failure("session_not_found"), false},
		{"unknown path that answers", "GET", "/nope", 200, jsonHeader, "{}", false},
		{"wrong method", "PUT", path, 405, with(jsonHeader, "Allow", "GET, DELETE"), failure("method_not_allowed"), true},
		{"wrong method without Allow", "PUT", path, 405, jsonHeader, failure("method_not_allowed"), false},
		{"foreign origin on a wrong method", "PUT", path, 403, with(jsonHeader, "Allow", "GET"), failure("forbidden_origin"), true},
		{"head of a page", "HEAD", "/", 200, nil, "", true},
		{"head that is not taken", "HEAD", "/chat", 405, with(jsonHeader, "Allow", "POST"), "", true},
		{"head of nothing", "HEAD", "/nope", 404, jsonHeader, "", true},
		{"head of something else", "HEAD", "/nope", 200, jsonHeader, "", false},
		{"head with a body", "HEAD", "/", 200, nil, "<html>", false},
		{"page as text", "GET", "/", 200, with(jsonHeader, "Content-Type", "text/plain"), "<html>", false},
		{"page", "GET", "/", 200, with(jsonHeader, "Content-Type", "text/html; charset=utf-8"), "<html>", true},
		{"metrics", "GET", "/metrics", 200, with(jsonHeader, "Content-Type", "text/plain; version=0.0.4; charset=utf-8"), "up 1\n", true},
		{"upgrade", "GET", "/ws", 101, nil, "", true},
		{"no upgrade", "GET", "/ws", 426, with(jsonHeader, "Upgrade", "websocket"), failure("upgrade_required"), true},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://localhost:8080"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		if tt.header != nil {
			header = tt.header.Clone()
		}
		err = c.check(req, &http.Response{StatusCode: tt.status, Header: header}, []byte(tt.body))
		if right := err == nil; right != tt.right {
			t.Errorf("%s: right = %v, want %v: %v", tt.name, right, tt.right, err)
		}
	}
}

// TestEveryOperationCanFail holds that no route forgets the errors that every route has.
func TestEveryOperationCanFail(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			want := []int{403}
			if operation.Security == nil {
				want = append(want, 401, 500, 503)
			}
			if slices.Contains([]string{"/sessions", "/chat", "/api/chat"}, path) {
				want = append(want, 413, 429)
			}
			for _, status := range want {
				if operation.Responses.Status(status) == nil {
					t.Errorf("%s %s does not describe %d", method, path, status)
				}
			}
		}
	}
}
