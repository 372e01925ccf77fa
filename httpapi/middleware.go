package httpapi

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// handler answers a request, or returns the error that is the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle makes an http.Handler of f.
func (s *server) handle(f handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			s.countRefusal(err)
			if err = writeError(w, r, err); err != nil && !errors.Is(err, session.ErrPanicked) {
				s.Logger.Error("request failed", "method", r.Method, "path", logPath(r), "error", err)
			}
		}
	})
}

// guarded is f; a panic of it is logged here, without its value, which may quote what
// somebody has said.
func (s *server) guarded(f handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				log := s.Logger.With("request_id", w.Header().Get("X-Request-Id"))
				panic(session.Panicked(log, r.Method+" "+logPath(r), uuid.Nil, p))
			}
		}()
		return f(w, r)
	}
}

// logRequests writes a line for every request, without its body and with no
// more than the beginning of a session's id, and survives a panic.
func (s *server) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := requestID(r)
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // the page has its own
		if len(r.TransferEncoding) > 0 {
			// It may have had a Content-Length, too, which net/http does not show; a proxy
			// could read another request after it (RFC 9112, section 6.1).
			h.Set("Connection", "close")
		}
		rec := &recorder{ResponseWriter: w, rc: http.NewResponseController(w), timeout: s.WriteTimeout, most: s.maxHistoryBody()}
		rec.extend() // the deadline of the connection's last request may have passed
		r = rec.watchBody(r)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				if p != any(session.ErrPanicked) { // which the log has
					s.Logger.Error("a request panicked", "path", logPath(r), "request_id", id, "panic", p, "stack", string(debug.Stack()))
				}
				if rec.status == 0 {
					_ = writeError(rec, r, hub.ErrorOf(hub.CodeInternal))
				}
			}
			if rec.status == 0 {
				rec.status = statusClientGone
			}
			if rec.late {
				s.Metrics.WriteTimedOut()
			}
			s.requests.WithLabelValues(cmp.Or(rec.route, "other"), strconv.Itoa(rec.status)).Inc()
			s.Logger.LogAttrs(r.Context(), level(r), "request",
				slog.String("method", r.Method), slog.String("path", logPath(r)), slog.Int("status", rec.status),
				slog.Int("bytes", rec.bytes), slog.Float64("took_s", time.Since(began).Round(time.Microsecond).Seconds()),
				slog.String("request_id", id))
			rec.discardBody()
		}()
		next.ServeHTTP(rec, r)
	})
}

// statusClientGone is what nginx logs for a client that did not wait.
const statusClientGone = 499

// level keeps the probes of a load balancer out of the log.
func level(r *http.Request) slog.Level {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

var plainID = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)

// requestID takes the client's name for the request, if it is a plain one.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); plainID.MatchString(id) {
		return id
	}
	return uuid.NewString()
}

// logPath is the path without its query. Segments that may be a session's id, which opens the
// session, are cut to 8 characters.
func logPath(r *http.Request) string {
	const most, idShown = 10, 8
	segments := strings.Split(r.URL.Path, "/")
	if len(segments) > most {
		segments = append(segments[:most], "…")
	}
	for i, s := range segments {
		switch s {
		case "openapi.yaml", "asyncapi.yaml", "widget.js", "widget-more.js", "transport.js":
		default:
			if len(s) > idShown {
				segments[i] = strings.ToValidUTF8(s[:idShown], "") + "…"
			}
		}
	}
	return strings.Join(segments, "/")
}
