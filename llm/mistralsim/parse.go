package mistralsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// parse turns a body into a Request, or says how the service would refuse it.
func (s *Server) parse(h http.Header, body []byte) (*Request, *Answer) {
	refused := func(a Answer) (*Request, *Answer) { return nil, &a }
	value, bad := decode(h, body)
	if bad != nil {
		return nil, bad
	}
	var v verdict
	chatBody(&v, (*place)(nil).in("body"), value)
	if len(v.details) > 0 {
		return refused(unprocessable(v.details...))
	}
	m := value.(map[string]any)
	turns := toTurns(m["messages"].([]any))
	r := &Request{Model: m["model"].(string), Header: h, Body: body, done: make(chan struct{})}
	r.Stream, _ = m["stream"].(bool)
	r.MaxTokens = toInt(m["max_tokens"])
	r.CacheKey, _ = m["prompt_cache_key"].(string)
	r.Stop = toStrings(m["stop"])
	for _, t := range turns {
		r.Messages = append(r.Messages, t.Message)
	}
	if !s.knows(r.Model) {
		return refused(ModelUnknown(r.Model))
	}
	if m["prompt_mode"] != nil {
		return refused(refuse("invalid_request_invalid_args", "Reasoning prompt mode is not enabled for this model", "3051"))
	}
	r.Effort, _ = m["reasoning_effort"].(string)
	if e := r.Effort; e != "" && e != "none" && !(s.cfg.Reasons && e == "high") {
		return refused(refuse("invalid_request_invalid_args", "Reasoning effort is not enabled for this model", "3051"))
	}
	if a, bad := checkOrder(turns); bad {
		return refused(a)
	}
	if s.cfg.Alternate && !alternates(turns) {
		return refused(Answer{Status: http.StatusBadRequest,
			Body: `{"object":"error","message":"After the optional system message, conversation roles must alternate user/assistant/user/assistant/...","type":"BadRequestError","param":null,"code":400}`})
	}
	if r.MaxTokens >= s.maxContext() {
		return refused(unprocessable(detail{
			Type: "less_than", Loc: []any{"body", "max_tokens"}, Msg: "Input should be less than the context window", Input: r.MaxTokens}))
	}
	// The service wants room for max_tokens as well; which number it then
	// names was not recorded.
	if n := r.promptTokens() + r.MaxTokens; n > s.maxContext() {
		return refused(PromptTooLong(n, s.maxContext()))
	}
	return r, nil
}

// decode reads the body as FastAPI does.
func decode(h http.Header, body []byte) (any, *Answer) {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind != "application/json" {
		a := unprocessable(detail{Type: "model_attributes_type", Loc: []any{"body"},
			Msg: "Input should be a valid dictionary or object to extract fields from", Input: string(body)})
		return nil, &a
	}
	if !utf8.Valid(body) {
		return nil, &Answer{Status: http.StatusBadRequest, Body: `{"detail":"There was an error parsing the body"}`}
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	err, at := dec.Decode(&value), int64(len(body))
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err, at = errors.New("extra data"), dec.InputOffset()
		}
	}
	if err != nil {
		if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
			at = syntax.Offset
		}
		a := unprocessable(detail{Type: "json_invalid", Loc: []any{"body", at},
			Msg: "JSON decode error", Input: map[string]any{}, Ctx: map[string]any{"error": err.Error()}})
		return nil, &a
	}
	return value, nil
}

// toTurns reads messages that fit the schema.
func toTurns(messages []any) []turn {
	turns := make([]turn, 0, len(messages))
	for _, x := range messages {
		m := x.(map[string]any)
		t := turn{}
		t.Role, _ = m["role"].(string)
		t.Content = toText(m["content"])
		parts, _ := m["content"].([]any)
		t.blank = t.Content == "" && len(parts) == 0
		t.Prefix, _ = m["prefix"].(bool)
		t.reply, _ = m["tool_call_id"].(string)
		calls, _ := m["tool_calls"].([]any)
		for _, c := range calls {
			id, ok := c.(map[string]any)["id"].(string)
			if !ok {
				id = "null" // the schema's default, which no conversation may have
			}
			t.calls = append(t.calls, id)
		}
		turns = append(turns, t)
	}
	return turns
}

// toText returns a content's text: the string, or its text chunks joined.
func toText(content any) string {
	parts, ok := content.([]any)
	if !ok {
		s, _ := content.(string)
		return s
	}
	var b strings.Builder
	for _, p := range parts {
		s, _ := p.(map[string]any)["text"].(string)
		b.WriteString(s)
	}
	return b.String()
}

func toInt(v any) int {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return int(i)
}

func toStrings(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var all []string
	l, _ := v.([]any)
	for _, x := range l {
		all = append(all, x.(string))
	}
	return all
}
