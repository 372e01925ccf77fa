package httpapi

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"lumos/backend/session"
)

// newRequests registers the count of requests. The route is the pattern that
// matched, never the path, so that no client can make new values.
func newRequests(r prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Namespace: "chathub", Name: "http_requests_total",
		Help: "HTTP requests that were answered, by route and status; 101: a WebSocket; 499: the client did not wait.",
	}, []string{"route", "code"})
}

// countRefusal counts errors of limits that are not counted where they are checked.
func (s *server) countRefusal(err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.Metrics.Rejected("body_bytes")
	case errors.Is(err, session.ErrFull):
		s.Metrics.Rejected("stored_sessions")
	}
}

// onRoute notes which route a request takes.
func onRoute(pattern string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rec, ok := w.(*recorder); ok {
			rec.route = pattern
		}
		next.ServeHTTP(w, r)
	})
}
