package mistralsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestSchema holds every field to the closed schema: what is accepted, and what
// is refused at which place with which type of error.
func TestSchema(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "ok"}))
	with := func(field string) string {
		return `{"model":"m","messages":[{"role":"user","content":"hi"}],` + field + `}`
	}
	messages := func(list string) string { return `{"model":"m","messages":[` + list + `]}` }
	const user = `{"role":"user","content":"hi"}`
	cases := []struct{ body, loc, typ string }{
		// Accepted.
		{with(`"temperature":0`), "", ""},
		{with(`"temperature":1.5`), "", ""},
		{with(`"temperature":null,"top_p":null,"max_tokens":null,"stop":null,"random_seed":null,"n":null,"tools":null`), "", ""},
		{with(`"top_p":1,"max_tokens":5,"stop":"x","random_seed":0,"n":1,"stream":false,"safe_prompt":true`), "", ""},
		{with(`"stop":["a","b"],"metadata":{"a":[1]},"prompt_cache_key":"k","service_tier":"auto"`), "", ""},
		{with(`"presence_penalty":-2,"frequency_penalty":2,"parallel_tool_calls":false,"reasoning_effort":"none"`), "", ""},
		{with(`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":true}}`), "", ""},
		{with(`"prediction":{"type":"content","content":""},"guardrails":[{"block_on_error":true}]`), "", ""},
		{with(`"tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,"parameters":{}}}]`), "", ""},
		{with(`"tools":[],"tool_choice":"any"`), "", ""},
		{with(`"tools":[{"type":"web_search"}],"tool_choice":{"type":"function","function":{"name":"f"}}`), "", ""},
		{messages(`{"role":"system","content":[{"type":"text","text":"be kind"}]},` + user), "", ""},
		{messages(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":"u"}]}`), "", ""},
		{messages(user + `,{"role":"assistant","content":[{"type":"thinking","thinking":[],"closed":true}]},` + user), "", ""},

		// Unknown keys, at every level.
		{with(`"max_completion_tokens":5`), "body.max_completion_tokens", "extra_forbidden"},
		{with(`"stream_options":{"include_usage":true}`), "body.stream_options", "extra_forbidden"},
		{with(`"seed":1`), "body.seed", "extra_forbidden"},
		{with(`"store":false`), "body.store", "extra_forbidden"},
		{with(`"user":"u"`), "body.user", "extra_forbidden"},
		{with(`"logprobs":true`), "body.logprobs", "extra_forbidden"},
		{messages(`{"role":"user","content":"hi","name":"bob"}`), "body.messages.0.user.name", "extra_forbidden"},
		{messages(user + `,{"role":"assistant","content":"a","reasoning_content":"r"},` + user), "body.messages.1.assistant.reasoning_content", "extra_forbidden"},
		{messages(`{"role":"user","content":[{"type":"text","text":"a","cache":1}]}`), "body.messages.0.user.content.0.text.cache", "extra_forbidden"},
		{messages(`{"role":"user","content":"hi","prefix":true}`), "body.messages.0.user.prefix", "extra_forbidden"},
		{with(`"tools":[{"type":"function","function":{"name":"f","parameters":{},"required":[]}}]`), "body.tools.0.function.function.required", "extra_forbidden"},
		{with(`"response_format":{"type":"text","x":1}`), "body.response_format.x", "extra_forbidden"},

		// Missing.
		{`{"messages":[` + user + `]}`, "body.model", "missing"},
		{`{"model":"m"}`, "body.messages", "missing"},
		{messages(`{"role":"user"}`), "body.messages.0.user.content", "missing"},
		{messages(`{"content":"hi"}`), "body.messages.0", "union_tag_not_found"},
		{messages(`{"role":"developer","content":"hi"}`), "body.messages.0", "union_tag_invalid"},
		{messages(`{"role":7,"content":"hi"}`), "body.messages.0", "union_tag_invalid"},
		{messages(`"hi"`), "body.messages.0", "model_attributes_type"},
		{messages(`{"role":"system","content":[{"type":"image_url","image_url":"u"}]},` + user), "body.messages.0.system.content.0", "union_tag_invalid"},

		// Types and ranges.
		{with(`"temperature":1.6`), "body.temperature", "less_than_equal"},
		{with(`"temperature":-0.1`), "body.temperature", "greater_than_equal"},
		{with(`"temperature":"hot"`), "body.temperature", "float_type"},
		{with(`"top_p":0`), "body.top_p", "greater_than"},
		{with(`"top_p":1.01`), "body.top_p", "less_than_equal"},
		{with(`"max_tokens":-1`), "body.max_tokens", "greater_than_equal"},
		{with(`"max_tokens":1.5`), "body.max_tokens", "int_from_float"},
		{with(`"max_tokens":"5"`), "body.max_tokens", "int_type"},
		{with(`"n":0`), "body.n", "greater_than_equal"},
		{with(`"random_seed":-1`), "body.random_seed", "greater_than_equal"},
		{with(`"presence_penalty":2.1`), "body.presence_penalty", "less_than_equal"},
		{with(`"stream":"yes"`), "body.stream", "bool_type"},
		{with(`"stream":null`), "body.stream", "bool_type"},
		{with(`"stop":5`), "body.stop", "list_type"},
		{with(`"stop":["a",5]`), "body.stop.1", "string_type"},
		{with(`"metadata":[]`), "body.metadata", "dict_type"},
		{with(`"tool_choice":"some"`), "body.tool_choice", "literal_error"},
		{with(`"tools":[{"type":"hammer"}]`), "body.tools.0", "union_tag_invalid"},
		{with(`"tools":[` + strings.Repeat(`{"type":"web_search"},`, 128) + `{"type":"web_search"}]`), "body.tools", "too_long"},
		{with(`"reasoning_effort":"extreme"`), "body.reasoning_effort", "literal_error"},
		{with(`"service_tier":"gold"`), "body.service_tier", "literal_error"},
		{messages(`{"role":"system","content":null},` + user), "body.messages.0.system.content", "list_type"},
		{`{"model":null,"messages":[` + user + `]}`, "body.model", "string_type"},
		{`{"model":"m","messages":{}}`, "body.messages", "list_type"},
		{`[]`, "body", "model_attributes_type"},
		{`{"model":"m"`, "body.12", "json_invalid"},
		{notStreamed + `{}`, fmt.Sprint("body.", len(notStreamed)+1), "json_invalid"},
		{with(`"max_tokens":262144`), "body.max_tokens", "less_than"},
	}
	for _, c := range cases {
		status, answer, err := call(t, srv, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if c.loc == "" {
			if status != http.StatusOK {
				t.Errorf("%.200s: %d %s", c.body, status, answer)
			}
			continue
		}
		var got struct{ Detail []detail }
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusUnprocessableEntity || len(got.Detail) != 1 {
			t.Errorf("%.200s: %d %.300s; want 422 with one detail (%v)", c.body, status, answer, err)
			continue
		}
		var loc []string
		for _, part := range got.Detail[0].Loc {
			loc = append(loc, fmt.Sprint(part))
		}
		if d := got.Detail[0]; strings.Join(loc, ".") != c.loc || d.Type != c.typ || d.Msg == "" {
			t.Errorf("%.200s: %s at %s (%s); want %s at %s", c.body, d.Type, strings.Join(loc, "."), d.Msg, c.typ, c.loc)
		}
	}
}

// TestSchemaTellsAll wants every fault named at once, as the service does.
func TestSchemaTellsAll(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "ok"}))
	status, answer, _ := call(t, srv, `{"model":"m","messages":[{"role":"user","content":"hi"}],"store":false,"max_completion_tokens":8192}`)
	want := `{"detail":[` +
		`{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are not permitted","input":8192},` +
		`{"type":"extra_forbidden","loc":["body","store"],"msg":"Extra inputs are not permitted","input":false}]}`
	if status != 422 || answer != want {
		t.Errorf("got %d %s, want 422 %s", status, answer, want)
	}
}
