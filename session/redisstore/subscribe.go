package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// subscription is the state of this node's subscription to its own channel. The
// other nodes also take it as a sign that this one lives.
type subscription struct {
	mu          sync.Mutex
	since       time.Time     // when Redis confirmed it; zero: there is none now
	established chan struct{} // closed at the first confirmation
}

// listen delivers what other nodes publish on this node's channel, until ctx ends.
// It subscribes again after a lost connection, and then delivers a Hint without an
// ID, since messages may have been missed.
func (s *Store) listen(ctx context.Context, heard func(session.Hint)) {
	d := dispatcher{deliver: heard, waiting: make(map[hintKey]bool),
		changed: make(chan struct{}, maxDispatched), follows: make(chan struct{}, maxDispatched)}
	defer d.work.Wait()
	for ctx.Err() == nil {
		err := s.subscribe(ctx, &d)
		s.subscription.mu.Lock()
		s.subscription.since = time.Time{}
		s.subscription.mu.Unlock()
		if ctx.Err() == nil {
			s.unheard.Do(func() { s.cfg.Logger.Warn("the other nodes cannot be heard; trying on", slog.Any("error", err)) })
		}
		pause := time.NewTimer(retryAfter)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// subscribe receives until the connection is lost. Before the first subscription it
// raises the beat, and looks for hubs of an older version.
func (s *Store) subscribe(ctx context.Context, d *dispatcher) error {
	c, err := s.connect(ctx)
	if err != nil {
		s.warn(err)
		return err
	}
	if !s.wasSubscribed() {
		s.beat(ctx)
		if err := s.refuseOld(ctx, c); err != nil {
			return err
		}
	}
	confirmed := rueidis.WithOnSubscriptionHook(ctx, func(e rueidis.PubSubSubscription) {
		if e.Kind == "subscribe" {
			s.subscribed()
			d.dispatch(session.Hint{})
		}
	})
	return c.Dedicated(func(c rueidis.DedicatedClient) error { // so that hints do not wait for long answers
		return c.Receive(confirmed, c.B().Subscribe().Channel(channelOf(s.node)).Build(), func(m rueidis.PubSubMessage) {
			d.receive(m.Message)
		})
	})
}

// subscribed notes that Redis has confirmed the subscription.
func (s *Store) subscribed() {
	u := &s.subscription
	u.mu.Lock()
	defer u.mu.Unlock()
	u.since = time.Now()
	if !s.wasSubscribed() {
		close(u.established)
	}
}

// wasSubscribed reports whether the subscription has ever been confirmed.
func (s *Store) wasSubscribed() bool {
	select {
	case <-s.subscription.established:
		return true
	default:
		return false
	}
}

// awaitSubscription waits for the first subscription. A node that wrote before it
// would be held dead by the others, and its replies taken over.
// Errors: ErrUnavailable, ctx's.
func (s *Store) awaitSubscription(ctx context.Context) error {
	if s.wasSubscribed() {
		return nil
	}
	limit := time.NewTimer(s.limit)
	defer limit.Stop()
	select {
	case <-s.subscription.established:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("%w: this node has not subscribed to its channel yet", session.ErrUnavailable)
	}
}

// errOld is returned while a hub with the old keys runs on the same Redis. Both would
// give a conversation its own history under the same id.
var errOld = errors.New("a hub of an older version runs on this Redis, and keeps its conversations there in another form: stop it first")

// oldChannel matches the channels that hubs with the old keys subscribe to.
var oldChannel = regexp.MustCompile("^chathub:[0-9a-f]{16}$")

// refuseOld returns errOld while a hub with the old keys runs on this Redis.
func (s *Store) refuseOld(ctx context.Context, c rueidis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for _, node := range c.Nodes() {
		channels, err := node.Do(ctx, node.B().PubsubChannels().Pattern("chathub:*").Build()).AsStrSlice()
		if err != nil {
			return fmt.Errorf("failed to look for older hubs: %w", err)
		}
		for _, channel := range channels {
			if oldChannel.MatchString(channel) {
				return errOld
			}
		}
	}
	return nil
}
