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
// answered, else the network's error.
func (s *Store) warn(err error) {
	if s.checking.Load() || errors.Is(err, context.Canceled) || errors.Is(err, errClosed) {
		return
	}
	if answer, ok := rueidis.IsRedisErr(err); ok {
		if !answer.IsNoScript() && s.refusals.due() {
			s.log.Warn("Redis refuses what the hub asks of it", slog.String("answer", answer.Error()))
		}
		return
	}
	if s.outages.due() {
		s.log.Warn("Redis cannot be reached; trying on", slog.Any("error", err))
	}
}
