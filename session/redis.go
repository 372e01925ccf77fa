package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

const (
	// leaseTTL is how long a node that died keeps others from its replies.
	leaseTTL = 10 * time.Second
	// maxDeaths is how many writers of one reply may die before it is ended.
	maxDeaths = 3
	// stepTimeout bounds one step; within it, failed tries are repeated.
	stepTimeout = 1900 * time.Millisecond
	// connTTL is how long the connection of a node that died counts as there.
	connTTL = time.Minute
	// pollEvery is how often what hints may have missed is looked at.
	pollEvery = time.Second
)

// RedisConfig says where Redis is. URL is required; the rest may be zero.
type RedisConfig struct {
	// URL is redis://, rediss:// or unix://, with user, password and database;
	// several hosts, separated by commas, are nodes of a cluster. With rediss://
	// the query may name PEM files: ca, cert and key (see RedisOption).
	URL string
	// TTL is how long a session lives after it was last touched; 0: DefaultTTL.
	TTL time.Duration
	// History is how many bytes of the newest messages a turn is given at
	// least, if there are as many; 0: 512 KiB.
	History int
	// OnTrip is told of every round trip: the step, or "pipeline" for many at
	// once, how long it took, and whether it failed. It must be quick and safe
	// for concurrent use. Nil: nobody is told.
	OnTrip func(step string, took time.Duration, failed bool)
	Logger *slog.Logger // nil: slog.Default()
}

// Redis is a Log in Redis 7 or Valkey, in a cluster or not. Each node of the
// hub has one. What all of them know is in Redis: a Redis value holds only
// what this node writes, follows and has connections for.
type Redis struct {
	cfg    RedisConfig
	log    *slog.Logger
	node   string        // random, so that a node that starts anew is another
	ttl    string        // cfg.TTL in milliseconds
	limit  time.Duration // stepTimeout, but in tests
	option rueidis.ClientOption
	client atomic.Pointer[rueidis.Client]
	tasks  sync.WaitGroup // what goes on in the background without Run

	appends *pipe[*writer]
	looks   *pipe[*follow]

	mu      sync.Mutex // guards what follows; no call is made under it
	dial    *dialing   // under way; nil: none
	closed  bool
	events  Events
	gone    func(Ref)
	writers map[uuid.UUID]*writer // by reply
	follows map[uuid.UUID]*follow // by reply
	holds   map[Ref]*hold
	leaving map[uuid.UUID]chan struct{}
}

var _ Log = (*Redis)(nil)

// NewRedis returns a store in the Redis that cfg names. It connects when it is
// first used, and again whenever that is needed; it does not fail for a Redis
// that is away. Errors: a URL that cannot be understood, or
// names files that cannot be used.
func NewRedis(cfg RedisConfig) (*Redis, error) {
	option, err := RedisOption(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.TTL <= 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.History <= 0 {
		cfg.History = 512 << 10
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.OnTrip == nil {
		cfg.OnTrip = func(string, time.Duration, bool) {}
	}
	r := &Redis{
		cfg: cfg, log: cfg.Logger, node: randomName(), ttl: millis(cfg.TTL), limit: stepTimeout, option: option,
		writers: make(map[uuid.UUID]*writer), follows: make(map[uuid.UUID]*follow),
		holds: make(map[Ref]*hold), leaving: make(map[uuid.UUID]chan struct{}),
	}
	r.appends = newPipe(r, r.sendAppends, func(w *writer) verdict { return r.failed(w, ErrPanicked) })
	r.appends.line = &line{r: r}
	r.looks = newPipe(r, r.sendLooks, (*follow).missed)
	return r, nil
}

// randomName returns a name that no other node or lease has.
func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Watch implements Log.
func (r *Redis) Watch(e Events) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = e
}

// Run implements Store: it keeps leases and sessions alive, sends what is
// appended, and hears the other nodes. It returns when all that it started has
// returned.
func (r *Redis) Run(ctx context.Context, gone func(Ref)) error {
	r.mu.Lock()
	r.gone = gone
	r.mu.Unlock()
	var group sync.WaitGroup
	group.Go(func() { r.listen(ctx) })
	group.Go(func() { r.appends.run(ctx) })
	group.Go(func() { r.looks.run(ctx) })
	group.Go(func() { r.renewLeases(ctx) })
	group.Go(func() { r.touchHeld(ctx) })
	group.Go(func() { r.pollFollowed(ctx) })
	group.Go(func() { r.checkPolicy(ctx) })
	group.Wait()
	return nil
}

// every calls f once an interval until ctx ends. A panic of f does not
// end that, since f serves all conversations.
func (r *Redis) every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.rescue("a look at Redis", f)
		}
	}
}

// rescue calls f, and outlives its panic.
func (r *Redis) rescue(step string, f func()) {
	_ = Rescue(r.log, step, uuid.Nil, func() error { f(); return nil })
}

// Close gives the connections to Redis back. It is called after Run has
// returned and nothing uses r any more.
func (r *Redis) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.tasks.Wait()
	if c := r.client.Load(); c != nil {
		(*c).Close()
	}
}
