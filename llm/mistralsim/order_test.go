package mistralsim

import (
	"strings"
	"testing"
)

// TestOrder holds the rules about roles and about what a message must have.
func TestOrder(t *testing.T) {
	messages := map[byte]string{
		's': `{"role":"system","content":"s"}`,
		'u': `{"role":"user","content":"u"}`,
		'a': `{"role":"assistant","content":"a"}`,
		'p': `{"role":"assistant","content":"a","prefix":true}`,
		'w': `{"role":"assistant","content":" \n ","prefix":true}`,
		'e': `{"role":"assistant","content":""}`,
		'0': `{"role":"assistant","content":null}`,
		'm': `{"role":"assistant"}`,
		'c': `{"role":"assistant","content":"","tool_calls":[{"id":"abcDEF123","function":{"name":"f","arguments":"{}"}}]}`,
		'b': `{"role":"assistant","tool_calls":[{"id":"call_1","function":{"name":"f","arguments":{}}}]}`,
		't': `{"role":"tool","content":"t","tool_call_id":"abcDEF123"}`,
		'x': `{"role":"tool","content":"t","tool_call_id":"call_1"}`,
	}
	const (
		ordered   = `"type":"invalid_request_message_order","param":null,"code":"3230"`
		assistant = `"message":"Assistant message must have either content or tool_calls, but not none.","type":"invalid_request_assistant_message","param":null,"code":"3240"`
		calls     = `"type":"invalid_function_call","param":null,"code":"3280"`
		uneven    = `"message":"Not the same number of function calls and responses",` + ordered
		last      = `"message":"Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",` + ordered
	)
	cases := []struct{ talk, want string }{
		{"u", ""}, {"s", ""}, {"su", ""}, {"ssu", ""}, {"usu", ""}, {"uu", ""}, {"uau", ""}, {"au", ""}, {"uaau", ""},
		{"up", ""}, {"sup", ""}, {"uauap", ""}, {"uct", ""}, {"uctau", ""}, {"uctu", ""}, {"uctp", ""},
		{"", `"message":"Conversation must have at least one message",` + ordered},
		{"a", `"message":"Conversation must start with a user message or system message",` + ordered},
		{"p", `"message":"Conversation must start with a user message or system message",` + ordered},
		{"ua", last}, {"suaua", last},
		{"us", `"message":"Expected last role User or Tool (or Assistant with prefix True) for serving but got system",` + ordered},
		{"uasu", `"message":"Unexpected role 'system' after role 'assistant'",` + ordered},
		{"uctsu", `"message":"Unexpected role 'system' after role 'tool'",` + ordered},
		{"ut", `"message":"Unexpected role 'tool' after role 'user'",` + ordered},
		{"ucu", uneven}, {"ucau", uneven}, {"uctt", uneven}, {"uat", uneven},
		{"upu", `"message":"Assistant message with prefix True must be last message"`},
		{"ueu", assistant}, {"u0u", assistant}, {"umu", assistant}, {"uw", assistant},
		{"ubx", `"message":"Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",` + calls},
		{"ucx", `"message":"Tool call id was call_1`},
	}
	_, srv := serve(t, saying(Answer{Text: "ok"}))
	for _, c := range cases {
		var list []string
		for i := range len(c.talk) {
			list = append(list, messages[c.talk[i]])
		}
		status, answer, err := call(t, srv, `{"model":"m","messages":[`+strings.Join(list, ",")+`]}`)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" && status != 200 {
			t.Errorf("%q: %d %s; want 200", c.talk, status, answer)
		}
		if c.want != "" && (status != 400 || !strings.Contains(answer, c.want) || !strings.HasPrefix(answer, `{"object":"error",`)) {
			t.Errorf("%q: %d %s; want 400 with %s", c.talk, status, answer, c.want)
		}
	}
}

// TestRefusals holds what is refused beyond schema and order.
func TestRefusals(t *testing.T) {
	cfg := saying(Answer{Text: "ok"})
	cfg.Models, cfg.MaxContext = []string{"m", DemoModel}, 100
	sim, srv := serve(t, cfg)
	cases := []struct {
		body   string
		status int
		want   string
	}{
		{notStreamed, 200, `"model":"m"`},
		{`{"model":"eliza (simulated)","messages":[{"role":"user","content":"hi"}]}`, 200, `"model":"eliza (simulated)"`},
		{`{"model":"foo","messages":[{"role":"user","content":"hi"}]}`, 400,
			`{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}`},
		{`{"model":"m","prompt_mode":"reasoning","messages":[{"role":"user","content":"hi"}]}`, 400, `"code":"3051"`},
		{`{"model":"m","reasoning_effort":"high","messages":[{"role":"user","content":"hi"}]}`, 400, `"code":"3051"`},
		{`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("long", 100) + `"}]}`, 400,
			`"message":"Prompt 104 > 100 maximum context length","type":"invalid_request_prompt_too_long","param":null,"code":"3059"`},
		{`{"model":"m","max_tokens":96,"messages":[{"role":"user","content":"hi"}]}`, 400, `"code":"3059"`},
		{`{"model":"m","max_tokens":95,"messages":[{"role":"user","content":"hi"}]}`, 200, `"content":"ok"`},
		{`{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`, 422, `"max_tokens"`},
		{"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\xffi\"}]}", 400, `{"detail":"There was an error parsing the body"}`},
	}
	ok := 0
	for _, c := range cases {
		status, answer, err := call(t, srv, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%.100q: %d %s; want %d %s", c.body, status, answer, c.status, c.want)
		}
		if status == 200 {
			ok++
		}
	}
	if got := len(sim.Requests()); got != ok {
		t.Errorf("%d requests are remembered, %d were answered", got, ok)
	}
}
