package session

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// stepAnswer is what one script of several returned; without a status it
// failed with err, and what asked for it asks again when its time comes.
type stepAnswer struct {
	status string
	rest   []rueidis.RedisMessage
	err    error
}

var errNoStatus = errors.New("session: a script returned no status")

// multi runs n scripts in one pipeline.
func (r *Redis) multi(ctx context.Context, n int, command func(c rueidis.Client, i int) rueidis.Completed) []stepAnswer {
	answers := make([]stepAnswer, n)
	if n == 0 {
		return answers
	}
	c := r.attached(ctx)
	if c == nil {
		for i := range answers {
			answers[i].err = errAbsent
		}
		return answers
	}
	commands := make([]rueidis.Completed, n)
	for i := range n {
		commands[i] = command(c, i)
	}
	for i, result := range r.doAll(ctx, c, commands) {
		a := &answers[i]
		var list []rueidis.RedisMessage
		if list, a.err = result.ToArray(); a.err != nil {
			continue
		}
		if len(list) == 0 {
			a.err = errNoStatus
			continue
		}
		if a.status, a.err = list[0].ToString(); a.err == nil {
			a.rest = list[1:]
		}
	}
	return answers
}

// attached returns the client, or nil when there is no Redis.
func (r *Redis) attached(ctx context.Context) rueidis.Client {
	c, err := r.connect(ctx)
	if err != nil {
		return nil
	}
	return c
}

// doAll sends commands together. Scripts that Redis does not know are loaded
// for the next time.
func (r *Redis) doAll(ctx context.Context, c rueidis.CoreClient, commands []rueidis.Completed) []rueidis.RedisResult {
	began := time.Now()
	results := c.DoMulti(ctx, commands...)
	r.cfg.OnTrip("pipeline", time.Since(began), len(results) > 0 && results[0].Error() != nil)
	for _, result := range results {
		if e, ok := rueidis.IsRedisErr(result.Error()); ok && e.IsNoScript() {
			_ = r.load(ctx, *r.client.Load())
			break
		}
	}
	return results
}
