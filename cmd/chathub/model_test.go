package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tmc/langchaingo/llms"
)

// TestOllama: an Ollama is asked for the context that prompts are made for, and for
// nothing that is not set.
func TestOllama(t *testing.T) {
	var sent map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = nil
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"message":"model \"o:7b\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}`)
	}))
	defer server.Close()
	const body = `{"model":"o:7b","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]`
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `,"options":{"num_ctx":32768}}`},
		{[]string{"--max-context-tokens=5000", "--temperature=0.5"}, `,"options":{"num_ctx":5000},"temperature":0.5}`},
		{[]string{"--temperature=0"}, `,"options":{"num_ctx":32768},"temperature":0}`},
	} {
		cfg, err := parse(append(tt.args, "--llm=ollama", "--ollama-model=o:7b", "--ollama-url="+server.URL), []string{"MISTRAL_API_KEY=k"}, noFile(t), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newModel(cfg, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, err = llms.GenerateFromSinglePrompt(t.Context(), m, "Hi")
		m.close()
		var e *llms.Error
		if !errors.As(err, &e) || e.Code != llms.ErrCodeResourceNotFound || m.name != "o:7b" {
			t.Errorf("%s: %v", m.name, err)
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(body+tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("%q: body (-want +got):\n%s", tt.args, diff)
		}
	}
}
