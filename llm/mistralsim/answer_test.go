package mistralsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStreamBytes compares a whole stream with what the service was recorded to
// send.
func TestStreamBytes(t *testing.T) {
	cfg := saying(Answer{Tokens: []string{"Hel", "lo \"you\"", "\n", "é🙂"}})
	cfg.NoPadding = true
	_, srv := serve(t, cfg)
	resp := ask(t.Context(), t, srv, streamed)
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content-type %q", got)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(resp.Header.Get("mistral-correlation-id")) {
		t.Errorf("mistral-correlation-id %q", resp.Header.Get("mistral-correlation-id"))
	}
	_, got, err := call(t, srv, streamed)
	if err != nil {
		t.Fatal(err)
	}
	got = regexp.MustCompile(`"id":"[0-9a-f]{32}"`).ReplaceAllString(got, `"id":"ID"`)
	got = regexp.MustCompile(`"created":\d{10}`).ReplaceAllString(got, `"created":NOW`)
	const head = `data: {"id":"ID","object":"chat.completion.chunk","created":NOW,"model":"m","choices":[{"index":0,"delta":`
	want := head + `{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":"Hel"},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":"lo \"you\""},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":"\n"},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":"é🙂"},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"total_tokens":9,"completion_tokens":4}}` + "\n\n" +
		"data: [DONE]\n\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestGatewayStreams: chunks of several tokens, and an end without a finish_reason.
