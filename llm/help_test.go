package llm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// testKey is what the tests send as API key, to look for where it must not be.
const testKey = "not-a-real-key"

// hello is a whole stream as Mistral sends it (MISTRAL.md section 2).
const hello = `data: {"id":"5319","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null,"logprobs":null}]}

data: {"id":"5319","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null,"logprobs":null}]}

data: {"id":"5319","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"content":" world"},"finish_reason":null,"logprobs":null}]}

data: {"id":"5319","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":13,"total_tokens":21,"completion_tokens":8}}

data: [DONE]

`

// ask is the shortest conversation.
var ask = []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "Hi")}

// goOn is a conversation whose answer has begun with text.
func goOn(text string) []llms.MessageContent {
	return append(ask[:1:1], llms.TextParts(llms.ChatMessageTypeAI, text))
}

// serve starts a server for the handler and returns a model that asks it.
// Attempts after the first have to be allowed by change.
func serve(t *testing.T, handler http.HandlerFunc, change ...func(*Config)) *Mistral {
	t.Helper()
	server := httptest.NewServer(whole(handler))
	t.Cleanup(server.Close)
	cfg := Config{BaseURL: server.URL, APIKey: testKey, MaxRetries: -1}
	for _, f := range change {
		f(&cfg)
	}
	m, err := NewMistral(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.CloseIdleConnections)
	return m
}

// whole reads the body for the handler: only then does the server notice that a
// client leaves.
func whole(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler(w, r)
	}
}

// streams is a handler that answers with these bytes as an event stream.
func streams(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, body)
	}
}

// event is one event whose token is the JSON value content.
func event(content string) string {
	return `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":` + content + `},"finish_reason":null}]}` + "\n\n"
}

// finish is the event that ends an answer, and [DONE].
func finish(reason string) string {
	return fmt.Sprintf(`data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":%q}]}`, reason) + "\n\ndata: [DONE]\n\n"
}

// gather is a StreamingFunc's option and what it got.
func gather() (*strings.Builder, llms.CallOption) {
	var got strings.Builder
	return &got, llms.WithStreamingFunc(func(_ context.Context, b []byte) error {
		got.Write(b)
		return nil
	})
}

// wantError checks code and kind of an error and that it tells no secrets.
func wantError(t *testing.T, err error, code llms.ErrorCode) *llms.Error {
	t.Helper()
	var e *llms.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want an *llms.Error", err, err)
	}
	if e.Code != code {
		t.Errorf("got code %q, want %q: %v", e.Code, code, e)
	}
	if e.Provider != "mistral" || e.Message == "" {
		t.Errorf("provider %q, message %q", e.Provider, e.Message)
	}
	if strings.Contains(fmt.Sprintf("%v %v %v", e, e.Details, e.Cause), testKey) {
		t.Errorf("the error shows the key: %v", e)
	}
	if len(e.Message) > 500 {
		t.Errorf("a message of %d bytes", len(e.Message))
	}
	return e
}

// pipe is a listener in memory, for tests with a fake clock.
type pipe struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { close(p.done); return nil }
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inMemory is serve over pipes; it belongs into a synctest bubble. stop ends the
// server and its connections.
func inMemory(t *testing.T, handler http.HandlerFunc, change ...func(*Config)) (m *Mistral, stop func()) {
	t.Helper()
	p := &pipe{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: whole(handler)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(p)
	}()
	transport := &http.Transport{DialContext: p.dial}
	cfg := Config{BaseURL: "http://mistral.test", APIKey: testKey, HTTPClient: &http.Client{Transport: transport}}
	for _, f := range change {
		f(&cfg)
	}
	m, err := NewMistral(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m, func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	}
}

// flush sends what was written and waits for nothing.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// waitFor fails the test when c is not closed within a generous time.
func waitFor(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("not in 10 s: " + what)
	}
}
