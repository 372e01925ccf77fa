package mistralsim

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lumos/backend/cmd/needs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(needs.M{M: m}) }

// serve starts a simulator on loopback.
func serve(t testing.TB, cfg Config) (*Server, *httptest.Server) {
	t.Helper()
	sim := New(cfg)
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	t.Cleanup(srv.Client().CloseIdleConnections)
	return sim, srv
}

// saying makes a Config whose every reply is a.
func saying(a Answer) Config {
	return Config{Answer: func(*Request) Answer { return a }}
}

// post is the request of a chat completion; body is JSON.
func post(ctx context.Context, t testing.TB, srv *httptest.Server, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer key")
	req.Header.Set("Content-Type", "application/json")
	return req
}

// ask posts a chat completion and returns when the header is there.
func ask(ctx context.Context, t testing.TB, srv *httptest.Server, body string) *http.Response {
	t.Helper()
	resp, err := srv.Client().Do(post(ctx, t, srv, body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// call asks and reads the whole answer.
func call(t testing.TB, srv *httptest.Server, body string) (status int, answer string, err error) {
	t.Helper()
	resp := ask(t.Context(), t, srv, body)
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return resp.StatusCode, string(b), err
}

const (
	streamed    = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	notStreamed = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
)

// event is what a client makes of one chunk.
type event struct {
	ID      string
	Object  string
	Created int64
	Model   string
	Choices []struct {
		Index int
		Delta struct {
			Role    *string
			Content string
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	}
	P *string
}

// events reads a stream strictly: data lines and empty lines in turn, and
// [DONE] at the end.
func events(t testing.TB, stream string) []event {
	t.Helper()
	var all []event
	sc := bufio.NewScanner(strings.NewReader(stream))
	sc.Buffer(nil, 1<<20)
	for done := false; sc.Scan(); {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok || done {
			t.Fatalf("unexpected line %q", sc.Text())
		}
		if data == "[DONE]" {
			done = true
		} else {
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatalf("%v in %q", err, data)
			}
			all = append(all, e)
		}
		if !sc.Scan() || sc.Text() != "" {
			t.Fatalf("no empty line after %q", data)
		}
	}
	if !strings.HasSuffix(stream, "data: [DONE]\n\n") {
		t.Errorf("the stream ends in %.40q", stream[max(0, len(stream)-40):])
	}
	return all
}

// told joins the text of a stream's events.
func told(all []event) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.Choices[0].Delta.Content)
	}
	return b.String()
}

// wait returns when the request's handler has returned.
func wait(t testing.TB, r *Request) {
	t.Helper()
	select {
	case <-r.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the handler did not return")
	}
}

// do sends a request and reads the answer.
func do(t testing.TB, srv *httptest.Server, req *http.Request) (int, string) {
	t.Helper()
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// protocols runs a test over HTTP/1.1 and over HTTP/2 with TLS.
func protocols(t *testing.T, cfg Config, test func(t *testing.T, sim *Server, srv *httptest.Server)) {
	t.Helper()
	for _, h2 := range []bool{false, true} {
		name := "HTTP/1.1"
		if h2 {
			name = "HTTP/2"
		}
		t.Run(name, func(t *testing.T) {
			sim := New(cfg)
			srv := httptest.NewUnstartedServer(sim)
			if srv.EnableHTTP2 = h2; h2 {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			test(t, sim, srv)
			srv.Client().CloseIdleConnections()
		})
	}
}
