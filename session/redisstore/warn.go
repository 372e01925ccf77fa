package redisstore

import (
	"context"
	"errors"
	"log/slog"

	"github.com/redis/rueidis"
)

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
		s.refusals.Do(func() {
			s.log.Warn("Redis refuses what the hub asks of it", slog.String("answer", answer.Error()))
		})
	default:
		s.outages.Do(func() { s.log.Warn("Redis cannot be reached; trying on", slog.Any("error", err)) })
	}
}
