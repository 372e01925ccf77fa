package llm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tmc/langchaingo/llms"
)

// sends returns what a call sends, header and body.
func sends(t *testing.T, messages []llms.MessageContent, change func(*Config), options ...llms.CallOption) (http.Header, map[string]any) {
	t.Helper()
	var header http.Header
	var body map[string]any
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		streams(finish("stop"))(w, r)
	}, change)
	if _, err := m.GenerateContent(t.Context(), messages, options...); err != nil {
		// Messages that end in the AI's text ask for an echo, which this server has not.
		if last := messages[len(messages)-1]; last.Role != llms.ChatMessageTypeAI {
			t.Fatal(err)
		}
	}
	return header, body
}

// parse is a JSON value as encoding/json has it.
func parse(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRequest(t *testing.T) {
	zero := 0.0
	plain := func(*Config) {}
	const hi = `"model":"mistral-small-latest","stream":true,"messages":[{"role":"user","content":"Hi"}]`
	tests := []struct {
		name    string
		change  func(*Config)
		options []llms.CallOption
		want    string
	}{
		{"nothing set", plain, nil, `{` + hi + `}`},
		{"temperature of the configuration", func(c *Config) { c.Temperature = &zero }, nil, `{` + hi + `,"temperature":0}`},
		{"temperature of the call", func(c *Config) { c.Temperature = &zero }, []llms.CallOption{llms.WithTemperature(0.5)}, `{` + hi + `,"temperature":0.5}`},
		{"all options", plain, []llms.CallOption{llms.WithMaxTokens(10), llms.WithTopP(0.9), llms.WithStopWords([]string{"x"})},
			`{` + hi + `,"max_tokens":10,"top_p":0.9,"stop":["x"]}`},
		{"what Mistral does not have, or nobody asks for", plain, []llms.CallOption{
			WithoutContent(), llms.WithThinkingMode(llms.ThinkingModeHigh), llms.WithPromptCaching(true), llms.WithMetadata(map[string]any{"a": func() {}}),
			llms.WithSeed(7), llms.WithN(2), llms.WithPresencePenalty(1), llms.WithFrequencyPenalty(-1), llms.WithJSONMode(),
			llms.WithTopK(5), llms.WithMinLength(1), llms.WithMaxLength(2), llms.WithRepetitionPenalty(1),
		}, `{` + hi + `}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header, body := sends(t, ask, test.change, test.options...)
			if diff := cmp.Diff(parse(t, test.want), body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if header.Get("Authorization") != "Bearer "+testKey || header.Get("Accept") != "text/event-stream" || header.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", header)
			}
			if header.Get("Accept-Encoding") != "" {
				t.Error("a compressed answer is asked for")
			}
		})
	}
	_, body := sends(t, ask, func(c *Config) { c.Model = "one" }, llms.WithModel("other"))
	if body["model"] != "other" {
		t.Errorf("model %v", body["model"])
	}
}

func TestMessages(t *testing.T) {
	text := llms.TextParts
	ai, human, system := llms.ChatMessageTypeAI, llms.ChatMessageTypeHuman, llms.ChatMessageTypeSystem
	message := func(role llms.ChatMessageType, parts ...llms.ContentPart) llms.MessageContent {
		return llms.MessageContent{Role: role, Parts: parts}
	}
	tests := []struct {
		name string
		from []llms.MessageContent
		want string
	}{
		{"a conversation", []llms.MessageContent{text(system, "S"), text(human, "<1>"), text(ai, "2 "), text(human, "3")},
			`[{"role":"system","content":"S"},{"role":"user","content":"<1>"},{"role":"assistant","content":"2 "},{"role":"user","content":"3"}]`},
		{"answers without text", []llms.MessageContent{text(human, "1"), text(ai, ""), text(human, "2"), message(ai), text(human, "3"), text(ai, " \n"), text(human, "4"), text(ai, "")},
			`[{"role":"user","content":"1"},{"role":"user","content":"2"},{"role":"user","content":"3"},{"role":"user","content":"4"}]`},
		{"an answer without its question", []llms.MessageContent{text(ai, "0"), text(human, "1")}, `[{"role":"user","content":"1"}]`},
		{"the same behind a system prompt", []llms.MessageContent{text(system, "S"), text(ai, "0"), text(human, "1")},
			`[{"role":"system","content":"S"},{"role":"assistant","content":"0"},{"role":"user","content":"1"}]`},
		{"a beginning", []llms.MessageContent{text(human, "1"), text(ai, "So ", "far \n")},
			`[{"role":"user","content":"1"},{"role":"assistant","content":"So far","prefix":true}]`},
		{"parts", []llms.MessageContent{message(human, llms.TextPart("see"), llms.TextPart(" this"))}, `[{"role":"user","content":"see this"}]`},
		{"generic", []llms.MessageContent{text(llms.ChatMessageTypeGeneric, "1")}, `[{"role":"user","content":"1"}]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, body := sends(t, test.from, func(*Config) {})
			want := parse(t, `{"m":`+test.want+`}`)["m"]
			if diff := cmp.Diff(want, body["messages"]); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotSent(t *testing.T) {
	m := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("was asked") })
	for name, ask := range map[string]func() error{
		"no message":  func() error { _, err := m.GenerateContent(t.Context(), nil); return err },
		"no question": func() error { _, err := m.GenerateContent(t.Context(), goOn("")[1:]); return err },
		"role":        func() error { _, err := m.GenerateContent(t.Context(), []llms.MessageContent{{Role: "x"}}); return err },
		"tool result": func() error {
			_, err := m.GenerateContent(t.Context(), []llms.MessageContent{{Role: llms.ChatMessageTypeTool}})
			return err
		},
		"image": func() error {
			_, err := m.GenerateContent(t.Context(), []llms.MessageContent{{Role: "human", Parts: []llms.ContentPart{llms.ImageURLPart("http://x")}}})
			return err
		},
		"unknown part": func() error {
			_, err := m.GenerateContent(t.Context(), []llms.MessageContent{{Role: "human", Parts: []llms.ContentPart{nil}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, ask(), llms.ErrCodeInvalidRequest) })
	}
}

func TestConfig(t *testing.T) {
	for url, want := range map[string]string{
		"":                        "https://api.mistral.ai/v1/chat/completions",
		"http://127.0.0.1:8080":   "http://127.0.0.1:8080/v1/chat/completions",
		"http://127.0.0.1:8080/":  "http://127.0.0.1:8080/v1/chat/completions",
		"https://gate.example/m":  "https://gate.example/m/v1/chat/completions",
		"https://x.example/v1/":   "https://x.example/v1/chat/completions",
		"https://x.example/m/v1":  "https://x.example/m/v1/chat/completions",
		"ftp://x.example":         "",
		"x.example":               "",
		"https://":                "",
		"https://u:p@x.example":   "",
		"https://x.example/?a=b":  "",
		"http://x.example/%zz":    "",
		"https://x.example/m#top": "",
	} {
		m, err := NewMistral(Config{BaseURL: url})
		if want == "" {
			if err == nil {
				t.Errorf("%q is accepted: %s", url, m.endpoint)
			}
		} else if err != nil || m.endpoint != want {
			t.Errorf("%q: got %v, %v", url, m, err)
		}
	}
	for _, key := range []string{"a b", "a\n", "é"} {
		if _, err := NewMistral(Config{APIKey: key}); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	for _, cfg := range []Config{{IdleTimeout: -1}, {FirstTokenTimeout: -1}, {MaxRetryWait: -1}} {
		if _, err := NewMistral(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	if m, err := NewMistral(Config{}); err != nil || m.cfg.Model != "mistral-small-latest" {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestContent is about who gets the text.
func TestContent(t *testing.T) {
	m := serve(t, streams(hello))
	got, option := gather()
	resp, err := m.GenerateContent(t.Context(), ask, option, WithoutContent())
	if err != nil || got.String() != "Hello world" || resp.Choices[0].Content != "" || resp.Choices[0].StopReason != "stop" {
		t.Errorf("streamed %q, returned %+v, %v", got, resp.Choices[0], err)
	}
	if text, err := m.Call(t.Context(), "Hi", WithoutContent()); err != nil || text != "Hello world" {
		t.Errorf("without a function: %q, %v", text, err)
	}
	mine := map[string]any{"a": 1}
	if _, err := m.GenerateContent(t.Context(), ask, llms.WithMetadata(mine), WithoutContent()); err != nil || len(mine) != 1 {
		t.Errorf("the caller's metadata became %v, %v", mine, err)
	}

	thinks := serve(t, streams(event(`[{"type":"thinking","thinking":"hm"},{"type":"text","text":"4"}]`)+finish("stop")))
	var thought, text strings.Builder
	_, err = thinks.GenerateContent(t.Context(), ask, llms.WithStreamingReasoningFunc(func(_ context.Context, reasoning, chunk []byte) error {
		thought.Write(reasoning)
		text.Write(chunk)
		return nil
	}))
	if err != nil || thought.String() != "hm" || text.String() != "4" {
		t.Errorf("got %q and %q, %v", &thought, &text, err)
	}
}

// TestAtOnce holds that a token is handed on before the next one is sent.
func TestAtOnce(t *testing.T) {
	next := make(chan struct{})
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, token := range []string{`"a"`, `"b"`, `"c"`} {
			_, _ = io.WriteString(w, event(token))
			flush(w)
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, finish("stop"))
	})
	var got []string
	_, err := m.GenerateContent(t.Context(), ask, llms.WithStreamingFunc(func(_ context.Context, b []byte) error {
		got = append(got, string(b))
		next <- struct{}{}
		return nil
	}))
	if err != nil || strings.Join(got, "|") != "a|b|c" {
		t.Errorf("got %q, %v", got, err)
	}
}
