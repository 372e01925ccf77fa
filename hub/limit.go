package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Caller says on whose behalf something is asked.
type Caller struct {
	// Client is whom limits hold for: a token's subject, or an address. "":
	// limits per client do not hold.
	Client string
	// Request names the request, for the log.
	Request string
	// Waits says that it is told of a reply when that has ended, and not before.
	Waits bool
}

// Limits bound what clients may do. 0 is no limit.
type Limits struct {
	MessagesPerMinute    int // of one client; sessions begun are as many, counted apart
	RepliesPerClient     int // that run at a time
	ConnectionsPerClient int // at this hub, with those who follow by a stream
	Connections          int // at this hub, with those who follow by a stream
	SessionMessages      int // on one path of a conversation
	SessionBytes         int // of UTF-8 that a conversation holds, beyond which nothing more is said in it
	ReplyBytes           int // a longer reply ends there, as session.FinishLength
	Upstream             int // replies that are with the model at a time
	// Counter counts messages and replies; nil: in this process.
	Counter session.Counter
}

const (
	// upstreamWait is how long a reply waits for its turn with the model.
	upstreamWait = 30 * time.Second
	// crowdRetry is what a client is told to wait when it has too many replies.
	crowdRetry = 2 * time.Second
	// streamWait is how long a stream waits for room, and streamRetry how
	// often it looks.
	streamWait  = time.Second
	streamRetry = 50 * time.Millisecond
	// floodLimit is how many messages in a row may come too fast before
	// their connection is closed.
	floodLimit = 10
	// outageLimit is how many frames in a row are refused because the store
	// is away before their connection is closed.
	outageLimit = 10
)

// errReplyFull ends a call to the model whose reply has as many bytes as it may.
var errReplyFull = errors.New("hub: the reply is as long as it may be")

// admitMessage counts a message against the client's rate, before Say.
// Errors: *Error with CodeRateLimited; session.ErrUnavailable.
func (h *Hub) admitMessage(ctx context.Context, from Caller) error {
	return h.admit(ctx, from, "message", "You have sent too many messages.")
}

// AdmitRequest is admitMessage before a request's body is read. It also refuses a caller
// that has too many running replies; that is advisory, and Say decides.
func (h *Hub) AdmitRequest(ctx context.Context, from Caller) error {
	if err := h.admitMessage(ctx, from); err != nil {
		return err
	}
	most := h.cfg.Limits.RepliesPerClient
	if from.Client == "" || most == 0 {
		return nil
	}
	full, err := h.cfg.Limits.Counter.Full(ctx, repliesOf(from.Client), most)
	if err != nil || !full {
		return err
	}
	return h.tooManyReplies()
}

// repliesOf is the counter's key for a client's replies.
func repliesOf(client string) string { return "reply " + client }

// AdmitSession counts a session that is begun. Errors as for admitMessage.
func (h *Hub) AdmitSession(ctx context.Context, from Caller) error {
	return h.admit(ctx, from, "session", "You have begun too many conversations.")
}

func (h *Hub) admit(ctx context.Context, from Caller, what, refusal string) error {
	most := h.cfg.Limits.MessagesPerMinute
	if from.Client == "" || most == 0 {
		return nil
	}
	wait, err := h.cfg.Limits.Counter.Take(ctx, what+" "+from.Client, most)
	if err != nil || wait == 0 {
		return err
	}
	h.metrics.Rejected(what + "s")
	return &Error{
		Code: CodeRateLimited, RetryAfter: wait,
		Text: fmt.Sprintf("%s Wait %d seconds.", refusal, Seconds(wait)),
	}
}

// countReply counts a reply that is about to run. Errors as for admitMessage.
func (h *Hub) countReply(ctx context.Context, from Caller, reply uuid.UUID) error {
	most := h.cfg.Limits.RepliesPerClient
	if from.Client == "" || most == 0 {
		return nil
	}
	ok, err := h.cfg.Limits.Counter.Enter(ctx, repliesOf(from.Client), reply, most)
	switch {
	case err != nil:
		h.uncountReply(from.Client, reply) // it may be counted: the answer alone can be lost
		return err
	case ok:
		return nil
	}
	return h.tooManyReplies()
}

