package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// errRedisFull: Redis has reached its maxmemory.
var errRedisFull = fmt.Errorf("%w: it is full", ErrUnavailable)

// step runs a script, again if it must: every script finds done what it did
// before. It returns the answer's status and what follows it.
func (r *Redis) step(ctx context.Context, s *script, ref Ref, args ...string) (string, []rueidis.RedisMessage, error) {
	var status string
	var answer []rueidis.RedisMessage
	err := r.try(ctx, func(ctx context.Context, c rueidis.Client) error {
		began := time.Now()
		result := c.Do(ctx, r.command(c, s, ref, args))
		r.cfg.OnTrip(s.name, time.Since(began), result.Error() != nil)
		var err error
		if answer, err = result.ToArray(); err != nil {
			return err
		}
		if len(answer) == 0 {
			return permanent{errNoStatus}
		}
		status, err = answer[0].ToString()
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("%w (%s)", err, s.name)
	}
	return status, answer[1:], nil
}

// try calls f until it succeeds, fails for good, or its time is over.
func (r *Redis) try(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	limit, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		c, err := r.connect(limit)
		if err == nil {
			err = f(limit, c)
		}
		again, err := r.judge(limit, c, err)
		if !again {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-limit.Done():
			pause.Stop()
			// A deadline is no reason of its own: after a pause of the whole
			// process it may be the first to be seen.
			if ctx.Err() == context.Canceled {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// judge tells what to make of a try's error: nil, one that stays, or one worth
// another try.
func (r *Redis) judge(ctx context.Context, c rueidis.Client, err error) (again bool, _ error) {
	if err == nil {
		return false, nil
	}
	var stays permanent
	if errors.As(err, &stays) {
		return false, stays.error
	}
	answer, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok:
		return true, err // the network, or a Redis that is not there
	case answer.IsNoScript():
		return true, r.load(ctx, c)
	case isPrefixed(answer, "OOM"):
		return false, errRedisFull
	case isPrefixed(answer, "NOAUTH", "WRONGPASS", "NOPERM"):
		return false, fmt.Errorf("%w: %w", ErrUnavailable, answer)
	case isPrefixed(answer, "LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED", "MOVED", "ASK"):
		return true, err
	}
	return false, fmt.Errorf("session: a script failed: %w", answer)
}

// permanent is an error that another try would not mend.
type permanent struct{ error }

func isPrefixed(err *rueidis.RedisError, prefixes ...string) bool {
	for _, p := range prefixes {
		if s := err.Error(); len(s) > len(p) && s[:len(p)] == p && s[len(p)] == ' ' {
			return true
		}
	}
	return false
}

// load gives the scripts to every Redis that may be asked to run one.
func (r *Redis) load(ctx context.Context, c rueidis.Client) error {
	var errs []error
	for _, node := range c.Nodes() {
		loads := make([]rueidis.Completed, len(scripts))
		for i, s := range scripts {
			loads[i] = node.B().ScriptLoad().Script(s.source).Build()
		}
		for _, result := range node.DoMulti(ctx, loads...) {
			errs = append(errs, result.Error())
		}
	}
	return errors.Join(errs...)
}

// Ready implements Store.
func (r *Redis) Ready(ctx context.Context) error { return r.try(ctx, r.setReady) }

// setReady writes, for a Redis that only reads is none.
func (r *Redis) setReady(ctx context.Context, c rueidis.Client) error {
	return c.Do(ctx, c.B().Set().Key("chathub:ready").Value(r.node).Px(time.Minute).Build()).Error()
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func stamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
