package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// throttle lets a warning through at once, and then once a minute. The zero value is
// ready.
type throttle struct {
	mu   sync.Mutex
	last time.Time
}

// due tells whether to log the warning now.
func (c *throttle) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.last.IsZero() && now.Sub(c.last) < time.Minute {
		return false
	}
	c.last = now
	return true
}

// warn logs why Redis did not do what it was asked to: Redis' own words if it
// answered, else the network's error. It keeps these words for Check while that runs.
func (s *Store) warn(err error) {
	answer, ok := rueidis.IsRedisErr(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errClosed), ok && answer.IsNoScript():
	case s.checking.Load():
		if ok {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refused = errors.Join(s.refused, answer)
		}
	case ok:
		if s.refusals.due() {
			s.log.Warn("Redis refuses what the hub asks of it", slog.String("answer", answer.Error()))
		}
	case s.outages.due():
		s.log.Warn("Redis cannot be reached; trying on", slog.Any("error", err))
	}
}