// recountReply counts a reply that was taken over as this node's, and no longer as the
// other's. It never refuses, and ignores a store that is away.
func (h *Hub) recountReply(ctx context.Context, client string, reply uuid.UUID) {
	if client != "" && h.cfg.Limits.RepliesPerClient != 0 {
		_, _ = h.cfg.Limits.Counter.Enter(ctx, repliesOf(client), reply, math.MaxInt32)
	}
}

func (h *Hub) tooManyReplies() error {
	h.metrics.Rejected("replies")
	return &Error{
		Code: CodeRateLimited, RetryAfter: crowdRetry,
		Text: fmt.Sprintf("%d replies are being written for you already. Wait for one to end.", h.cfg.Limits.RepliesPerClient),
	}
}

// uncountReply ends what countReply or recountReply began here.
func (h *Hub) uncountReply(client string, reply uuid.UUID) {
	if client != "" && h.cfg.Limits.RepliesPerClient != 0 {
		h.cfg.Limits.Counter.Leave(repliesOf(client), reply)
	}
}

// errCrowded: there are as many connections as there may be, in all or of this
// client.
var errCrowded = &Error{Code: CodeRateLimited, Text: "There are too many connections. Close one, or try again later.", RetryAfter: crowdRetry}

// slots counts the connections, streams and session reads that are open at this node.
type slots struct {
	mu      sync.Mutex // guards what follows
	all     int
	clients map[string]int
}

// add counts one more, or returns the name of the limit that it would exceed; "": it was
// counted. A zero Limits never refuses.
func (s *slots) add(client string, limits Limits) (full string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case limits.Connections > 0 && s.all >= limits.Connections:
		return "connections"
	case limits.ConnectionsPerClient > 0 && client != "" && s.clients[client] >= limits.ConnectionsPerClient:
		return "client_connections"
	}
	s.all++
	s.clients[client]++
	return ""
}

// free undoes an add that counted.
func (s *slots) free(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.clients[client]--; s.clients[client] == 0 {
		delete(s.clients, client)
	}
}

// occupy counts one connection more. Errors: errCrowded.
func (h *Hub) occupy(from Caller) error {
	full := h.slots.add(from.Client, h.cfg.Limits)
	if full == "" {
		return nil
	}
	h.metrics.Rejected(full)
	return errCrowded
}

// Crowded returns an error if there is no room for another connection of the caller's.
// It is advisory: Serve and Reserve decide. Errors: errCrowded.
func (h *Hub) Crowded(from Caller) error {
	err := h.occupy(from)
	if err == nil {
		h.slots.free(from.Client)
	}
	return err
}

// CountStream counts a stream as a connection until closed is called. It never refuses.
func (h *Hub) CountStream(from Caller) (closed func()) {
	_ = h.slots.add(from.Client, Limits{})
	return func() { h.slots.free(from.Client) }
}

// OpenStream counts a client that follows a reply without a WebSocket, or reads a session, as
// a connection until closed is called. It waits up to streamWait for room: a
// reconnecting client may arrive before its old connection's end is noticed.
// Errors: errCrowded; ctx's.
func (h *Hub) OpenStream(ctx context.Context, from Caller) (closed func(), err error) {
	look := time.NewTicker(streamRetry)
	defer look.Stop()
	for begun := time.Now(); h.slots.add(from.Client, h.cfg.Limits) != ""; {
		if time.Since(begun) >= streamWait {
			if err := h.occupy(from); err != nil {
				return nil, err
			}
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { h.slots.free(from.Client) }, nil
}

// awaitUpstream acquires h.upstream for a reply, first come, first served.
// Errors: *Error with CodeUpstreamBusy; ctx's.
func (h *Hub) awaitUpstream(ctx context.Context) error {
	h.metrics.waiting.Inc()
	defer h.metrics.waiting.Dec()
	limit, cancel := context.WithTimeout(ctx, upstreamWait)
	defer cancel()
	if h.upstream.Acquire(limit, 1) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.metrics.Rejected("upstream")
	return ErrorOf(CodeUpstreamBusy)
}
