package httpapi

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// pingEvery is the period of a stream's comments, which keep proxies from closing it.
const pingEvery = 15 * time.Second

// handleStream is GET /sessions/{session_id}/stream: the running reply, or, with
// Last-Event-ID, what its client lacks.
func (s *server) handleStream(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.session(r)
	if err != nil {
		return err
	}
	last := r.Header.Get("Last-Event-ID")
	found, from, err := s.findReply(r.Context(), ref, last)
	if err != nil {
		return err
	}
	if found == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if last != "" {
		s.Metrics.Resumed(from.N > 0 || strings.HasSuffix(last, ":end"))
	}
	return s.streamSDK(w, r, found, from, &wire.AISDK{Resumed: from.N > 0})
}

// counted counts and limits a request as a connection: a stream or a slow reader costs as
// much as a WebSocket. A stream that answers a message is counted but never refused
// (Hub.CountStream), since messages have limits of their own.
func (s *server) counted(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		closed, err := s.Hub.OpenStream(r.Context(), caller(r))
		if err != nil {
			return err
		}
		defer closed()
		return next(w, r)
	}
}

// findReply returns the reply, and the place in it, with which a client goes on whose last
// event id is last; nil: there is none. A malformed last counts as none.
func (s *server) findReply(ctx context.Context, ref session.Ref, last string) (found *reply.Reply, from reply.Offset, err error) {
	seen, at, whole := parseEventID(last)
	running, err := s.Hub.Running(ctx, ref)
	if err != nil || seen == uuid.Nil {
		return running, reply.Offset{}, err
	}
	if running != nil && running.Reply == seen {
		return running, honored(running, at), nil
	}
	if !whole {
		m, err := s.Sessions.Reply(ctx, ref, seen)
		if err != nil || m == nil {
			return running, reply.Offset{}, err
		}
		ended := reply.Stored(ref, m) // maybe on another branch by now
		return ended, honored(ended, at), nil
	}
	next, err := s.replyBehind(ctx, ref, seen)
	if err != nil || next == nil {
		next = running
	}
	return next, reply.Offset{}, err
}

// replyBehind returns the first stored reply after one that was seen whole; nil: there is
// none.
func (s *server) replyBehind(ctx context.Context, ref session.Ref, seen uuid.UUID) (*reply.Reply, error) {
	behind, err := s.Sessions.Get(ctx, ref, session.Position{ID: seen})
	if err != nil || behind.After.ID != seen {
		return nil, err
	}
	for i, m := range behind.Messages {
		if m.Role == session.Assistant {
			return reply.Stored(ref, &behind.Messages[i]), nil
		}
	}
	return nil, nil
}

// honored returns at if all before it is still part of the reply, otherwise the beginning: a
// stream cannot take text back.
func honored(r *reply.Reply, at reply.Offset) reply.Offset {
	if _, exact := r.Place(at); !exact {
		return reply.Offset{}
	}
	return at
}

// parseEventID reads <message id>:<offset>, <message id>:<epoch>:<offset> or
// <message id>:end. What is malformed is as if absent.
func parseEventID(text string) (id uuid.UUID, at reply.Offset, whole bool) {
	name, rest, ok := strings.Cut(text, ":")
	id, err := hub.ParseID(name)
	if !ok || err != nil {
		return uuid.Nil, reply.Offset{}, false
	}
	if rest == "end" {
		return id, reply.Offset{}, true
	}
	if first, second, ok := strings.Cut(rest, ":"); ok {
		if at.Epoch, err = strconv.ParseInt(first, 10, 64); err != nil || at.Epoch < 0 {
			return uuid.Nil, reply.Offset{}, false
		}
		rest = second
	}
	at.N, err = strconv.Atoi(rest)
	if err != nil || at.N < 0 {
		return uuid.Nil, reply.Offset{}, false
	}
	return id, at, false
}

// wantsStream tells whether the client asked for server-sent events.
func wantsStream(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(v, ",") {
			kind, params, _ := mime.ParseMediaType(part)
			// A quality of 0 refuses (RFC 9110, section 12.4.2).
			if q, err := strconv.ParseFloat(params["q"], 64); kind == "text/event-stream" && (err != nil || q > 0) {
				return true
			}
		}
	}
	return false
}

// streamSDK is stream in the AI SDK's dialect.
func (s *server) streamSDK(w http.ResponseWriter, r *http.Request, rep *reply.Reply, from reply.Offset, enc *wire.AISDK) error {
	w.Header().Set("X-Vercel-Ai-Ui-Message-Stream", "v1")
	return s.stream(w, r, rep, from, enc)
}

// stream sends a reply as server-sent events, from a place on. It returns no error: a client
// knows a broken stream by its missing end, and resumes.
func (s *server) stream(w http.ResponseWriter, r *http.Request, rep *reply.Reply, from reply.Offset, enc reply.Encoder) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	ctx, cancel := s.Hub.Staying(r.Context())
	defer cancel()
	if expires := identityOf(r).expires; !expires.IsZero() { // the client reconnects with a new token
		ctx, cancel = context.WithDeadline(ctx, expires)
		defer cancel()
	}
	defer s.Metrics.StreamOpened()()
	out := reply.NewOutbox(responseOut{w, http.NewResponseController(w)}, false, nil)
	out.Meter = s.Metrics
	defer out.Kill()
	out.End(append(out.Begin(), ": ping\n\n"...))
	var ping *time.Timer
	ping = time.AfterFunc(pingEvery, func() {
		out.Post([]byte(": ping\n\n"))
		if ctx.Err() == nil { // Stop does not stop one that is under way
			ping.Reset(pingEvery)
		}
	})
	defer ping.Stop()
	// An error means that the client has left or the store is away. The stream just ends.
	_, _ = rep.Follow(ctx, enc, out, from)
	return nil
}

// responseOut is a response as a reply.Out. It cannot write without blocking.
type responseOut struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// Write implements reply.Out.
func (o responseOut) Write(p []byte, block bool) (int, error) {
	if !block {
		return 0, nil
	}
	n, err := o.w.Write(p)
	if err == nil {
		err = o.rc.Flush()
	}
	return n, err
}
