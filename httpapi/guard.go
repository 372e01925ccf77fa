package httpapi

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// guardOrigin refuses what a page of somebody else's asks for, and lets the
// pages that are listed read the answers.
func (s *server) guardOrigin(next http.Handler) http.Handler {
	c := cors.New(cors.Options{
		AllowOriginFunc: s.listed,
		AllowedMethods:  []string{"GET", "POST", "DELETE"},
		AllowedHeaders:  []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"},
		ExposedHeaders:  []string{"Location", "Retry-After"},
	})
	return c.Handler(s.handle(func(w http.ResponseWriter, r *http.Request) error {
		acts := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		acts = acts || hasToken(r.Header, "Upgrade", "websocket")
		if acts && !s.mayAct(r) {
			s.Metrics.Rejected("origin")
			return refuse(http.StatusForbidden, "forbidden_origin",
				"Pages of this origin may not use the hub. ALLOWED_ORIGINS lists those that may.")
		}
		next.ServeHTTP(w, r)
		return errHandled
	}))
}

// mayAct tells whether the request's Origin is the hub's own, listed, or
// missing (no browser sent it).
func (s *server) mayAct(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		if !s.listed(origin) && !sameHost(origin, r.Host) {
			return false
		}
	}
	return true
}

func (s *server) listed(origin string) bool { return slices.Contains(s.AllowedOrigins, origin) }

// sameHost tells whether origin is a page of host, by name and port. The
// scheme is not compared: the hub may stand behind a proxy that ends TLS.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	port := ":80"
	if u.Scheme == "https" {
		port = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(u.Host, port), strings.TrimSuffix(host, port))
}

// guardHost serves, on a loopback address, only that address's own names, so
// that a foreign page cannot reach it through a name of its own (DNS rebinding).
func (s *server) guardHost(next http.Handler) http.Handler {
	if !s.LoopbackOnly {
		return next
	}
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		switch strings.ToLower(strings.Trim(host, "[]")) {
		case "localhost", "127.0.0.1", "::1":
			next.ServeHTTP(w, r)
			return errHandled
		}
		return refuse(http.StatusForbidden, "forbidden_origin",
			"This hub listens for its own machine only: call it localhost, 127.0.0.1 or [::1].")
	})
}
