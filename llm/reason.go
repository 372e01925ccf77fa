package llm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxReason is how much of what the upstream says gets into an error, in bytes.
const maxReason = 200

// reason is what an error's body says, in whichever of Mistral's, its gateway's
// or its CDN's shapes (MISTRAL.md section 3).
type reason struct {
	message string // for the caller; never the whole body
	words   string // of the message, what cannot be a quotation
	code    string
	kind    string // "type"
	status  int    // that the body names; 0: none
}

// maxNested is how deep an error is looked for inside another.
const maxNested = 4

// parseReason reads an error body of any kind, about a request for this model.
// Input values that a 422 repeats are left out: they may be what a user said.
func parseReason(body []byte, model string) reason { return nestedReason(body, model, maxNested) }

func nestedReason(body []byte, model string, depth int) reason {
	var object struct {
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Error   json.RawMessage `json:"error"`
		Code    json.RawMessage `json:"code"`
		Type    json.RawMessage `json:"type"`
		Raw     json.RawMessage `json:"raw_status_code"`
		Status  json.RawMessage `json:"status_code"`
		Number  json.RawMessage `json:"status"`
	}
	if json.Unmarshal(body, &object) != nil {
		if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("<")) {
			return reason{message: "an HTML page", words: "an HTML page"}
		}
		why := reason{message: clean(string(body))}
		why.words = quotable(why.message, model)
		return why
	}
	var why reason
	if len(object.Error) > 0 && object.Error[0] == '{' && depth > 0 {
		why = nestedReason(object.Error, model, depth-1)
	} else if len(object.Error) > 0 {
		why.message, why.words = said(object.Error, model, depth)
	}
	for _, value := range []json.RawMessage{object.Message, object.Detail} {
		if why.message == "" {
			why.message, why.words = said(value, model, depth)
		}
	}
	why.message, why.words = clean(why.message), clean(why.words)
	if code := strings.Trim(string(object.Code), `"`); code != "" && code != "null" {
		why.code = clean(code)
	}
	var kind string
	if json.Unmarshal(object.Type, &kind) == nil && kind != "" && (kind != "error" || why.kind == "") {
		why.kind = clean(kind) // around another error, "error" says nothing
	}
	for _, status := range []json.RawMessage{object.Raw, object.Status, object.Number} {
		if n := count(status); 400 <= n && n < 600 {
			why.status = cmp.Or(why.status, n)
		}
	}
	return why
}

// statuses are the types that say what a status would.
var statuses = map[string]int{
	"rate_limited": 429, "rate_limit_error": 429, "rate_limit_exceeded": 429,
	"service_tier_capacity_exceeded": 503, "overloaded_error": 503, "unreachable_backend": 503,
	"overloaded": 503, "service_unavailable": 503, "unavailable": 503, "engine_overloaded_error": 503, "ServiceUnavailableError": 503,
	"RateLimitError": 429, "TooManyRequestsError": 429,
	"server_error": 500, "internal_error": 500, "internal_server_error": 500, "InternalServerError": 500, "api_error": 500,
	"timeout_error": 504, "authentication_error": 401, "permission_error": 403, "not_found_error": 404, "NotFoundError": 404,
	"invalid_request_error": 400, "BadRequestError": 400,
}

// asStatus is the HTTP status that an error event stands for: the one that it names, also as
// its code, or that of its type. Without code and type it is 500; with unknown ones it is 200,
// which is not transient.
func (why reason) asStatus() int {
	if why.status != 0 {
		return why.status
	}
	if n, err := strconv.Atoi(why.code); err == nil && 400 <= n && n < 600 {
		return n
	}
	if status := cmp.Or(statuses[why.code], statuses[why.kind]); status != 0 {
		return status
	}
	if why.code == "" && why.kind == "" {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// said is the text of a message or detail: a string, a list of complaints, or an object around
// one. words is the part of it that cannot be a quotation.
func said(value json.RawMessage, model string, depth int) (text, words string) {
	if len(value) == 0 || depth < 0 {
		return "", ""
	}
	switch value[0] {
	case '"':
		_ = json.Unmarshal(value, &text)
		return text, quotable(text, model)
	case '[':
		var list []json.RawMessage
		_ = json.Unmarshal(value, &list)
		var texts, words []string
		for _, one := range list {
			if t, w := said(one, model, depth-1); t != "" {
				texts, words = append(texts, t), append(words, w)
			}
		}
		return strings.Join(texts, "; "), strings.Join(words, "; ")
	case '{':
		var object struct {
			Detail json.RawMessage `json:"detail"`
			Loc    []any           `json:"loc"`
			Msg    string          `json:"msg"`
		}
		if json.Unmarshal(value, &object) != nil {
			return "", ""
		}
		if object.Msg == "" {
			return said(object.Detail, model, depth-1)
		}
		var where, field []string
		for _, step := range object.Loc {
			where = append(where, fmt.Sprint(step))
			if name, ok := step.(string); ok && !identifier(name) && !fields[name] {
				step = "…"
			}
			field = append(field, fmt.Sprint(step))
		}
		return strings.Join(where, ".") + ": " + object.Msg, strings.Join(field, ".") + ": " + quotable(object.Msg, model)
	}
	return "", ""
}

// fields are the names of a request's fields that are one word.
var fields = map[string]bool{"body": true, "model": true, "messages": true, "role": true, "content": true, "prefix": true,
	"system": true, "user": true, "assistant": true, "stream": true, "stop": true, "temperature": true}

// quotable returns text if it is a known sentence, else how long it is.
func quotable(text, model string) string {
	if text == "" || knownSentence(text, model) {
		return text
	}
	return fmt.Sprintf("%d bytes that may quote the conversation", len(text))
}

// suffix is what follows the sentence in an error's message. An error event has
// no status of its own.
func (why reason) suffix(status int, message string) string {
	var facts []string
	if status != http.StatusOK {
		facts = append(facts, fmt.Sprintf("HTTP %d", status))
	}
	if identifier(why.code) {
		facts = append(facts, "code "+why.code)
	}
	text := strings.Join(facts, ", ")
	if message != "" && text != "" {
		text += ": "
	}
	if text += message; text == "" {
		return ""
	}
	return " (" + text + ")"
}

// clean makes one short line of what came from outside.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if text = strings.TrimSpace(text); len(text) <= maxReason {
		return text
	}
	n := maxReason
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