func TestGatewayStreams(t *testing.T) {
	contents := regexp.MustCompile(`"content":"([^"]*)"|finish_reason":"|\[DONE\]`)
	for name, tt := range map[string]struct {
		answer Answer
		want   string
	}{
		"no reason":               {Answer{NoFinish: true}, `"content":"" "content":"a" "content":"b" "content":"c" "content":"d" [DONE]`},
		"no reason, with text":    {Answer{NoFinish: true, FinishWithText: true}, `"content":"" "content":"a" "content":"b" "content":"c" "content":"d" [DONE]`},
		"no end":                  {Answer{NoFinish: true, NoDone: true}, `"content":"" "content":"a" "content":"b" "content":"c" "content":"d"`},
		"three in a chunk":        {Answer{Join: 3}, `"content":"" "content":"abc" "content":"d" "content":"" finish_reason":" [DONE]`},
		"three, and an event":     {Answer{Join: 3, Event: "data: [DONE]\n\n", EventAfter: 2}, `"content":"" "content":"ab" [DONE] "content":"cd" "content":"" finish_reason":" [DONE]`},
		"all, with the reason":    {Answer{Join: 9, FinishWithText: true}, `"content":"" "content":"abcd" finish_reason":" [DONE]`},
		"all, without the reason": {Answer{Join: 9, FinishWithText: true, NoFinish: true}, `"content":"" "content":"abcd" [DONE]`},
	} {
		tt.answer.Tokens = []string{"a", "b", "c", "d"}
		_, srv := serve(t, saying(tt.answer))
		_, got, err := call(t, srv, streamed)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(contents.FindAllString(got, -1), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestWholeBytes(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "Say \"hello\"\n你好"}))
	resp := ask(t.Context(), t, srv, notStreamed)
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content-type %q", got)
	}
	_, got, err := call(t, srv, notStreamed)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\{"id":"[0-9a-f]{32}","created":\d{10},"model":"m",` +
		`"usage":\{"prompt_tokens":5,"total_tokens":\d+,"completion_tokens":\d+\},"object":"chat\.completion",` +
		`"choices":\[\{"index":0,"finish_reason":"stop","message":\{"role":"assistant","tool_calls":null,"content":"Say \\"hello\\"\\n你好"\}\}\]\}$`)
	if !want.MatchString(got) {
		t.Errorf("got %s", got)
	}
}

// TestReply holds what a reply says, where it ends and why.
func TestReply(t *testing.T) {
	text := "Once upon a time, in 北京, there was a 🙂 who said: \"well\\now\"."
	user := `{"role":"user","content":"hi"}`
	prefixed := func(prefix string) string {
		return `"messages":[` + user + `,{"role":"assistant","prefix":true,"content":` + string(toJSON(prefix)) + `}]`
	}
	cases := []struct {
		name   string
		ans    Answer
		body   string // without model and stream
		want   string
		finish string
		tokens int // completion tokens; 0: not looked at
	}{
		{"plain", Answer{Text: text}, `"messages":[` + user + `]`, text, "stop", 0},
		{"empty", Answer{}, `"messages":[` + user + `]`, "", "stop", 0},
		{"tokens", Answer{Tokens: []string{"a", "", "b"}}, `"messages":[` + user + `]`, "ab", "stop", 3},
		{"escaped", Answer{Text: text, ASCII: true}, `"messages":[` + user + `]`, text, "stop", 0},
		{"flushed in threes", Answer{Text: text, Flush: 3}, `"messages":[` + user + `]`, text, "stop", 0},
		{"text on the last chunk", Answer{Text: text, FinishWithText: true}, `"messages":[` + user + `]`, text, "stop", 0},
		{"another end", Answer{Text: text, Finish: "error"}, `"messages":[` + user + `]`, text, "error", 0},
		{"max_tokens", Answer{Tokens: []string{"a", "b", "c"}}, `"max_tokens":2,"messages":[` + user + `]`, "ab", "length", 2},
		{"max_tokens on the last chunk", Answer{Tokens: []string{"a", "b", "c"}, FinishWithText: true}, `"max_tokens":2,"messages":[` + user + `]`, "ab", "length", 2},
		{"max_tokens just enough", Answer{Tokens: []string{"a", "b"}}, `"max_tokens":2,"messages":[` + user + `]`, "ab", "stop", 2},
		{"stop sequence", Answer{Text: text}, `"stop":["there","time"],"messages":[` + user + `]`, "Once upon a ", "stop", 0},
		{"stop sequence in tokens", Answer{Tokens: []string{"a ", "b", " c"}}, `"stop":" c","messages":[` + user + `]`, "a b", "stop", 0},
		{"prefix", Answer{Text: text}, prefixed("Once upon a time, in 北"), text, "stop", 0},
		{"prefix with white space", Answer{Text: text}, prefixed("Once upon \n"), text, "stop", 0},
		{"prefix that is all", Answer{Text: text}, prefixed(text), text, "stop", 0},
		{"prefix of another text", Answer{Text: " and so on"}, prefixed("Twice"), "Twice and so on", "stop", 0},
		{"prefix in front of tokens", Answer{Tokens: []string{"x", "y"}}, prefixed("ab"), "abxy", "stop", 2},
		{"prefix within tokens", Answer{Tokens: []string{"abx", "y", "z"}}, `"max_tokens":2,` + prefixed("ab"), "abxy", "length", 2},
		{"stop sequence in the prefix", Answer{Text: "a.b.c"}, `"stop":".",` + prefixed("a."), "a.b", "stop", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sim, srv := serve(t, saying(c.ans))
			_, answer, err := call(t, srv, `{"model":"m","stream":true,`+c.body+`}`)
			if err != nil {
				t.Fatal(err)
			}
			all := events(t, answer)
			last := all[len(all)-1]
			if got := told(all); got != c.want {
				t.Errorf("streamed %q, want %q", got, c.want)
			}
			if last.Choices[0].FinishReason == nil || *last.Choices[0].FinishReason != c.finish {
				t.Errorf("finish_reason %v, want %s", last.Choices[0].FinishReason, c.finish)
			}
			if last.Usage == nil || last.Usage.TotalTokens != last.Usage.PromptTokens+last.Usage.CompletionTokens {
				t.Fatalf("usage %+v", last.Usage)
			}
			if c.tokens > 0 && last.Usage.CompletionTokens != c.tokens {
				t.Errorf("%d completion tokens, want %d", last.Usage.CompletionTokens, c.tokens)
			}
			r := sim.Requests()[0]
			wait(t, r)
			tokens := len(all) - 2
			if c.ans.FinishWithText {
				tokens++
			}
			if r.Sent() != tokens || !r.Gone().IsZero() {
				t.Errorf("sent %d tokens in %d events, gone %v", r.Sent(), len(all), r.Gone())
			}

			_, answer, err = call(t, srv, `{"model":"m",`+c.body+`}`)
			want := fmt.Sprintf(`"finish_reason":%q,"message":{"role":"assistant","tool_calls":null,"content":%s}`,
				c.finish, appendString(nil, c.want, c.ans.ASCII))
			if err != nil || !strings.Contains(answer, want) {
				t.Errorf("not streamed: %s (%v), want %s", answer, err, want)
			}
		})
	}
}

// TestEveryChunk holds what all chunks have in common, and which has what.
func TestEveryChunk(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: strings.Repeat("some words ", 40)}))
	_, answer, err := call(t, srv, streamed)
	if err != nil {
		t.Fatal(err)
	}
	all := events(t, answer)
	lengths := map[int]bool{}
	for i, e := range all {
		first, last := i == 0, i == len(all)-1
		c := e.Choices[0]
		if e.ID != all[0].ID || e.Object != "chat.completion.chunk" || e.Model != "m" || e.Created != all[0].Created {
			t.Errorf("chunk %d: %+v", i, e)
		}
		if (c.Delta.Role != nil) != first || (c.FinishReason != nil) != last || (e.Usage != nil) != last || (e.P == nil) != first {
			t.Errorf("chunk %d of %d: role %v, finish_reason %v, usage %v, p %v", i, len(all), c.Delta.Role, c.FinishReason, e.Usage, e.P)
		}
		if e.P != nil {
			lengths[len(*e.P)] = true
		}
	}
	if strings.Contains(strings.SplitAfterN(answer, "\n\n", 3)[1], `"usage"`) {
		t.Error("the key usage is there before the last chunk")
	}
	if len(lengths) < 10 {
		t.Errorf("paddings have only %d different lengths", len(lengths))
	}
}

// TestPrefixIsSplitAnew wants the echo of a prefix in other pieces than those
// in which the text was first sent.
func TestPrefixIsSplitAnew(t *testing.T) {
	text := strings.Repeat("the quick brown fox ", 10)
	_, srv := serve(t, saying(Answer{Text: text}))
	pieces := func(body string) string {
		_, answer, err := call(t, srv, body)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range events(t, answer) {
			all = append(all, e.Choices[0].Delta.Content)
		}
		if got := strings.Join(all, ""); got != text {
			t.Errorf("told %q", got)
		}
		return strings.Join(all, "|")
	}
	first := pieces(streamed)
	again := pieces(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"},{"role":"assistant","prefix":true,"content":"the quick brown fox the"}]}`)
	if first == again {
		t.Errorf("both times %s", first)
	}
}

