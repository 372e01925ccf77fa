package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxReason is how much of what the upstream says gets into an error, in bytes.
const maxReason = 200

// reason is what an error's body says, in whichever of Mistral's, its gateway's
// or its CDN's shapes (MISTRAL.md section 3).
type reason struct {
	message string // for the operator; never the whole body
	code    string
	status  int // raw_status_code
}

// parseReason reads an error body of any kind. Input values that a 422 repeats
// are left out: they may be what a user said.
func parseReason(body []byte) reason {
	var object struct {
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Error   json.RawMessage `json:"error"`
		Code    json.RawMessage `json:"code"`
		Status  json.RawMessage `json:"raw_status_code"`
	}
	if json.Unmarshal(body, &object) != nil {
		if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("<")) {
			return reason{message: "an HTML page"}
		}
		return reason{message: clean(string(body))}
	}
	var why reason
	if len(object.Error) > 0 && object.Error[0] == '{' {
		why = parseReason(object.Error)
	} else if len(object.Error) > 0 {
		why.message = said(object.Error)
	}
	for _, value := range []json.RawMessage{object.Message, object.Detail} {
		if why.message == "" {
			why.message = clean(said(value))
		}
	}
	if code := strings.Trim(string(object.Code), `"`); code != "" && code != "null" {
		why.code = clean(code)
	}
	_ = json.Unmarshal(object.Status, &why.status)
	return why
}

// said is the text of a message or detail: a string, a list of complaints, or
// an object around one.
func said(value json.RawMessage) string {
	var text string
	var object struct {
		Detail json.RawMessage `json:"detail"`
		Loc    []any           `json:"loc"`
		Msg    string          `json:"msg"`
	}
	var list []json.RawMessage
	switch {
	case json.Unmarshal(value, &text) == nil:
		return text
	case json.Unmarshal(value, &list) == nil:
		var all []string
		for _, one := range list {
			if one := said(one); one != "" {
				all = append(all, one)
			}
		}
		return strings.Join(all, "; ")
	case json.Unmarshal(value, &object) == nil:
		if object.Msg == "" {
			return said(object.Detail)
		}
		var where []string
		for _, step := range object.Loc {
			where = append(where, fmt.Sprint(step))
		}
		return strings.Join(append([]string{strings.Join(where, ".")}, object.Msg), ": ")
	}
	return ""
}

// suffix is what follows the sentence in an error's message. An error event has
// no status of its own.
func (why reason) suffix(status int) string {
	var facts []string
	if status != http.StatusOK {
		facts = append(facts, fmt.Sprintf("HTTP %d", status))
	}
	if why.code != "" {
		facts = append(facts, "code "+why.code)
	}
	text := strings.Join(facts, ", ")
	if why.message != "" && text != "" {
		text += ": "
	}
	if text += why.message; text == "" {
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
