// Package hub runs conversations: it takes what is said, has the model answer,
// and brings the answer to whoever follows it.
//
//   - Run is the one goroutine that owns the registry: which connection a
//     conversation has, and which replies are written here. It does no I/O,
//     waits on nobody, and no token passes through it.
//   - A turn is a goroutine that asks the model and appends to its Reply. It
//     belongs to the conversation: it goes on when the client is gone.
//   - A Reply is append-only text. WebSocket, SSE and REST follow it by byte
//     offset, each at its own speed.
//   - A Conn is one WebSocket. Idle, it is one goroutine blocked in a read; a
//     second one, the follower, is there while it has something to write.
//   - A panic ends one reply, or one connection, and not the process (rescue).
//
// Whether a conversation is busy, and what was said in it, is the session
// store's to say; the hub keeps nothing of that.
package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"
	"golang.org/x/sync/semaphore"

	"lumos/backend/session"
)

// Config says how a Hub works. Model and Sessions are required.
type Config struct {
	Sessions *session.Manager
	Model    llms.Model
	// ModelName is what clients are told.
	ModelName string
	// SystemPrompt is sent before every conversation; "": none.
	SystemPrompt string
	// MaxTokens bounds a reply; 0: the model's own bound.
	MaxTokens int
	// MaxContextTokens bounds what the model is sent; 0: 32768.
	MaxContextTokens int
	// MaxMessageBytes bounds the content of a message; 0: 65536.
	MaxMessageBytes int
	// AbandonAfter ends a reply that nobody followed for so long; 0: never.
	AbandonAfter time.Duration
	// CallOptions are passed to the model with every call.
	CallOptions []llms.CallOption
	Limits      Limits
	Metrics     *Metrics     // nil: none
	Logger      *slog.Logger // nil: slog.Default()
}

// errStopped: Run has returned, or is about to.
var errStopped = errors.New("hub: stopped")

// Hub joins sessions, the model and connections. Its methods may be called
// concurrently, from any goroutine but Run's own.
type Hub struct {
	cfg      Config
	sessions *session.Manager
	shared   session.Log // nil: no other node has these conversations
	log      *slog.Logger
	counter  session.Counter
	metrics  *Metrics
	upstream *semaphore.Weighted // nil: any number of replies may be with the model
	follows  sync.Mutex          // held while a copy begins or ends to be fed
	late     lateness
	ops      chan op
	closing  chan struct{}  // closed by Run when it takes no more ops
	running  sync.WaitGroup // turns and connections; added to on the loop only

	// Owned by Run's goroutine.
	conns    map[session.Ref]*Conn // by conversation: the newest
	replies  map[uuid.UUID]*Reply  // by their own id: those that may be written here
	streams  int                   // that are open, of those that are counted
	clients  map[string]int        // how many of conns and streams each has
	reserved map[session.Ref]bool  // conversations that a connection is on its way to
	draining bool
	drained  chan struct{} // closed when nothing is left; nil when not draining
}

// New returns a Hub, which does nothing until Run is called.
func New(cfg Config) *Hub {
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = 64 << 10
	}
	if cfg.MaxContextTokens == 0 {
		cfg.MaxContextTokens = 32768
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &Hub{
		cfg: cfg, sessions: cfg.Sessions, log: cfg.Logger,
		counter: cfg.Limits.Counter, metrics: cfg.Metrics, upstream: newUpstream(cfg.Limits.Upstream),
		clients: make(map[string]int),
		ops:     make(chan op), closing: make(chan struct{}),
		conns: make(map[session.Ref]*Conn), replies: make(map[uuid.UUID]*Reply),
		reserved: make(map[session.Ref]bool),
	}
	if h.counter == nil {
		h.counter = new(session.Counts)
	}
	if log, ok := cfg.Sessions.Store.(session.Log); ok {
		h.shared = log
		log.Watch(h)
	}
	return h
}

// Model returns the name of the model that answers.
func (h *Hub) Model() string { return h.cfg.ModelName }