func TestModels(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want []string
	}{
		{Config{}, aliases},
		{Config{Models: []string{"x", "y"}}, []string{"x", "y"}},
	} {
		_, srv := serve(t, c.cfg)
		req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		var got struct {
			Object string
			Data   []card
		}
		if _, body := do(t, srv, req); json.Unmarshal([]byte(body), &got) != nil {
			t.Fatalf("not JSON: %s", body)
		}
		var ids []string
		for _, card := range got.Data {
			ids = append(ids, card.ID)
			if card.Type != "base" || card.Capabilities == nil || card.Object != "model" || card.MaxContext != 262144 {
				t.Errorf("card %+v", card)
			}
		}
		if got.Object != "list" || strings.Join(ids, ",") != strings.Join(c.want, ",") {
			t.Errorf("%s of %v, want %v", got.Object, ids, c.want)
		}
	}
}

// TestDoor holds what is refused before a body is looked at.
func TestDoor(t *testing.T) {
	const chat, kong = "/v1/chat/completions", `{"message":"no Route matched with those values"`
	cases := []struct {
		method, path, auth string
		status             int
		want               string
	}{
		{"POST", chat, "Bearer secret", 200, `"content":"ok"`},
		{"POST", chat, "bearer secret", 200, `"content":"ok"`},
		{"POST", chat, "", 401, `{"detail":"Unauthorized"}`},
		{"POST", chat, "Bearer ", 401, `{"detail":"Unauthorized"}`},
		{"POST", chat, "Bearer other", 401, `{"detail":"Unauthorized"}`},
		{"POST", chat, "Basic secret", 401, `{"detail":"Unauthorized"}`},
		{"GET", "/v1/models", "", 401, `{"detail":"Unauthorized"}`},
		{"GET", chat, "Bearer secret", 405, `{"detail":"Method Not Allowed"}`},
		{"POST", "/v1/models", "Bearer secret", 405, `{"detail":"Method Not Allowed"}`},
		{"POST", "/chat/completions", "Bearer secret", 404, kong},
		{"POST", "/v1/v1/chat/completions", "", 404, kong},
	}
	cfg := saying(Answer{Text: "ok"})
	cfg.Key = "secret"
	_, srv := serve(t, cfg)
	for _, c := range cases {
		req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(notStreamed))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		if c.auth != "" {
			req.Header.Set("Authorization", c.auth)
		}
		status, body := do(t, srv, req)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s with %q: %d %s, want %d %s", c.method, c.path, c.auth, status, body, c.status, c.want)
		}
	}
}

// TestAnyKey wants an empty key refused even when any will do.
func TestAnyKey(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "ok"}))
	for auth, want := range map[string]int{"Bearer x": 200, "Bearer ": 401, "": 401} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", auth)
		if status, body := do(t, srv, req); status != want {
			t.Errorf("%q: %d %s", auth, status, body)
		}
	}
}

