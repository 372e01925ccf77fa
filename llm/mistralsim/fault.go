package mistralsim

import "fmt"

// Unauthorized is the refusal of a wrong key.
func Unauthorized() Answer { return Answer{Status: 401, Body: `{"detail":"Unauthorized"}`} }

// RateLimited is the refusal of a request beyond the limit of the running
// minute. The real service was never seen to send Retry-After; "" leaves it out.
func RateLimited(retryAfter string) Answer { return Answer{Status: 429} }

// Overloaded is the refusal of a full backend, whatever the caller's quota.
func Overloaded() Answer { return Answer{Status: 429} }

// Unavailable is the answer of a gateway that cannot reach its backend.
func Unavailable() Answer { return Answer{Status: 503} }

// InternalError is a plain 500.
func InternalError() Answer { return Answer{Status: 500} }

// Cloudflare520 is the HTML page of the proxy in front of the service.
func Cloudflare520() Answer { return Answer{Status: 520} }

// ModelUnknown is the refusal of a model id.
func ModelUnknown(model string) Answer { return Answer{Status: 400} }

// PromptTooLong is the refusal of a prompt beyond the context window.
func PromptTooLong(tokens, limit int) Answer { return Answer{Status: 400} }

// Unprocessable is the refusal of an unknown field, as a list of details.
func Unprocessable(field string) Answer { return Answer{Status: 422} }

// UnprocessableNested is Unprocessable in another shape that was seen: the
// list is inside an object under "message".
func UnprocessableNested(field string) Answer { return Answer{Status: 422} }

// ErrorEvent is an error object as an event in the stream, for Answer.Event.
func ErrorEvent(message, typ, code string) string {
	return fmt.Sprintf("data: {\"object\":\"error\",\"message\":%q,\"type\":%q,\"param\":null,\"code\":%q}\n\n", message, typ, code)
}
