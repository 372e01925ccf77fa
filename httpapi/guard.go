package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"
)

// guardOrigin refuses requests of pages on other sites, and lets pages of AllowedOrigins read
// the answers.
func (s *server) guardOrigin(next http.Handler) http.Handler {
	c := cors.New(cors.Options{
		AllowOriginFunc: s.listed,
		AllowedMethods:  []string{"GET", "HEAD", "POST", "DELETE"},
		AllowedHeaders:  []string{"*"}, // what the preflight asks for: tracing adds its own
		ExposedHeaders:  []string{"Location", "Retry-After", "X-Request-Id"},
	})
	return c.Handler(s.handle(func(w http.ResponseWriter, r *http.Request) error {
		acts := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		acts = acts || hasToken(r.Header, "Upgrade", "websocket")
		if !acts {
			next.ServeHTTP(w, r)
			return nil
		}
		hosts := s.ownHosts(r)
		for _, origin := range r.Header.Values("Origin") { // none: no browser sent it
			if !s.listed(origin) && !slices.ContainsFunc(hosts, func(h ownHost) bool { return h.has(origin) }) {
				s.Metrics.Rejected("origin")
				s.foreign.log(s.Logger, r, origin, hosts)
				return refuse(codeForbidden, fmt.Sprintf(
					"Pages of the origin %s may not use the hub, whose host is %s here. ALLOWED_ORIGINS lists the origins that may.",
					quoted(origin), hostNames(hosts, quoted)))
			}
		}
		next.ServeHTTP(w, r)
		return nil
	}))
}

func (s *server) listed(origin string) bool { return slices.Contains(s.AllowedOrigins, origin) }

// ownHost is a host[:port] that a request names as the hub's.
type ownHost struct {
	name string
	port string // the default of its scheme, ":80" or ":443"; "": the scheme is not known
}

// ownHosts returns the request's Host and, if a trusted proxy sent it, its X-Forwarded-Host.
func (s *server) ownHosts(r *http.Request) []ownHost {
	hosts := []ownHost{{name: r.Host}}
	if peer, ok := parseAddress(r.RemoteAddr); !ok || !s.addresses.isTrusted(peer) {
		return hosts
	}
	if name := lastOf(r.Header, "X-Forwarded-Host"); name != "" {
		hosts = append(hosts, ownHost{name, defaultPort(lastOf(r.Header, "X-Forwarded-Proto"))})
	}
	return hosts
}

// lastOf returns the last of the values of a header that is a list: the one that the
// nearest proxy has added.
func lastOf(h http.Header, name string) string {
	all := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(all[strings.LastIndexByte(all, ',')+1:])
}

// defaultPort is the port that a scheme implies; "": it is none of ours.
func defaultPort(scheme string) string {
	switch strings.ToLower(scheme) {
	case "http", "ws":
		return ":80"
	case "https", "wss":
		return ":443"
	}
	return ""
}

// has tells whether origin is a page of h, by name and port. The scheme is not
// compared: the hub may stand behind a proxy that ends TLS.
func (h ownHost) has(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	port := defaultPort(u.Scheme)
	mine := h.port
	if mine == "" {
		mine = port
	}
	return strings.EqualFold(withPort(u.Host, port), withPort(h.name, mine))
}

// withPort is host with a port: its own, or this one.
func withPort(host, port string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host
	}
	return host + port
}

// hostNames lists hosts, each once and as show has it.
func hostNames(hosts []ownHost, show func(string) string) string {
	var names []string
	for _, h := range hosts {
		if name := show(h.name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// shortened cuts what a client has sent to a sensible length.
func shortened(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// quoted is shortened in quotes, for a sentence. The log quotes by itself.
func quoted(s string) string { return fmt.Sprintf("%q", shortened(s)) }

const (
	// foreignEvery is how often the log tells of one origin, or host, that was refused.
	foreignEvery = time.Minute
	// maxForeign is how many it tells of in that time: a client can make up any number.
	maxForeign = 1000
)

// foreignNames are the origins, or the hosts, that were refused lately. The zero value
// is ready.
type foreignNames struct {
	mu     sync.Mutex // guards what follows
	since  time.Time
	logged map[string]bool // since then
}

// log tells of a refused origin, once in each foreignEvery.
func (f *foreignNames) log(log *slog.Logger, r *http.Request, origin string, hosts []ownHost) {
	if shown := shortened(origin); f.due(shown, time.Now()) {
		log.LogAttrs(context.Background(), slog.LevelWarn, "refused: neither the hub's own origin nor one of ALLOWED_ORIGINS",
			slog.String("origin", shown), slog.String("host", hostNames(hosts, shortened)), slog.String("path", logPath(r)))
	}
}

func (f *foreignNames) due(name string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) >= foreignEvery {
		f.since, f.logged = now, make(map[string]bool)
	}
	if f.logged[name] || len(f.logged) >= maxForeign {
		return false
	}
	f.logged[name] = true
	return true
}

// GuardHost serves, for a listener on a loopback address, only that address's own
// names and the hosts of the origins that are listed, so that a foreign page cannot
// reach it through a name of its own (DNS rebinding). The log tells of each host that
// was refused, once in each foreignEvery: behind a proxy, who runs the hub sees only that.
func GuardHost(next http.Handler, origins []string, log *slog.Logger) http.Handler {
	var foreign foreignNames
	served := map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	for _, origin := range origins {
		if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
			served[strings.ToLower(u.Hostname())] = true
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if served[strings.ToLower(strings.Trim(host, "[]"))] {
			next.ServeHTTP(w, r)
			return
		}
		if shown := shortened(r.Host); foreign.due(shown, time.Now()) {
			log.LogAttrs(r.Context(), slog.LevelWarn, "refused: this hub listens for its own machine only, and ALLOWED_ORIGINS does not list the host",
				slog.String("host", shown), slog.String("path", logPath(r)))
		}
		from := ""
		if origin := r.Header.Get("Origin"); origin != "" {
			from = ", for a page of the origin " + quoted(origin)
		}
		_ = writeError(w, r, refuse(codeForbidden, fmt.Sprintf(
			"This hub listens for its own machine only, and was asked for as %s%s. Call it localhost, 127.0.0.1 or [::1], or list the site's origin in ALLOWED_ORIGINS.",
			quoted(r.Host), from)))
	})
}