// Say takes one turn in a conversation and returns the reply to it, which may
// be running or have ended. t's Reply, Model and, where they are missing, the
// message's id and time are set here. The reply does not depend on ctx.
//
// Errors: session's for Say; ErrDraining; *Error for a content that is empty or
// too large, or a caller that has too many replies.
func (h *Hub) Say(ctx context.Context, from Caller, conversation session.Ref, t session.Turn) (*Reply, session.Said, error) {
	if err := h.prepare(&t); err != nil {
		return nil, session.Said{}, err
	}
	t.Most = h.cfg.Limits.SessionMessages
	for {
		// The reply is in the registry before the store names it as running:
		// whoever reads that it runs here finds it.
		r := newReply(conversation, uuid.New(), h.cfg.ModelName)
		r.gated, r.from = h.shared != nil, from
		t.Reply, t.Model = r.ID, r.Model
		if err := h.enter(ctx, from, r.ID); err != nil {
			return nil, session.Said{}, err
		}
		if err := h.register(r); err != nil {
			h.leave(from, r.ID)
			return nil, session.Said{}, err
		}
		said, err := h.startTurn(context.WithoutCancel(ctx), r, t)
		if err == nil && said.Started {
			return r, said, nil
		}
		h.drop(r)
		switch {
		case errors.Is(err, session.ErrBusy):
			h.nudge(ctx, conversation)
			return nil, session.Said{}, err
		case errors.Is(err, session.ErrLong):
			h.metrics.Rejected("session_messages")
			return nil, session.Said{}, err
		case err != nil:
			return nil, session.Said{}, err
		case said.Done:
			return nil, said, nil
		case said.Ended != nil:
			return Stored(conversation, *said.Ended), said, nil
		}
		if r, err := h.find(conversation, said.Running); r != nil || err != nil {
			return r, said, err
		}
		// It ended between the two looks: the next finds it stored.
		if err := ctx.Err(); err != nil {
			return nil, session.Said{}, err
		}
	}
}

// prepare checks and completes what is said.
func (h *Hub) prepare(t *session.Turn) error {
	if t.Kind != session.Submit && t.Kind != session.Edit {
		return nil
	}
	if err := h.CheckContent(t.User.Content); err != nil {
		return err
	}
	if t.User.ID == uuid.Nil {
		t.User.ID = uuid.New()
	}
	t.User.Timestamp = session.Now()
	return nil
}

func (h *Hub) register(r *Reply) error {
	var refused error
	err := h.do(func() {
		if h.draining {
			refused = ErrDraining
			return
		}
		h.replies[r.ID] = r
		h.running.Add(1)
	})
	return errors.Join(err, refused)
}

// drop takes a registered reply out again: it ended, or never began.
func (h *Hub) drop(r *Reply) {
	defer h.running.Done()
	h.tell(r.Conversation, func() { h.forget(r) })
	_ = h.rescue("a client's count", r.Conversation, func() error { h.leave(r.from, r.ID); return nil })
}

// forget takes r out of the registry, unless another has its place. It runs on
// the loop.
func (h *Hub) forget(r *Reply) {
	if h.replies[r.ID] == r {
		delete(h.replies, r.ID)
		h.checkDrained()
	}
}

// startTurn stores a turn. If r is to be written, it begins that, and brings r to the
// conversation's connection. A store that panics may have stored r as running:
// then r is ended as failed, so that the conversation does not stay busy.
func (h *Hub) startTurn(ctx context.Context, r *Reply, t session.Turn) (said session.Said, err error) {
	err = h.rescue("a message", r.Conversation, func() (err error) {
		said, err = h.sessions.Say(ctx, r.Conversation, t)
		return err
	})
	switch {
	case panicked(err):
		r.seal()
		h.end(r, failed(err), nil)
	case err == nil && said.Started:
		r.place(said.Running)
		go h.turn(r, said)
		h.Changed(r.Conversation)
	}
	return said, err
}

