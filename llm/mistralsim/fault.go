package mistralsim

import (
	"fmt"
	"net/http"
)

// The refusals and breakdowns that the service was seen to answer with, as
// Answers. Their bodies are as people quoted them; each differs from the
// others in shape, and that is the point.

// Unauthorized refuses a wrong key.
func Unauthorized() Answer {
	return Answer{Status: http.StatusUnauthorized, Body: `{"detail":"Unauthorized"}`}
}

// UnauthorizedKong is Unauthorized as the gateway words it, over several lines.
func UnauthorizedKong() Answer {
	return Answer{Status: http.StatusUnauthorized,
		Body: "{\n\"message\":\"Unauthorized\",\n\"request_id\":\"933f5a47d0b6a15e2c3c9c68a76a8d25\"\n}"}
}

// RateLimited refuses a request beyond the limit of the running minute.
// retryAfter becomes the header Retry-After, which the real service was never
// seen to send; "" leaves it out.
func RateLimited(retryAfter string) Answer {
	code := "1300"
	a := broken(http.StatusTooManyRequests, errorObject{
		Message: "Rate limit exceeded", Type: "rate_limited", Code: &code, RawStatus: http.StatusTooManyRequests})
	a.Header = http.Header{
		"X-Ratelimit-Limit-Req-Minute":     {"23"},
		"X-Ratelimit-Remaining-Req-Minute": {"0"},
	}
	if retryAfter != "" {
		a.Header.Set("Retry-After", retryAfter)
	}
	return a
}

// Overloaded refuses because the backend is full, whatever the caller's quota.
func Overloaded() Answer {
	a := refuse("service_tier_capacity_exceeded", "Service tier capacity exceeded for this model.", "3505")
	a.Status = http.StatusTooManyRequests
	return a
}

// Unavailable is the gateway's answer when it cannot reach its backend.
func Unavailable() Answer {
	a := refuse("unreachable_backend", "Internal server error", "1100")
	a.Status = http.StatusServiceUnavailable
	return a
}

// InternalError is a bare 500 in the framework's words. No body of one was
// recorded.
func InternalError() Answer {
	return Answer{Status: http.StatusInternalServerError, Body: "Internal Server Error",
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}
}

// Cloudflare520 is the HTML page that the proxy in front of the service shows
// when its origin answers nonsense.
func Cloudflare520() Answer {
	return Answer{
		Status: 520,
		Header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}, "Server": {"cloudflare"}, "Cf-Ray": {"93a1f2c4be0d1a2b-CDG"}},
		Body: `<!DOCTYPE html>
<html lang="en-US"><head><title>api.mistral.ai | 520: Web server is returning an unknown error</title></head>
<body><h1>Web server is returning an unknown error <span>Error code 520</span></h1></body></html>
`,
	}
}

// Forbidden refuses a model that the plan does not hold. No body of one was
// recorded.
func Forbidden() Answer {
	return Answer{Status: http.StatusForbidden, Body: `{"detail":"Forbidden"}`}
}

// ModelUnknown refuses a model id.
func ModelUnknown(model string) Answer {
	return refuse("invalid_model", "Invalid model: "+model, "1500")
}

// PromptTooLong refuses a prompt beyond the context window.
func PromptTooLong(tokens, limit int) Answer {
	return refuse("invalid_request_prompt_too_long",
		fmt.Sprintf("Prompt %d > %d maximum context length", tokens, limit), "3059")
}

// Unprocessable refuses an unknown field with a list of details.
func Unprocessable(field string) Answer { return unprocessable(unknown(field)) }

// UnprocessableNested is Unprocessable in another shape that was seen: the
// "message" of the error is an object that holds the list.
func UnprocessableNested(field string) Answer {
	return broken(http.StatusUnprocessableEntity, errorObject{
		Message: map[string]any{"detail": []detail{unknown(field)}},
		Type:    "invalid_request_error", RawStatus: http.StatusUnprocessableEntity})
}

// UnprocessableArray is Unprocessable in a third: "message" is the list itself,
// and "code" a number.
func UnprocessableArray(field string) Answer {
	details := []detail{unknown(field)}
	return Answer{Status: http.StatusUnprocessableEntity, Body: string(toJSON(map[string]any{
		"object": "Error", "detail": details, "message": details, "type": "invalid_request_error", "code": 3001}))}
}

// ErrorEvent is an error object as an event in the stream, for Answer.Event.
func ErrorEvent(message, typ, code string) string {
	return "data: " + string(toJSON(errorObject{Object: "error", Message: message, Type: typ, Code: &code})) + "\n\n"
}

// errorObject is the shape of the service's own errors.
type errorObject struct {
	Object    string  `json:"object"`
	Message   any     `json:"message"`
	Type      string  `json:"type"`
	Param     *string `json:"param"`
	Code      *string `json:"code"`
	RawStatus int     `json:"raw_status_code,omitempty"`
}

// refuse is a 400 in the service's own words.
func refuse(typ, message, code string) Answer {
	return broken(http.StatusBadRequest, errorObject{Message: message, Type: typ, Code: &code})
}

func broken(status int, e errorObject) Answer {
	e.Object = "error"
	return Answer{Status: status, Body: string(toJSON(e))}
}

func unprocessable(details ...detail) Answer {
	return Answer{Status: http.StatusUnprocessableEntity, Body: string(toJSON(map[string]any{"detail": details}))}
}

func unknown(field string) detail {
	return detail{Type: "extra_forbidden", Loc: []any{"body", field}, Msg: "Extra inputs are not permitted", Input: false}
}

func noRoute() Answer {
	return Answer{Status: http.StatusNotFound,
		Body: `{"message":"no Route matched with those values","request_id":"2f7bd0634ed2a957b2c6a40e15c0ff1e"}`}
}
