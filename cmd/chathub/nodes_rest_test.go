package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answer is a response, read to its end.
type answer struct {
	status int
	body   []byte
	header http.Header
}

// client does not keep connections: a node's death is told by a refusal.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// request sends a request to a node.
func (n *node) request(ctx context.Context, method, path string, body any, header map[string]string) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+n.addr+path, in)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return client().Do(r)
}

// try sends a request and reads the answer.
func (n *node) try(method, path string, body any, header map[string]string) (answer, error) {
	return n.tryFor(patience, method, path, body, header)
}

func (n *node) tryFor(within time.Duration, method, path string, body any, header map[string]string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	resp, err := n.request(ctx, method, path, body, header)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, b, resp.Header}, err
}

// call is try for tests that know that an answer must come.
func (n *node) call(t testing.TB, method, path string, body any, header map[string]string) answer {
	t.Helper()
	a, err := n.try(method, path, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a answer) must(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (a answer) json(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// code is the contract's error code of an answer; "": it is none.
func (a answer) code() string {
	var e struct{ Error struct{ Code string } }
	_ = json.Unmarshal(a.body, &e)
	return e.Error.Code
}

// chatMessageBody and chatAnswer are ChatMessage and ChatResponse.
type chatMessageBody struct {
	Message      string `json:"message"`
	Conversation string `json:"conversation_id,omitempty"`
}

type chatAnswer struct {
	Response     string `json:"response"`
	Conversation string `json:"conversation_id"`
	MessageID    string `json:"message_id"`
	FinishReason string `json:"finish_reason"`
}

// chat is POST /chat with a key.
func (n *node) chat(session, text, key string) (answer, error) {
	return n.try("POST", "/chat", chatMessageBody{text, session}, map[string]string{"Idempotency-Key": key})
}

// stored is GET /sessions/{id}.
func (n *node) stored(session string) ([]*message, error) {
	a, err := n.try("GET", "/sessions/"+session, nil, nil)
	if err != nil {
		return nil, err
	}
	return a.messages()
}

// messages reads a ChatSession.
func (a answer) messages() ([]*message, error) {
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("GET /sessions: %d %s", a.status, a.body)
	}
	var s struct{ Messages []*message }
	return s.Messages, json.Unmarshal(a.body, &s)
}

// events is one reply as server-sent events, over as many responses as it
// takes. One goroutine uses it.
type events struct {
	lastID string // of the last whole event
	id     string // of the reply
	text   string
	end    string        // finish, abort or error, once it came
	within time.Duration // how long one response may take; 0: patience

	cancel context.CancelFunc
	body   io.ReadCloser
	lines  *bufio.Reader
}

// errStream: a response that is no stream of a reply.
type errStream struct{ status int }

func (e errStream) Error() string { return fmt.Sprintf("status %d", e.status) }

// open sends a request whose answer is to be a stream.
func (e *events) open(at *node, method, path string, body any, header map[string]string) error {
	e.close()
	all := map[string]string{"Accept": "text/event-stream"}
	for k, v := range header {
		all[k] = v
	}
	if e.lastID != "" {
		all["Last-Event-ID"] = e.lastID
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(e.within, patience))
	e.cancel = cancel
	resp, err := at.request(ctx, method, path, body, all)
	if err != nil {
		return broken{err}
	}
	e.body, e.lines = resp.Body, bufio.NewReader(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return errStream{resp.StatusCode}
	}
	return nil
}

func (e *events) close() {
	if e.cancel != nil {
		e.cancel()
	}
	if e.body != nil {
		_ = e.body.Close()
	}
	e.cancel, e.body = nil, nil
}

// next reads one event and does what it says. io.EOF: [DONE] has come. A stream
// that ends without is a broken.
func (e *events) next() error {
	id, data := "", ""
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			return broken{err}
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" && (data != "" || id != "") {
			break
		}
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = rest
		} else if rest, ok := strings.CutPrefix(line, "data: "); ok {
			data = rest
		} else if line != "" && !strings.HasPrefix(line, ":") {
			return fmt.Errorf("an odd line: %q", line)
		}
	}
	if data == "[DONE]" {
		if e.end == "" {
			return errors.New("[DONE] without an end")
		}
		return io.EOF
	}
	if err := e.take(data); err != nil {
		return fmt.Errorf("%w: %.300s", err, data)
	}
	e.lastID = id
	return nil
}

func (e *events) take(data string) error {
	var f frame
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		return err
	}
	switch f.Type {
	case "start":
		e.id, e.text, e.end = f.MessageID, "", ""
	case "text-delta":
		if f.ID != e.id {
			return errors.New("another reply's delta")
		}
		e.text += f.Delta
	case "finish", "abort", "error":
		e.end = f.Type
	}
	return nil
}

// readTo reads until the text is there, or more of a reply that flows.
func (e *events) readTo(t testing.TB, text string) {
	t.Helper()
	for !strings.HasPrefix(e.text, text) {
		if !strings.HasPrefix(text, e.text) {
			t.Fatal(textDiff(e.text, text))
		}
		if err := e.next(); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll reads to [DONE].
func (e *events) readAll(t testing.TB) {
	t.Helper()
	for {
		err := e.next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