// Changed has the conversation's connection, if there is one here, look again
// at what there is to send.
func (h *Hub) Changed(conversation session.Ref) {
	h.tell(conversation, func() {
		if c := h.conns[conversation]; c != nil {
			c.poke()
		}
	})
}

// reply returns the reply that the registry has, or nil.
func (h *Hub) reply(id uuid.UUID) *Reply {
	var r *Reply
	_ = h.do(func() { r = h.replies[id] })
	if r != nil && r.moved() {
		return nil // on its way out
	}
	return r
}

// nudge follows, for a moment, the reply that keeps a conversation busy: if
// the node that wrote it is dead, this one goes on with it. One that nobody writes
// here ends.
func (h *Hub) nudge(ctx context.Context, conversation session.Ref) {
	r, err := h.Running(ctx, conversation)
	if err != nil || r == nil || !r.isCopy() {
		return
	}
	h.tell(conversation, func() {
		h.spawn("a busy conversation", conversation, func() {
			ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
			defer cancel()
			_, _ = r.wait(ctx)
		})
	})
}

// Running returns the reply that is running in a conversation, or nil.
func (h *Hub) Running(ctx context.Context, conversation session.Ref) (*Reply, error) {
	for {
		s, err := h.sessions.Get(ctx, conversation, session.End)
		if err != nil || s.Running == nil {
			return nil, err
		}
		if r, err := h.find(conversation, s.Running); r != nil || err != nil {
			return r, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-h.closing:
			return nil, errStopped
		default:
		}
	}
}

// Stop ends the running reply, if only is nil or names it or the message that
// it answers. It returns OutcomeStopped when the reply ended as stopped and is
// stored, and the place of the reply, if one was running.
// Errors: session.ErrNotFound, session.ErrUnavailable.
func (h *Hub) Stop(ctx context.Context, conversation session.Ref, only uuid.UUID) (string, session.Position, error) {
	began := time.Now()
	outcome, at, err := h.stop(ctx, conversation, only)
	if outcome == OutcomeStopped {
		h.metrics.stopTook(time.Since(began))
	}
	return outcome, at, err
}

func (h *Hub) stop(ctx context.Context, conversation session.Ref, only uuid.UUID) (string, session.Position, error) {
	var at session.Position
	s, err := h.sessions.Get(ctx, conversation, session.End)
	if err != nil {
		return "", at, err
	}
	if s.Running == nil || only != uuid.Nil && only != s.Running.Reply && only != s.Running.User.ID {
		return OutcomeNothingRunning, at, nil
	}
	at = s.Running.Position()
	if h.shared != nil {
		outcome, err := h.stopShared(ctx, conversation, s.Running)
		return outcome, at, err
	}
	r, err := h.find(conversation, s.Running)
	if r == nil || err != nil {
		return OutcomeNothingRunning, at, err
	}
	h.giveUp(r)
	e, err := r.wait(ctx)
	switch {
	case err != nil:
		return "", at, err
	case e.Err != nil && !errors.Is(e.Err, session.ErrNotFound):
		return "", at, e.Err
	case e.Err == nil && e.Message.FinishReason == session.FinishStopped:
		return OutcomeStopped, at, nil
	}
	return OutcomeNothingRunning, at, nil
}

// Delete forgets a conversation: its reply is stopped, its connection closed
// with CloseNotFound. Errors: session.ErrNotFound, session.ErrUnavailable.
func (h *Hub) Delete(ctx context.Context, conversation session.Ref) error {
	if err := h.sessions.Delete(ctx, conversation); err != nil {
		return err
	}
	h.Gone(conversation)
	return nil
}

// Gone tells the hub that a session was deleted or expired.
func (h *Hub) Gone(conversation session.Ref) {
	h.tell(conversation, func() {
		for _, r := range h.replies {
			if r.Conversation == conversation {
				r.seal()
				r.finish(End{Err: session.ErrNotFound})
			}
		}
		if c := h.conns[conversation]; c != nil {
			c.leave(CloseNotFound, "the conversation was deleted or has expired")
		}
	})
}
