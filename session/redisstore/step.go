package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// run runs a script, and runs it again if it gets no answer: a repeated script
// recognises its own work. Errors: ErrUnavailable, ErrFull, ctx's.
func (s *Store) run(ctx context.Context, sc *script, keys, args []string) (answer rueidis.RedisMessage, err error) {
	err = s.try(ctx, func(ctx context.Context, c rueidis.Client) error {
		began := time.Now()
		var err error
		answer, err = sc.Exec(ctx, c, keys, args).ToMessage()
		s.cfg.OnTrip(sc.name, time.Since(began), err != nil)
		return err
	})
	if err != nil {
		return answer, fmt.Errorf("%s: %w", sc.name, err)
	}
	return answer, nil
}

// try calls f until it succeeds, fails with an error that is not retryable, or s.limit has
// passed.
func (s *Store) try(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	limit, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		c, err := s.connect(limit)
		if err == nil {
			err = f(limit, c)
		}
		if err == nil {
			return nil
		}
		again, err := s.retryable(err)
		if !again {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-limit.Done():
			pause.Stop()
			// ctx's deadline is no reason of its own: if the whole process was suspended,
			// it may have passed before any answer was read.
			if ctx.Err() == context.Canceled {
				return ctx.Err()
			}
			s.warn(err)
			return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
		}
	}
}

// retryable reports whether to try again after err, and returns err as callers see it.
func (s *Store) retryable(err error) (again bool, _ error) {
	answer, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok:
		return true, err // the network failed
	case isPrefixed(answer, "OOM"):
		s.warn(answer)
		return false, fmt.Errorf("%w: %w", session.ErrFull, answer)
	case isPrefixed(answer, "NOAUTH", "WRONGPASS", "NOPERM"):
		s.warn(answer)
		return false, fmt.Errorf("%w: %w", session.ErrUnavailable, answer)
	case isPrefixed(answer, "LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "MISCONF", "NOREPLICAS",
		"UNBLOCKED", "MOVED", "ASK", "NOSCRIPT"):
		return true, err
	}
	s.warn(answer)
	return false, fmt.Errorf("%w: a script failed: %w", session.ErrUnavailable, answer)
}

func isPrefixed(err *rueidis.RedisError, prefixes ...string) bool {
	code, _, _ := strings.Cut(err.Error(), " ")
	return slices.Contains(prefixes, code)
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
		s.refusals.Do(func() {
			s.cfg.Logger.Warn("Redis refuses what the hub asks of it", slog.String("answer", answer.Error()))
		})
	default:
		s.outages.Do(func() { s.cfg.Logger.Warn("Redis cannot be reached; trying on", slog.Any("error", err)) })
	}
}

// pipeline sends commands together. Scripts that Redis does not know are loaded for
// the next time.
func (s *Store) pipeline(ctx context.Context, c rueidis.CoreClient, commands []rueidis.Completed) []rueidis.RedisResult {
	began := time.Now()
	results := c.DoMulti(ctx, commands...)
	var failed error
	for _, result := range results {
		if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
			failed = err
			break
		}
	}
	s.cfg.OnTrip("pipeline", time.Since(began), failed != nil)
	if answer, ok := rueidis.IsRedisErr(failed); ok && answer.IsNoScript() {
		_ = s.load(ctx, *s.client.Load())
	} else if failed != nil && ctx.Err() == nil {
		s.warn(failed)
	}
	return results
}

// load loads the scripts that are called by name into every Redis.
func (s *Store) load(ctx context.Context, c rueidis.Client) error {
	var errs []error
	for _, node := range c.Nodes() {
		for _, sc := range pipelined {
			errs = append(errs, node.Do(ctx, node.B().ScriptLoad().Script(sc.source).Build()).Error())
		}
	}
	return errors.Join(errs...)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}
