package llm

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/tmc/langchaingo/llms"
)

// A service may quote in an error what it was sent, which must not get into the log. So only
// what cannot be a quotation is logged: our own sentences, numbers, identifiers, and known
// sentences of services.

// detailLog is the detail of an error made here that a log may have.
const detailLog = "log"

// LogAttrs returns what a log may have of a model's error: never text of the
// conversation, whatever the service sent. Of an error that was not made by this
// package it has the type alone, or, where no connection was made or one broke, what
// the system says of that.
func LogAttrs(err error) []slog.Attr {
	var e *llms.Error
	var network *net.OpError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &network):
		return []slog.Attr{slog.String("error", network.Error())}
	default:
		return []slog.Attr{slog.String("error", fmt.Sprintf("the model failed with a %T", err))}
	}
	text, ours := e.Details[detailLog].(string)
	if !ours {
		return []slog.Attr{slog.String("error", fmt.Sprintf("the model failed with a %T, %s", e, e.Code))}
	}
	attrs := []slog.Attr{slog.String("error", text)}
	if status, ok := e.Details["status"].(int); ok {
		attrs = append(attrs, slog.Int("upstream_status", status))
	}
	for _, name := range []string{"code", "type"} {
		if value, _ := e.Details[name].(string); identifier(value) {
			attrs = append(attrs, slog.String("upstream_"+name, value))
		}
	}
	if id, _ := e.Details["request_id"].(string); plainID.MatchString(id) {
		attrs = append(attrs, slog.String("upstream_request_id", id))
	}
	return attrs
}

// plainID matches what can be a request's id: short, and one word.
var plainID = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)

// errorName matches a name that programs give to errors: a number, one that ends in Error, or
// words joined by underscores.
var errorName = regexp.MustCompile(`^([0-9]{1,6}|[A-Za-z]*Error|[0-9a-z]*_[0-9a-z_]*)$`)

func identifier(s string) bool { return len(s) <= 64 && errorName.MatchString(s) }

// beforeQuote returns an error text of net/http up to its first quotation mark, after which it
// may quote what came from the network.
func beforeQuote(text string) string {
	text, _, _ = strings.Cut(text, `"`)
	return clean(text)
}

// knownSentence says whether text is a sentence that services are known to say, about
// any numbers and the model that was asked for.
func knownSentence(text, model string) bool {
	if len(text) > maxReason {
		return false
	}
	if model != "" {
		text = strings.ReplaceAll(text, model, "{model}")
	}
	text = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), ".")
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c < '0' || c > '9':
			b.WriteByte(c)
		case i == 0 || text[i-1] < '0' || text[i-1] > '9':
			b.WriteByte('0')
		}
	}
	return sentences[b.String()]
}

// sentences are those that knownSentence knows: in lower case, without a full stop, with
// 0 for any number. Those of Mistral, its gateway and its CDN are in MISTRAL.md.
var sentences = func() map[string]bool {
	all := map[string]bool{}
	for status := 400; status < 600; status++ {
		all[strings.ToLower(http.StatusText(status))] = true
	}
	for line := range strings.Lines(`
invalid api key
no api key found in request
no route matched with those values
rate limit exceeded
requests rate limit exceeded
too many requests
service tier capacity exceeded for this model
internal server error
an unexpected error occurred
an invalid response was received from the upstream server
the upstream server is timing out
request size limit exceeded
invalid model: {model}
model {model} not found
model '{model}' not found
model "{model}" not found
model "{model}" not found, try pulling it first
the model {model} does not exist
the model '{model}' does not exist
the model ` + "`{model}`" + ` does not exist
extra inputs are not permitted
field required
json decode error
there was an error parsing the body
input should be a valid dictionary or object to extract fields from
input should be a valid string
input should be a valid integer
input should be a valid number
input should be a valid list
input should be a valid boolean
input should be less than the context window
input should be greater than 0
input should be greater than or equal to 0
input should be less than or equal to 0
input should be less than or equal to 0.0
reasoning prompt mode is not enabled for this model
reasoning effort is not enabled for this model
prompt 0 > 0 maximum context length
conversation must have at least one message
conversation must start with a user message or system message
expected last role user or tool (or assistant with prefix true) for serving but got assistant
expected last role user or tool (or assistant with prefix true) for serving but got system
unexpected role 'system' after role 'assistant'
unexpected role 'system' after role 'tool'
unexpected role 'user' after role 'tool'
not the same number of function calls and responses
assistant message must have either content or tool_calls, but not both
assistant message must have either content or tool_calls, but not none
assistant message with prefix true must be last message
conversation roles must alternate user/assistant/user/assistant/
after the optional system message, conversation roles must alternate user/assistant/user/assistant/
upstream connect error
upstream connect error or disconnect/reset before headers
upstream request timeout
no healthy upstream
error code: 0
`) {
		all[strings.TrimSpace(line)] = true
	}
	delete(all, "")
	return all
}()
