package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// answered is a response with its body, held against openapi.yaml.
type answered struct {
	*http.Response
	t    testing.TB
	body []byte
}

// want ends the test unless the response has this status.
func (a answered) want(status int) answered {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("status %s, want %d: %s", a.Status, status, a.body)
	}
	return a
}

// wantError ends the test unless the response is this error.
func (a answered) wantError(status int, code string) answered {
	a.t.Helper()
	a.want(status)
	if got, text := a.failure(); got != code || text == "" {
		a.t.Fatalf("error code %q (%q), want %q", got, text, code)
	}
	return a
}

// do sends a request, as prepared by change, and checks the whole response.
func (r *rig) do(method, path, body string, change ...func(*http.Request)) answered {
	r.t.Helper()
	return r.later(method, path, body, change...)()
}

// later sends a request and returns a function that waits for its response.
func (r *rig) later(method, path, body string, change ...func(*http.Request)) func() answered {
	r.t.Helper()
	req := r.request(method, path, body, change...)
	type outcome struct {
		resp *http.Response
		body []byte
		err  error
	}
	arrives := make(chan outcome, 1)
	go func() {
		var o outcome
		if o.resp, o.err = r.client.Do(req); o.err == nil {
			o.body, o.err = io.ReadAll(o.resp.Body)
			_ = o.resp.Body.Close()
		}
		arrives <- o
	}()
	return func() answered {
		r.t.Helper()
		o := <-arrives // the request has a deadline
		if o.err != nil {
			r.t.Fatalf("%s %s: %v behind %q", method, path, o.err, o.body)
		}
		checkResponse(r.t, req, o.resp, o.body)
		return answered{o.resp, r.t, o.body}
	}
}

// request prepares a request.
func (r *rig) request(method, path, body string, change ...func(*http.Request)) *http.Request {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	return req
}

// send sends a request and leaves the body to the caller.
func (r *rig) send(method, path, body string, change ...func(*http.Request)) (*http.Response, *http.Request) {
	r.t.Helper()
	req := r.request(method, path, body, change...)
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, req
}

// header sets a header of a request.
func header(name, value string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set(name, value) }
}

// chatSession is ChatSession of the contract.
type chatSession struct {
	ID        string
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Messages  []history
}

// newSession makes a session and returns its id.
func (r *rig) newSession() string {
	r.t.Helper()
	return decode[chatSession](r.t, r.do("POST", "/sessions", "").want(201)).ID
}

// session returns a session as REST tells it.
func (r *rig) session(id string) chatSession {
	r.t.Helper()
	return decode[chatSession](r.t, r.do("GET", "/sessions/"+id, "").want(200))
}

func decode[T any](t testing.TB, a answered) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return v
}

// failure returns the code and the sentence of an error response.
func (a answered) failure() (code, text string) {
	var e struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal(a.body, &e)
	return e.Error.Code, e.Error.Message
}

// newID returns an id for a message.
func newID() string { return uuid.NewString() }