// TestThoughts: they come first, count towards max_tokens, and are not thought
// again by a reply that goes on.
func TestThoughts(t *testing.T) {
	_, srv := serve(t, saying(Answer{Thoughts: []string{"hm", " well"}, Tokens: []string{"yes", " no"}}))
	for request, want := range map[string]string{
		streamed: `"content":"" thinking":[{"type":"text","text":"hm"} thinking":[{"type":"text","text":" well"} "content":"yes" "content":" no" "content":"" "stop" completion_tokens":4`,
		strings.Replace(streamed, `{`, `{"max_tokens":3,`, 1):                                             `"content":"" thinking":[{"type":"text","text":"hm"} thinking":[{"type":"text","text":" well"} "content":"yes" "content":"" "length" completion_tokens":3`,
		strings.Replace(streamed, `{`, `{"max_tokens":2,`, 1):                                             `"content":"" thinking":[{"type":"text","text":"hm"} thinking":[{"type":"text","text":" well"} "content":"" "length" completion_tokens":2`,
		strings.Replace(streamed, `"hi"}`, `"hi"},{"role":"assistant","content":"yes","prefix":true}`, 1): `"content":"" "content":"yes" "content":" no" "content":"" "stop" completion_tokens":1`,
		strings.Replace(streamed, `{`, `{"prompt_cache_key":"k",`, 1):                                     `"content":"" thinking":[{"type":"text","text":"hm"} thinking":[{"type":"text","text":" well"} "content":"yes" "content":" no" "content":"" "stop" completion_tokens":4`,
	} {
		_, got, err := call(t, srv, request)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`"content":"[^"]*"|thinking":\[[^]]*}|"(?:stop|length)"|completion_tokens":\d+`).FindAllString(got, -1)
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s:\n%s, want\n%s", request, got, want)
		}
	}
}

// TestSplit: a pair of surrogates is sent as two halves.
func TestSplit(t *testing.T) {
	_, srv := serve(t, saying(Answer{Tokens: []string{"a😀b", "你"}, Split: true}))
	_, got, err := call(t, srv, streamed)
	if err != nil || !strings.Contains(got, `"content":"a\ud83d"`) || !strings.Contains(got, `"content":"\ude00b"`) || !strings.Contains(got, `"content":"你"`) {
		t.Errorf("%s, %v", got, err)
	}
}

// TestKeepAlive: comments come while a stream waits, and its type may be any.
func TestKeepAlive(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "a", FirstToken: 100 * time.Millisecond, KeepAlive: 10 * time.Millisecond, ContentType: "text/plain"}))
	resp := ask(t.Context(), t, srv, streamed)
	got, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(got), ": keepalive\n\n") < 2 || !strings.HasPrefix(string(got), ": ") || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestAlternate: two messages of the user's in a row are refused.
func TestAlternate(t *testing.T) {
	_, srv := serve(t, Config{Alternate: true})
	for messages, want := range map[string]int{
		`{"role":"user","content":"a"}`:                                                                                     200,
		`{"role":"system","content":"s"},{"role":"user","content":"a"}`:                                                     200,
		`{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}`:                    200,
		`{"role":"user","content":"a"},{"role":"assistant","content":"b","prefix":true}`:                                    200,
		`{"role":"user","content":"a"},{"role":"user","content":"c"}`:                                                       400,
		`{"role":"system","content":"s"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}`:                  400,
		`{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"b","prefix":true}`: 400,
	} {
		status, body, err := call(t, srv, `{"model":"m","messages":[`+messages+`]}`)
		if err != nil || status != want {
			t.Errorf("%s: %d %s, %v", messages, status, body, err)
		}
	}
}

// TestCached: what a prompt has in common with the last one of its key is cached.
func TestCached(t *testing.T) {
	_, srv := serve(t, Config{})
	long := strings.Repeat("word ", 200) // 250 tokens
	user := func(text string) string { return `{"role":"user","content":"` + text + `"}` }
	for i, tt := range []struct{ key, messages, want string }{
		{"a", user(long), ""},
		{"a", user(long + "more"), `"cached_tokens":192}`},
		{"b", user(long), ""},
		{"", user(long), ""},
		{"a", user("x" + long), ""},
		{"a", user("x" + long), `"cached_tokens":192}`},
	} {
		_, got, err := call(t, srv, `{"model":"m","prompt_cache_key":"`+tt.key+`","messages":[`+tt.messages+`]}`)
		if err != nil || regexp.MustCompile(`"cached_tokens":\d+}`).FindString(got) != tt.want {
			t.Errorf("%d: %s, %v", i, got, err)
		}
	}
}
