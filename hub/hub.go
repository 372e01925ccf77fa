// Package hub runs conversations: it takes what is said, has the model answer,
// and brings the answer to all who follow it.
//
//   - Run is the one goroutine that owns the registry: which connection has a
//     conversation, and which connections watch it. It does no I/O, waits for
//     nobody, and no token passes through it.
//   - A turn is a goroutine that asks the model and appends to its reply. It
//     belongs to the conversation: it goes on when the client is gone.
//   - A reply (package reply) is append-only text. WebSocket, SSE and REST follow
//     it by byte offset, each at its own speed.
//   - A Conn is one WebSocket: a reader, and a writer while there is something to
//     write.
//
// The session store decides whether a conversation is busy, what was said in it and
// which node writes its reply. The hub does not know which store it has.
package hub

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
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
	// AbandonAfter stops a reply that nobody has followed for this long; 0: never.
	AbandonAfter time.Duration
	Limits       Limits
	Metrics      *Metrics     // nil: metrics that are not registered
	Logger       *slog.Logger // nil: slog.Default()
}

// errStopped: Run has returned, or is about to.
var errStopped = errors.New("hub: stopped")

// Hub joins sessions, the model and connections. Its methods may be called
// concurrently, from any goroutine but Run's own.
type Hub struct {
	cfg      Config
	sessions *session.Manager
	log      *slog.Logger
	metrics  *Metrics
	upstream *semaphore.Weighted // replies that are with the model
	orphans  orphans
	late     lateness
	turns    sync.Map     // *turn by the uuid.UUID of the reply that it writes
	work     atomic.Int64 // turns, and calls that may start one: a drain waits for them
	slots    slots
	draining atomic.Bool
	turnsCtx context.Context // ends all turns; its cause says what becomes of their replies
	endTurns context.CancelCauseFunc
	drained  context.Context // ends when the hub drains and nothing is left

	nothingLeft context.CancelFunc // ends drained

	ops     chan func()
	closing chan struct{}  // closed by Run when it takes no more ops
	running sync.WaitGroup // turns and connections; added to on the loop only

	// The registry, owned by Run's goroutine: for each conversation at most one
	// connection that has it, and any number that watch it.
	rooms map[session.Ref][]*Conn
}

// New returns a Hub, which does nothing until Run is called.
func New(cfg Config) *Hub {
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, 64<<10)
	cfg.MaxContextTokens = cmp.Or(cfg.MaxContextTokens, 32768)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Limits.Counter == nil {
		cfg.Limits.Counter = new(session.Counts)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	h := &Hub{
		cfg: cfg, sessions: cfg.Sessions, log: cfg.Logger, metrics: cfg.Metrics,
		upstream: semaphore.NewWeighted(cmp.Or(int64(cfg.Limits.Upstream), math.MaxInt64)),
		ops:      make(chan func()), closing: make(chan struct{}),
		rooms: make(map[session.Ref][]*Conn),
	}
	h.turnsCtx, h.endTurns = context.WithCancelCause(context.Background())
	h.drained, h.nothingLeft = context.WithCancel(context.Background())
	h.slots.clients, h.orphans.known = make(map[string]int), make(map[uuid.UUID]bool)
	h.orphans.takers = semaphore.NewWeighted(int64(cmp.Or(min(cfg.Limits.Upstream, takersAtOnce), takersAtOnce)))
	cfg.Sessions.Watch(h)
	return h
}

// Run owns the registry until ctx ends. Then it ends the replies and closes the
// connections that are left, and returns when all that the hub ever started has
// returned. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	tick := time.NewTicker(pingInterval / 4)
	defer tick.Stop()
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	h.late.last = time.Now()
	for {
		select {
		case op := <-h.ops:
			op()
		case <-tick.C:
			_ = h.rescue("the registry", session.Ref{}, func() error {
				h.pingSilent()
				h.closeExpired()
				return nil
			})
		case <-pulse.C:
			h.late.beat(time.Now())
			_ = h.rescue("the registry", session.Ref{}, func() error { h.stopAbandoned(); return nil })
		case <-ctx.Done():
			close(h.closing)
			h.eachConn(func(c *Conn) { c.Close(CloseGoingAway, "the server stops") })
			h.orphans.mu.Lock() // so that no taker begins any more
			h.endTurns(errStopped)
			h.orphans.mu.Unlock()
			h.running.Wait()
			h.orphans.running.Wait()
			return nil
		}
	}
}

// do runs op on Run's goroutine and returns when it is done. If op panics, do panics in
// the caller. Errors: errStopped.
func (h *Hub) do(op func()) error {
	done := make(chan *session.Caught, 1)
	select {
	case h.ops <- func() { done <- session.Catch(op) }:
		if caught := <-done; caught != nil {
			panic(caught)
		}
		return nil
	case <-h.closing:
		return errStopped
	}
}

// Metrics returns what the hub tells Prometheus of itself.
func (h *Hub) Metrics() *Metrics { return h.metrics }

// eachConn calls f with every connection. It runs on the loop.
func (h *Hub) eachConn(f func(*Conn)) {
	for _, in := range h.rooms {
		for _, c := range in {
			f(c)
		}
	}
}

// owner returns the connection that has a conversation, or nil. It runs on the loop.
func (h *Hub) owner(ref session.Ref) *Conn {
	for _, c := range h.rooms[ref] {
		if !c.watch {
			return c
		}
	}
	return nil
}

// delist removes a connection from the registry and frees its slot, unless that was
// done before. It runs on the loop.
func (h *Hub) delist(c *Conn) {
	in := h.rooms[c.ref]
	i := slices.Index(in, c)
	if i < 0 { // removed by the connection that took over
		return
	}
	if in = slices.Delete(in, i, i+1); len(in) > 0 {
		h.rooms[c.ref] = in
	} else {
		delete(h.rooms, c.ref)
	}
	h.slots.free(c.from.Client)
}

// pokeAll tells the writers of all connections in a conversation that it has changed,
// as Conn.poke does. It runs on the loop.
func (h *Hub) pokeAll(ref session.Ref, news *turn) {
	for _, c := range h.rooms[ref] {
		c.poke(news)
	}
}

// Changed implements session.Events.
func (h *Hub) Changed(ref session.Ref) {
	h.tell(ref, func() { h.pokeAll(ref, nil) })
}

// Gone implements session.Events. The running reply is ended by way of its Text.
func (h *Hub) Gone(ref session.Ref) {
	h.tell(ref, func() {
		for _, c := range h.rooms[ref] {
			c.closeWhenIdle(CloseNotFound, "the conversation was deleted or has expired")
		}
	})
}

// Taken implements session.Events.
func (h *Hub) Taken(ref session.Ref, connection uuid.UUID) {
	h.tell(ref, func() {
		if c := h.owner(ref); c != nil && c.id == connection {
			c.Close(CloseTakenOver, takenOver)
		}
	})
}

// Stopping implements session.Events.
func (h *Hub) Stopping(_ session.Ref, reply uuid.UUID) {
	if t, ok := h.turns.Load(reply); ok {
		t.(*turn).cancel(errStopRequested)
	}
}
