package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
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
const rigPatience = 60 * time.Second

// rig is the whole server, with the simulator for a model.
type rig struct {
	t        testing.TB
	patience time.Duration // rigPatience, by the clock that counts
	sim      *mistralsim.Server
	hub      *hub.Hub
	sessions *session.Manager
	url      string // of the hub
	client   *http.Client
	log      *syncBuffer
	stop     func() // ends all of it; may be called again
	renew    func() // ends the hub, and has a new one take its place on the same store
	serving  atomic.Pointer[http.Handler]
	endHub   func()

	mu      sync.Mutex
	answers map[string]mistralsim.Answer // by what the user said
}

// rigOption changes one of the configurations before it is used.
type rigOption struct {
	hub      func(*hub.Config)
	api      func(*httpapi.Config)
	llm      func(*llm.Config)
	sim      func(*mistralsim.Config)
	sessions func(*session.Config)
	store    store
	events   func(session.Events) session.Events // what hears of the sessions in the hub's place
}

func withAPI(f func(*httpapi.Config)) rigOption      { return rigOption{api: f} }
func withHub(f func(*hub.Config)) rigOption          { return rigOption{hub: f} }
func withLLM(f func(*llm.Config)) rigOption          { return rigOption{llm: f} }
func withSessions(f func(*session.Config)) rigOption { return rigOption{sessions: f} }
func withStore(s store) rigOption                    { return rigOption{store: s} }

// forgetful has the simulator keep no requests.
var forgetful = rigOption{sim: func(c *mistralsim.Config) { c.Record = -1 }}

// newRig starts a server on real sockets, which ends with the test.
func newRig(t testing.TB, options ...rigOption) *rig {
	t.Helper()
	r := &rig{t: t, patience: rigPatience}
	r.start(tcp{}, options)
	return r
}

// start wires everything together on a network.
func (r *rig) start(n network, options []rigOption) {
	r.t.Helper()
	r.log, r.answers = &syncBuffer{}, make(map[string]mistralsim.Answer)
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sim := mistralsim.Config{Key: rigKey, Answer: r.reply}
	for _, o := range options {
		if o.sim != nil {
			o.sim(&sim)
		}
	}
	r.sim = mistralsim.New(sim)
	upstream, stopUpstream := n.serve(r.sim)

	transport := &http.Transport{DisableCompression: true, DialContext: n.dial}
	model := llm.Config{
		BaseURL: upstream, APIKey: rigKey, HTTPClient: &http.Client{Transport: transport},
		MaxRetries: 1, MaxRetryWait: time.Millisecond, Logger: log,
	}
	sessions, open := session.Config{Logger: log}, store(session.Memory)
	cfg := hub.Config{ModelName: "test-model", Logger: log}
	api := httpapi.Config{Static: static.Handler(), Logger: log}
	for _, o := range options {
		if o.llm != nil {
			o.llm(&model)
		}
		if o.sessions != nil {
			o.sessions(&sessions)
		}
		if o.store != nil {
			open = o.store
		}
	}
	mistral, err := llm.NewMistral(model)
	if err != nil {
		r.t.Fatal(err)
	}
	backend, kind := open()
	r.sessions = session.NewManager(backend, kind, sessions)
	cfg.Model, cfg.Sessions = mistral, r.sessions
	for _, o := range options {
		if o.hub != nil {
			o.hub(&cfg)
		}
	}
	r.hub = hub.New(cfg)
	for _, o := range options {
		if o.events != nil {
			r.sessions.Watch(o.events(r.hub))
		}
	}
	api.Hub, api.Sessions = r.hub, r.sessions
	for _, o := range options {
		if o.api != nil {
			o.api(&api)
		}
	}
	r.run(httpapi.New(api))
	r.renew = func() {
		r.endHub()
		r.hub = hub.New(cfg)
		api.Hub = r.hub
		r.run(httpapi.New(api))
	}
	url, stopServer := n.serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { (*r.serving.Load()).ServeHTTP(w, req) }))
	r.url, r.client = url, &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	r.stop = sync.OnceFunc(func() {
		r.endHub()
		r.client.CloseIdleConnections()
		stopServer()
		transport.CloseIdleConnections()
		stopUpstream()
	})
	r.t.Cleanup(r.stop)
}

// run has the hub work, and h serve it, until endHub is called.
func (r *rig) run(h http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.sessions.Run(ctx) })
	running.Go(func() { _ = r.hub.Run(ctx) })
	r.endHub = func() { cancel(); running.Wait() }
	r.serving.Store(&h)
}

// answer sets what the model answers to a message.
func (r *rig) answer(said string, a mistralsim.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[said] = a
}

// reply is the model: the answer that a test has set, or an echo.
func (r *rig) reply(req *mistralsim.Request) mistralsim.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := req.LastUser()
	if a, ok := r.answers[said]; ok {
		return a
	}
	return mistralsim.Answer{Text: "You said: " + said}
}

// asked is how often the model was asked so far.
func (r *rig) asked() int { return len(r.sim.Requests()) }
