// Package httpapi serves the hub over HTTP: REST, server-sent events and the upgrade to
// WebSocket, as PROTOCOL.md describes them. Handlers return errors; writeError alone turns
// them into statuses.
package httpapi

import (
	"cmp"
	_ "embed"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lumos/backend/httpapi/wsconn"
	"lumos/backend/hub"
	"lumos/backend/session"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed asyncapi.yaml
var asyncAPI []byte

// DefaultWriteTimeout is how long a client may take nothing of what it is sent.
const DefaultWriteTimeout = 30 * time.Second

// Config is what the server needs. Hub, Sessions and Static are required.
type Config struct {
	Hub      *hub.Hub
	Sessions *session.Manager
	Static   http.Handler // the page and the scripts
	// AllowedOrigins may talk to the hub besides its own pages: exact
	// scheme://host[:port].
	AllowedOrigins []string
	// Tokens checks who is asking; nil: a session's id is the key to it.
	Tokens *Tokens
	// TrustedProxies are the proxies whose X-Forwarded-For and X-Forwarded-Host count.
	TrustedProxies []netip.Prefix
	// Registry holds the metrics of GET /metrics; New adds its own. Nil: only these. A
	// registry is for one server.
	Registry *prometheus.Registry
	// LoopbackOnly serves only the host names of this machine, and those of
	// AllowedOrigins.
	LoopbackOnly bool
	// WriteTimeout is how long a client may take nothing; 0: DefaultWriteTimeout.
	WriteTimeout time.Duration
	Logger       *slog.Logger // nil: slog.Default()
}

type server struct {
	Config
	Metrics   *hub.Metrics // the hub's
	addresses addresses
	foreign   foreignNames
	sockets   wsconn.Config
	requests  *prometheus.CounterVec
}

// New returns the handler of the whole server.
func New(cfg Config) http.Handler {
	s := newServer(cfg)
	return s.outside(s.router())
}

func newServer(cfg Config) *server {
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, DefaultWriteTimeout)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	cfg.Registry = cmp.Or(cfg.Registry, prometheus.NewRegistry())
	s := &server{
		Config: cfg, Metrics: cfg.Hub.Metrics(), requests: newRequests(cfg.Registry),
		addresses: addresses{trusted: cfg.TrustedProxies, log: cfg.Logger, level: slog.LevelWarn},
	}
	s.sockets = wsconn.Config{
		Subprotocols: []string{subprotocol, subprotocolDeep}, MaxMessage: maxBody(cfg.Hub.MaxMessageBytes()),
		WriteTimeout: cfg.WriteTimeout, Refused: s.Metrics.Rejected, TimedOut: s.Metrics.WriteTimedOut,
		Lateness: cfg.Hub.Lateness,
	}
	if cfg.LoopbackOnly { // private addresses are normal then, so the line is no warning
		s.addresses.level = slog.LevelInfo
	}
	return s
}

// route registers f for a path and its methods, which are separated by spaces.
func (s *server) route(m *mux.Router, methods, path string, f handler) {
	m.Handle(path, onRoute(path, s.handle(s.guarded(f)))).Methods(strings.Fields(methods)...)
}

func (s *server) router() *mux.Router {
	m := mux.NewRouter().SkipClean(true).UseEncodedPath() // an id is one segment, whatever is in it
	private := func(method, path string, f handler) { s.route(m, method, path, s.private(f)) }
	private("POST", "/sessions", s.handleCreateSession)
	private("GET", "/sessions/{session_id}", s.counted(s.handleGetSession))
	private("DELETE", "/sessions/{session_id}", s.handleDeleteSession)
	private("GET", "/sessions/{session_id}/stream", s.counted(s.handleStream))
	private("POST", "/sessions/{session_id}/stop", s.handleStop)
	private("POST", "/chat", s.handleChat)
	private("POST", "/api/chat", s.handleSDKChat)
	private("GET", "/api/chat/{session_id}/stream", s.counted(s.handleSDKStream))
	private("POST", "/api/chat/{session_id}/stop", s.handleStop)
	// handleWebSocket identifies its caller itself, so that it can refuse after the upgrade.
	s.route(m, "GET", "/ws", s.handleWebSocket)
	s.route(m, "GET", "/ws/{session_id}", s.handleWebSocket)
	// Load balancers ask with HEAD, too.
	s.route(m, "GET HEAD", "/healthz", s.handleHealth)
	s.route(m, "GET HEAD", "/readyz", s.handleReady)
	s.route(m, "GET", "/openapi.yaml", serveYAML(openAPI))
	s.route(m, "GET", "/asyncapi.yaml", serveYAML(asyncAPI))
	metrics := promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	m.Handle("/metrics", onRoute("/metrics", metrics)).Methods("GET")
	for _, path := range []string{"/", "/widget.js", "/widget-more.js", "/transport.js"} {
		m.Handle(path, onRoute(path, s.Static)).Methods("GET", "HEAD")
	}
	m.NotFoundHandler = s.handle(func(http.ResponseWriter, *http.Request) error {
		return refuse(codeNothing, "There is nothing at this address.")
	})
	m.MethodNotAllowedHandler = s.handle(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allowed(m, r))
		return refuse(codeMethod, "This address does not take "+r.Method+".")
	})
	return m
}

// outside wraps h in what must also cover requests that match no route.
func (s *server) outside(h http.Handler) http.Handler {
	h = s.guardOrigin(h)
	if s.LoopbackOnly {
		h = GuardHost(h, s.AllowedOrigins, s.Logger)
	}
	return s.logRequests(h)
}

// allowed lists the methods that r's path takes.
func allowed(m *mux.Router, r *http.Request) string {
	var list string
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		try := r.Clone(r.Context())
		try.Method = method
		var match mux.RouteMatch
		if m.Match(try, &match) && match.MatchErr == nil && match.Route != nil {
			if list != "" {
				list += ", "
			}
			list += method
		}
	}
	return list
}
