package llm

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tmc/langchaingo/llms"
)

// ollamaChunk is a chunk as Ollama's endpoint for OpenAI's clients sends it.
func ollamaChunk(content, finish string) string {
	return `data: {"id":"chatcmpl-91","object":"chat.completion.chunk","created":1769088720,"model":"mistral","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"` +
		content + `"},"finish_reason":` + finish + "}]}\n\n"
}

const ollamaUsage = `data: {"id":"chatcmpl-91","object":"chat.completion.chunk","created":1769088720,"model":"mistral","system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":13,"completion_tokens":2,"total_tokens":15}}` + "\n\ndata: [DONE]\n\n"

// askOllama is a call of an Ollama that answers so, and what it was sent.
func askOllama(t *testing.T, cfg Config, messages []llms.MessageContent, handler http.HandlerFunc, options ...llms.CallOption) (text string, resp *llms.ContentResponse, sent map[string]any, err error) {
	t.Helper()
	server := httptest.NewServer(whole(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s with the key %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		handler(w, r)
	}))
	defer server.Close()
	cfg.BaseURL, cfg.Model, cfg.MaxRetries = server.URL, "mistral", -1
	m, err := NewOllama(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got, option := gather()
	resp, err = m.GenerateContent(t.Context(), messages, append(options, option)...)
	m.client.CloseIdleConnections()
	return got.String(), resp, sent, err
}

// TestOllama: what is sent, and how what it says is understood.
func TestOllama(t *testing.T) {
	half := 0.5
	const hi = `"model":"mistral","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]`
	for _, test := range []struct {
		name    string
		cfg     Config
		options []llms.CallOption
		want    string
	}{
		{"nothing set", Config{}, nil, `{` + hi + `}`},
		{"the context", Config{ContextTokens: 32768}, nil, `{` + hi + `,"options":{"num_ctx":32768}}`},
		{"temperature", Config{Temperature: &half}, nil, `{` + hi + `,"temperature":0.5}`},
		{"a longest reply", Config{}, []llms.CallOption{llms.WithMaxTokens(10)}, `{` + hi + `,"max_tokens":10}`},
		{"no cache key", Config{}, []llms.CallOption{WithCacheKey("x"), WithoutContent()}, `{` + hi + `}`},
	} {
		text, resp, sent, err := askOllama(t, test.cfg, ask, streams(ollamaChunk("Hel", "null")+ollamaChunk("lo", "null")+ollamaChunk("", `"length"`)+ollamaUsage), test.options...)
		if err != nil || text != "Hello" || resp.Choices[0].StopReason != "length" || resp.Choices[0].GenerationInfo["CompletionTokens"] != 2 {
			t.Errorf("%s: %q, %+v, %v", test.name, text, resp, err)
		}
		if diff := cmp.Diff(parse(t, test.want), sent); diff != "" {
			t.Errorf("%s: body (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestOllamaFails(t *testing.T) {
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		code   llms.ErrorCode
		cut    bool
		logged string
	}{
		{"no such model", says(404, `{"error":{"message":"model \"mistral\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}`), llms.ErrCodeResourceNotFound, false, `model "mistral" not found, try pulling it first`},
		{"a request it does not like", says(400, `{"error":{"message":"invalid","type":"invalid_request_error"}}`), llms.ErrCodeInvalidRequest, false, "7 bytes"},
		{"out of memory", says(500, `{"error":{"message":"model requires more system memory","type":"api_error"}}`), llms.ErrCodeProviderUnavailable, false, "HTTP 500"},
		{"an error in the stream", streams(ollamaChunk("Hel", "null") + `data: {"error":{"message":"an error was encountered while running the model","type":"api_error"}}` + "\n\n"), llms.ErrCodeProviderUnavailable, false, "HTTP 500"},
		{"a stream that is cut", func(w http.ResponseWriter, r *http.Request) {
			streams(ollamaChunk("Hel", "null"))(w, r)
			flush(w)
			panic(http.ErrAbortHandler)
		}, llms.ErrCodeProviderUnavailable, true, "broke off"},
	} {
		_, _, _, err := askOllama(t, Config{}, ask, test.answer)
		var e *llms.Error
		if !errors.As(err, &e) || e.Code != test.code || e.Provider != "ollama" || errors.Is(err, io.ErrUnexpectedEOF) != test.cut {
			t.Errorf("%s: %v", test.name, err)
		}
		if logged := LogAttrs(err); !strings.Contains(logged[0].Value.String(), test.logged) {
			t.Errorf("%s: logged %v", test.name, logged)
		}
	}
	for _, bad := range []Config{{}, {BaseURL: "localhost:11434", Model: "m"}, {BaseURL: "http://%zz", Model: "m"}, {BaseURL: "ftp://x", Model: "m"}} {
		if _, err := NewOllama(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestOllamaGoesOn: the given text is sent without prefix, and may be repeated.
func TestOllamaGoesOn(t *testing.T) {
	for _, test := range []struct{ name, given, answer, fresh string }{
		{"at once", "Hello", ` world`, " world"},
		{"behind the text again", "Hello", `Hello world`, " world"},
		{"with a space that is there", "Hello ", ` world`, "world"},
		{"without one", "Hello ", `world`, "world"},
		{"with a beginning that is alike", "Hello, he", `Hello dear`, "Hello dear"},
		{"with a part of it, and no more", "Hello", `Hel`, "Hel"},
		{"with the same and no more", "Hello", `Hello`, ""},
		{"with nothing", "Hello", ``, ""},
		{"behind nothing", "", `Hello`, "Hello"},
	} {
		for _, split := range []bool{false, true} {
			stream := ollamaChunk(test.answer, "null")
			if split {
				stream = ""
				for _, r := range test.answer {
					stream += ollamaChunk(string(r), "null")
				}
			}
			text, _, sent, err := askOllama(t, Config{}, goOn(test.given), streams(stream+ollamaChunk("", `"stop"`)+ollamaUsage))
			if err != nil || text != test.fresh {
				t.Errorf("%s: %q, %v, want %q", test.name, text, err, test.fresh)
			}
			messages := sent["messages"].([]any)
			if last, _ := messages[len(messages)-1].(map[string]any); test.given != "" && (last["content"] != strings.TrimSpace(test.given) || last["role"] != "assistant" || last["prefix"] != nil) {
				t.Errorf("%s: sent %v", test.name, last)
			}
		}
	}
}
