// Package mistralsim simulates Mistral's API: POST /v1/chat/completions and
// GET /v1/models, as far as a chat needs them.
//
// It is strict about what it is asked (an unknown field, a wrong order of
// roles, an empty assistant message are refused with the statuses and bodies
// that the service was seen to send) and true in what it answers (the official
// SDK reads it). Replies come from [Config].Answer, which also decides pace and
// faults: an error status, a cut at any byte, a stall, an extra event. Without
// one, ELIZA answers (package eliza). It calls no tools, and gives one choice
// whatever n is.
//
// The simulator starts no goroutine of its own: everything happens in the
// handler of a request, and ends with it, at the latest when the client goes.
//
// What it knows of the service is what is published of it: the OpenAPI
// description (https://docs.mistral.ai/api), the official SDKs and mistral-common,
// and error bodies that people quoted in public issues.
package mistralsim

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// DemoModel is the id of the model behind [Demo].
const DemoModel = "eliza (simulated)"

// Config says what a [Server] serves. The zero value is usable.
type Config struct {
	// Models are the model ids it knows; another one is refused (400, code
	// 1500). Empty: any id is accepted, and /v1/models lists DemoModel and
	// Mistral's usual aliases.
	Models []string
	// Key is the API key to require. "": any bearer token that is not empty.
	Key string
	// Answer makes the reply to a request that passed every check. It runs in
	// the request's goroutine, so calls of it overlap. Nil: Eliza.
	Answer func(*Request) Answer
	// MaxContext is the context window in tokens, as the simulator counts them
	// (four bytes each): a longer prompt is refused (400, code 3059).
	// 0: 262144.
	MaxContext int
	// Reasons lets a request have a reasoning_effort, none or high, which is refused
	// otherwise (400, code 3051).
	Reasons bool
	// Alternate refuses conversations in which user and assistant do not take turns,
	// as servers of Mistral's open weights do (400).
	Alternate bool
	// Record is how many requests Requests remembers, the newest ones.
	// 0: 1024; negative: none (for load).
	Record int
	// NoPadding leaves out "p", the string of random length that hides how
	// long a token is.
	NoPadding bool
}

// Server is the simulated API. It is safe for concurrent use.
type Server struct {
	cfg    Config
	active atomic.Int64 // replies being sent

	mu     sync.Mutex
	count  int        // requests accepted so far; guarded by mu
	newest []*Request // the newest of them, oldest first; guarded by mu

	prompts prompts // guarded by mu
}

// New returns a simulator. It starts nothing.
func New(cfg Config) *Server { return &Server{cfg: cfg, prompts: prompts{}} }

// ServeHTTP implements [http.Handler]. It works over HTTP/1.1 and HTTP/2.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var method string
	var handle http.HandlerFunc
	switch r.URL.Path {
	case "/v1/chat/completions":
		method, handle = http.MethodPost, s.chat
	case "/v1/models":
		method, handle = http.MethodGet, s.models
	default:
		refusal := noRoute()
		refusal.write(w)
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		notAllowed := Answer{Status: http.StatusMethodNotAllowed, Body: `{"detail":"Method Not Allowed"}`}
		notAllowed.write(w)
		return
	}
	if !s.admits(r) {
		refusal := Unauthorized()
		refusal.write(w)
		return
	}
	handle(w, r)
}

// admits reports whether the request carries the key.
func (s *Server) admits(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return false
	}
	return s.cfg.Key == "" || token == s.cfg.Key
}

// Requests returns the newest requests to chat completions that passed every
// check, oldest first, at most Config.Record. Those that the simulator itself
// refused are not among them; those that an Answer refuses are.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.newest)
}

// Active returns how many replies are being sent now.
func (s *Server) Active() int { return int(s.active.Load()) }
