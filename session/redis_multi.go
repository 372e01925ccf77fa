package session

import (
	"context"

	"github.com/redis/rueidis"
)

// stepAnswer is what one script of several returned; without a status it
// failed, and what asked for it asks again when its time comes.
type stepAnswer struct {
	status string
	rest   []rueidis.RedisMessage
}

// multi runs n scripts in one pipeline.
func (r *Redis) multi(ctx context.Context, n int, command func(c rueidis.Client, i int) rueidis.Completed) []stepAnswer {
	answers := make([]stepAnswer, n)
	if n == 0 {
		return answers
	}
	c, err := r.connect(ctx)
	if err != nil {
		return answers
	}
	commands := make([]rueidis.Completed, n)
	for i := range n {
		commands[i] = command(c, i)
	}
	missing := false
	for i, result := range c.DoMulti(ctx, commands...) {
		list, err := result.ToArray()
		if e, ok := rueidis.IsRedisErr(err); ok && e.IsNoScript() {
			missing = true
		}
		if err != nil || len(list) == 0 {
			continue
		}
		if answers[i].status, err = list[0].ToString(); err == nil {
			answers[i].rest = list[1:]
		}
	}
	if missing {
		_ = r.load(ctx, c) // for the next time
	}
	return answers
}
