package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
	"lumos/backend/static"
)

// rigKey is the API key that the hub has in tests, to look for where it must not be.
const rigKey = "not-a-real-key"

// rigPatience is how long a test waits for what must come. Nothing is measured by it.
const rigPatience = 20 * time.Second

// rig is the whole server over real sockets, with the simulator for a model.
type rig struct {
	t        testing.TB
	sim      *mistralsim.Server
	hub      *hub.Hub
	sessions *session.Manager
	url      string // of the hub
	client   *http.Client
	log      *syncBuffer
	stop     func() // ends all of it; may be called again

	mu      sync.Mutex
	answers map[string]mistralsim.Answer // by what the user said
}

// rigOption changes one of the configurations before it is used.
type rigOption struct {
	hub   func(*hub.Config)
	api   func(*httpapi.Config)
	llm   func(*llm.Config)
	store func(session.Store) session.Store
}

func withAPI(f func(*httpapi.Config)) rigOption               { return rigOption{api: f} }
func withHub(f func(*hub.Config)) rigOption                   { return rigOption{hub: f} }
func withLLM(f func(*llm.Config)) rigOption                   { return rigOption{llm: f} }
func withStore(f func(session.Store) session.Store) rigOption { return rigOption{store: f} }
func (r *rig) answer(said string, a mistralsim.Answer) {
	r.mu.Lock()
	r.answers[said] = a
	r.mu.Unlock()
}
func (r *rig) asked() int                                          { return len(r.sim.Requests()) }
func (r *rig) reply(req *mistralsim.Request) (a mistralsim.Answer) { return r.lookUp(req.LastUser()) }

// lookUp returns the answer that a test has set, or an echo.
func (r *rig) lookUp(said string) mistralsim.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.answers[said]; ok {
		return a
	}
	return mistralsim.Answer{Text: "You said: " + said}
}

// newRig starts a server, which ends with the test.
func newRig(t testing.TB, options ...rigOption) *rig {
	t.Helper()
	r := &rig{t: t, log: &syncBuffer{}, answers: make(map[string]mistralsim.Answer)}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.sim = mistralsim.New(mistralsim.Config{Key: rigKey, Answer: r.reply})
	upstream := httptest.NewServer(r.sim)

	transport := &http.Transport{DisableCompression: true}
	model := llm.Config{
		BaseURL: upstream.URL, APIKey: rigKey, HTTPClient: &http.Client{Transport: transport},
		MaxRetries: 1, MaxRetryWait: time.Millisecond, Logger: log,
	}
	var store session.Store = session.NewMemory(0, 0)
	cfg := hub.Config{ModelName: "test-model", Logger: log}
	api := httpapi.Config{Static: static.Handler(), Logger: log}
	for _, o := range options {
		if o.llm != nil {
			o.llm(&model)
		}
		if o.store != nil {
			store = o.store(store)
		}
	}
	mistral, err := llm.NewMistral(model)
	if err != nil {
		t.Fatal(err)
	}
	r.sessions = session.NewManager(store)
	cfg.Model, cfg.Sessions = mistral, r.sessions
	for _, o := range options {
		if o.hub != nil {
			o.hub(&cfg)
		}
	}
	r.hub = hub.New(cfg)
	api.Hub, api.Sessions = r.hub, r.sessions
	for _, o := range options {
		if o.api != nil {
			o.api(&api)
		}
	}
	server := httptest.NewServer(httpapi.New(api))
	r.url, r.client = server.URL, &http.Client{Transport: &http.Transport{}}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.sessions.Run(ctx, r.hub.Gone) })
	running.Go(func() { _ = r.hub.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		r.client.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
		upstream.CloseClientConnections()
		upstream.Close()
	})
	t.Cleanup(r.stop)
	return r
}

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
	ctx, cancel := context.WithTimeout(context.Background(), rigPatience)
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

// eventually waits until a condition holds that nobody announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit, look := time.NewTimer(rigPatience), time.NewTicker(time.Millisecond)
	defer limit.Stop()
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("not in %v: %s", rigPatience, what)
		}
	}
}

// syncBuffer is a log that is written to and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// gate holds a reply back in front of one of its tokens.
type gate struct {
	reached chan struct{} // closed when the reply stands in front of it
	open    func()
}

// held returns an answer of these tokens that waits in front of token at until
// the gate is opened, or the hub goes away.
func held(at int, tokens ...string) (mistralsim.Answer, *gate) {
	opened := make(chan struct{})
	g := &gate{reached: make(chan struct{}), open: sync.OnceFunc(func() { close(opened) })}
	reach := sync.OnceFunc(func() { close(g.reached) })
	return mistralsim.Answer{Tokens: tokens, Hold: func(ctx context.Context, i int) {
		if i != at {
			return
		}
		reach()
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}}, g
}

// wait returns when the reply stands in front of the gate.
func (g *gate) wait(t testing.TB) {
	t.Helper()
	await(t, g.reached, "the reply comes to the gate")
}

// await returns when c is closed or brings something.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	limit := time.NewTimer(rigPatience)
	defer limit.Stop()
	select {
	case v = <-c:
	case <-limit.C:
		t.Fatalf("not in %v: %s", rigPatience, what)
	}
	return v
}
