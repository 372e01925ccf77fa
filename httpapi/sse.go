package httpapi

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// pingEvery is how often a stream that is silent shows that it is alive.
const pingEvery = 15 * time.Second

// handleStream is GET /sessions/{session_id}/stream: the running reply, or,
// with Last-Event-ID, what its client lacks.
func (s *server) handleStream(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.session(r)
	if err != nil {
		return err
	}
	last := r.Header.Get("Last-Event-ID")
	reply, from, err := s.findReply(r.Context(), ref, last)
	if err != nil {
		return err
	}
	if reply == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if last != "" {
		s.Metrics.Resumed(from.Offset > 0 || strings.HasSuffix(last, ":end"))
	}
	return s.stream(w, r, reply, from)
}

// counted is next as long as there is room for another connection: to follow
// costs what a WebSocket does. The answer to a message is not counted, and not
// refused: messages have limits of their own.
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

// findReply returns what a client is to be sent who saw the event last of all:
// a reply and a place in it, or nil. last may be anything.
func (s *server) findReply(ctx context.Context, conversation session.Ref, last string) (*hub.Reply, hub.Place, error) {
	seen, at, whole := parseEventID(last)
	running, err := s.Hub.Running(ctx, conversation)
	if err != nil || seen == uuid.Nil {
		return running, hub.Place{}, err
	}
	if running != nil && running.ID == seen {
		return running, s.honoured(running, at), nil
	}
	// Of what is behind seen, the first reply is the client's next.
	behind, err := s.Sessions.Get(ctx, conversation, session.Position{ID: seen})
	if err != nil || behind.After.ID != seen {
		return running, hub.Place{}, err
	}
	if !whole {
		behind, err = s.Sessions.Get(ctx, conversation, session.Position{Seq: behind.After.Seq - 1})
		if err != nil {
			return nil, hub.Place{}, err
		}
	}
	for _, m := range behind.Messages {
		if m.Role == session.Assistant {
			reply := hub.Stored(conversation, m)
			if m.ID != seen {
				return reply, hub.Place{}, nil
			}
			return reply, s.honoured(reply, at), nil
		}
	}
	return running, hub.Place{}, nil
}

// honoured is the place if all before it is still part of the reply, otherwise
// the beginning: this stream has no way to take back a part.
func (s *server) honoured(r *hub.Reply, at hub.Place) hub.Place {
	if !s.Hub.Honours(r, at) {
		return hub.Place{}
	}
	return at
}

// parseEventID reads <message id>:<offset>, <message id>:<epoch>:<offset> or
// <message id>:end. What is malformed is as if absent.
func parseEventID(text string) (id uuid.UUID, at hub.Place, whole bool) {
	name, rest, ok := strings.Cut(text, ":")
	id, err := hub.ParseID(name)
	if !ok || err != nil {
		return uuid.Nil, hub.Place{}, false
	}
	if rest == "end" {
		return id, hub.Place{}, true
	}
	if first, second, ok := strings.Cut(rest, ":"); ok {
		if at.Epoch, err = strconv.ParseInt(first, 10, 64); err != nil || at.Epoch < 0 {
			return uuid.Nil, hub.Place{}, false
		}
		rest = second
	}
	at.Offset, err = strconv.Atoi(rest)
	if err != nil || at.Offset < 0 {
		return uuid.Nil, hub.Place{}, false
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

// stream sends a reply as server-sent events, from a place on. An error before
// the first byte is told by status; behind it, by the missing end.
func (s *server) stream(w http.ResponseWriter, r *http.Request, reply *hub.Reply, from hub.Place) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Vercel-Ai-Ui-Message-Stream", "v1")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	ctx := r.Context()
	if expires := identityOf(r).expires; !expires.IsZero() { // whoever may go on comes again
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, expires)
		defer cancel()
	}
	e := &eventStream{
		w: w, rc: http.NewResponseController(w), ctx: ctx, metrics: s.Metrics,
		begun: from.Offset > 0, sent: from.Offset, ping: time.NewTicker(pingEvery),
	}
	defer e.ping.Stop()
	defer s.Metrics.StreamOpened()()
	e.probe.Begin()
	defer e.probe.End(s.Metrics)
	e.buf = append(e.buf, ": ping\n\n"...)
	// An error is the client's going or the store's being away: the stream
	// just ends, and is resumed.
	if s.Hub.Stream(ctx, reply, e, from) == nil {
		e.buf = append(e.buf, "data: [DONE]\n\n"...)
	}
	_ = e.flush()
	return errHandled
}

