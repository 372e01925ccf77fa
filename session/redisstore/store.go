// Package redisstore keeps conversations in Redis 7 or Valkey, in a cluster or not,
// where any number of nodes share them.
//
// The store does not interpret what it keeps: package session decides, and a script
// stores the result if nothing has changed meanwhile. A conversation has five keys,
// which share a slot:
//
//	hub:{id}:head       hash: v (version), state (JSON), format, life (ms), claim;
//	                    with v alone it is the grave of a deletion, for a minute
//	hub:{id}:log        list of records: adding version, space, JSON, LF, content
//	hub:{id}:text       string: the running reply, as far as it is stored
//	hub:{id}:fence      string: who may append to the text; it exists while a reply runs
//	hub:{id}:followers  sorted set: nodes to tell of changes, by expiry in Unix ms
//
// session/README.md has the other keys, and tells what is lost with each. If the log is lost
// or cut without the head, loading reports damage. Each node subscribes to the channel
// hub:<node>.
package redisstore

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"lumos/backend/session"
)

const (
	// stepTimeout bounds one step; within it, failed tries are repeated.
	stepTimeout = 1900 * time.Millisecond
	// retryAfter is the pause before a connection is tried again.
	retryAfter = 100 * time.Millisecond
)

// Config says where Redis is. URL is required; the rest may be zero.
type Config struct {
	URL string // see Option
	// TTL is how long a session lives after it was last used, at least two
	// seconds; 0: session.DefaultTTL. It is the Manager's Config.TTL, too.
	TTL time.Duration
	// OnTrip is told of every round trip: the step, or "pipeline" for many at
	// once, how long it took, and whether it failed. It must be quick and safe
	// for concurrent use. Nil: nobody is told.
	OnTrip func(step string, took time.Duration, failed bool)
	Logger *slog.Logger // nil: slog.Default()
}

// Store is a session.Backend in Redis. Each node of the hub has one.
type Store struct {
	cfg        Config
	node       string        // random, so that a node that starts anew is another
	limit      time.Duration // stepTimeout, but in tests
	option     rueidis.ClientOption
	client     atomic.Pointer[rueidis.Client]
	dial       singleflight.Group
	tasks      sync.WaitGroup // background work outside of Run; Close waits for it
	appendConn appendConn     // guarded by its own mu

	// Each of these warnings is logged at once, then once a minute while it lasts.
	refusals, outages, unheard, lostText rate.Sometimes
	checking                             atomic.Bool // Check runs, and warn does not log

	subscription subscription
	peers        peers

	mu       sync.Mutex // guards what follows; no call is made under it
	closed   bool
	refused  error                  // errors that Redis returned while Check ran
	ownTexts map[uuid.UUID]*ownText // by conversation: the replies that are written here
}

var _ session.Backend = (*Store)(nil)

// Open returns a store in the Redis that cfg names. It connects when it is first used, and
// again when needed, so it does not fail if Redis is away. Errors: the URL cannot be parsed,
// or a file that it names cannot be used.
func Open(cfg Config) (*Store, error) {
	option, err := Option(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.TTL <= 0 {
		cfg.TTL = session.DefaultTTL
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.OnTrip == nil {
		cfg.OnTrip = func(string, time.Duration, bool) {}
	}
	s := &Store{
		cfg: cfg, node: rand.Text()[:16], limit: stepTimeout, option: option,
		ownTexts: make(map[uuid.UUID]*ownText),
	}
	for _, warning := range []*rate.Sometimes{&s.refusals, &s.outages, &s.unheard, &s.lostText} {
		warning.Interval = time.Minute
	}
	s.appendConn.tasks = &s.tasks
	s.subscription.established = make(chan struct{})
	s.peers.nodes = make(map[string]*peer)
	return s, nil
}

// Kind describes the store to the Manager. With one address, appends go one batch at
// a time over one connection. In a cluster, which has several addresses, they
// overlap, so that one Redis that is stuck does not hold up the others.
func (s *Store) Kind() session.Kind {
	return session.Kind{Node: s.node, Serial: len(s.option.InitAddress) == 1}
}

// Run implements session.Backend: it receives hints, raises this node's beat, and
// polls the other nodes. It returns when everything that it started has returned.
func (s *Store) Run(ctx context.Context, heard func(session.Hint)) error {
	var group sync.WaitGroup
	group.Go(func() { s.listen(ctx, heard) })
	group.Go(func() { session.Every(ctx, beatEvery, s.beat) })
	group.Go(func() { session.Every(ctx, pollEvery, s.checkPeers) })
	group.Go(func() { s.checkPolicy(ctx) })
	group.Wait()
	return nil
}

// Ready implements session.Backend. It writes, since a Redis that only reads is of no
// use, and waits for the subscription, without which no reply begins.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.try(ctx, s.setReady); err != nil {
		return err
	}
	return s.awaitSubscription(ctx)
}

func (s *Store) setReady(ctx context.Context, c rueidis.Client) error {
	return c.Do(ctx, c.B().Set().Key("hub:ready").Value(s.node).Px(time.Minute).Build()).Error()
}

// Close closes the connections to Redis. Call it after Run has returned and when
// nothing uses s any more.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.appendConn.close()
	s.tasks.Wait()
	if c := s.client.Load(); c != nil {
		(*c).Close()
	}
}