// eventStream is a hub.Sink that writes server-sent events.
type eventStream struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	ctx     context.Context
	ping    *time.Ticker
	buf     []byte
	epoch   int64
	begun   bool // the client has the beginning
	started bool // and some of it from this stream
	sent    int  // how much of the text it has

	metrics *hub.Metrics
	probe   hub.Probe
}

// Start implements hub.Sink. A client that resumes has the beginning already,
// unless the reply begins anew for it. Within a stream nothing can be taken
// back: the client has to come again.
func (e *eventStream) Start(r *hub.Reply, offset int) error {
	e.epoch = r.Epoch()
	if e.begun && offset == e.sent {
		return nil
	}
	if e.started || offset > 0 {
		return hub.ErrCut
	}
	e.begun, e.started, e.sent = true, true, 0
	e.chunk(r, 0, hub.StartChunk(r))
	e.chunk(r, 0, hub.TextStartChunk(r))
	return nil
}

// Delta implements hub.Sink.
func (e *eventStream) Delta(r *hub.Reply, delta []byte, offset int) error {
	e.eventID(r, offset)
	e.buf = hub.AppendDelta(append(e.buf, "data: "...), r.ID, delta, -1)
	e.buf = append(e.buf, "\n\n"...)
	e.started, e.sent = true, offset
	e.probe.Delta(r, offset)
	if len(e.buf) >= 32<<10 {
		return e.flush()
	}
	return nil
}

// End implements hub.Sink.
func (e *eventStream) End(r *hub.Reply, end *hub.End) error {
	if end.Err != nil && !errors.Is(end.Err, session.ErrNotFound) {
		return hub.ErrCut
	}
	e.chunk(r, r.Len(), hub.TextEndChunk(r))
	e.buf = append(append(append(e.buf, "id: "...), r.ID.String()...), ":end\n"...)
	e.data(hub.EndChunk(end))
	return nil
}

// Wait implements hub.Sink.
func (e *eventStream) Wait(wake <-chan struct{}) error {
	for {
		if err := e.flush(); err != nil {
			return err
		}
		select {
		case <-wake:
			return nil
		case <-e.ping.C:
			e.buf = append(e.buf, ": ping\n\n"...)
		case <-e.ctx.Done():
			return e.ctx.Err()
		}
	}
}

func (e *eventStream) chunk(r *hub.Reply, offset int, c hub.Chunk) {
	e.eventID(r, offset)
	e.data(c)
}

func (e *eventStream) eventID(r *hub.Reply, offset int) {
	e.buf = append(append(e.buf, "id: "...), r.ID.String()...)
	if e.epoch != 0 {
		e.buf = strconv.AppendInt(append(e.buf, ':'), e.epoch, 10)
	}
	e.buf = append(strconv.AppendInt(append(e.buf, ':'), int64(offset), 10), '\n')
}

func (e *eventStream) data(c hub.Chunk) {
	e.buf = append(c.AppendJSON(append(e.buf, "data: "...)), "\n\n"...)
}

// flush writes what was held back.
func (e *eventStream) flush() error {
	if len(e.buf) == 0 {
		return nil
	}
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if err != nil {
		return err
	}
	err = e.rc.Flush()
	e.probe.Flushed(e.metrics)
	return err
}
