package session

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// countedFor is how long a reply counts whose node died. One that runs longer
// stops counting.
const countedFor = 15 * time.Minute

// takeScript is the generic cell rate algorithm: one number a key, the time at
// which the bucket is full again. KEYS: the key. ARGV: things a minute. It
// returns 0 or the microseconds to wait. Asked again because the answer was
// lost, it counts twice, which errs on the safe side.
var takeScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now, minute = tonumber(t[1]) * 1000000 + tonumber(t[2]), 60000000
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0)) + minute / tonumber(ARGV[1])
if full - now > minute + 1 then return math.ceil(full - now - minute) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
`)

// enterScript keeps the replies of a client by the time until which they count.
// KEYS: the key. ARGV: reply, most, ms. It returns 1 if the reply counts.
var enterScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

// fullScript tells whether enterScript would refuse one more. KEYS: the key. ARGV:
// most.
var fullScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local running = redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
return running >= tonumber(ARGV[1]) and 1 or 0
`)

// Counter returns a Counter that all nodes share. It counts in keys of its own,
// take:<key> and running:<key>, which run out by themselves.
func (r *Redis) Counter() Counter { return redisCounts{r} }

type redisCounts struct{ r *Redis }

// Take implements Counter.
func (c redisCounts) Take(ctx context.Context, key string, perMinute int) (time.Duration, error) {
	wait, err := c.run(ctx, takeScript, "take:"+key, strconv.Itoa(perMinute))
	return time.Duration(wait) * time.Microsecond, err
}

// Enter implements Counter.
func (c redisCounts) Enter(ctx context.Context, key string, reply uuid.UUID, most int) (bool, error) {
	counts, err := c.run(ctx, enterScript, "running:"+key, reply.String(), strconv.Itoa(most), millis(countedFor))
	return counts == 1, err
}

// Full implements Counter.
func (c redisCounts) Full(ctx context.Context, key string, most int) (bool, error) {
	full, err := c.run(ctx, fullScript, "running:"+key, strconv.Itoa(most))
	return full == 1, err
}

// Leave implements Counter. When it fails, the reply counts until its time is over.
func (c redisCounts) Leave(key string, reply uuid.UUID) {
	c.r.tasks.Go(func() {
		c.r.rescue("a count", func() {
			_ = c.r.try(context.Background(), func(ctx context.Context, client rueidis.Client) error {
				return client.Do(ctx, client.B().Zrem().Key("running:"+key).Member(reply.String()).Build()).Error()
			})
		})
	})
}

func (c redisCounts) run(ctx context.Context, s *rueidis.Lua, key string, args ...string) (n int64, err error) {
	err = c.r.try(ctx, func(ctx context.Context, client rueidis.Client) error {
		began := time.Now()
		n, err = s.Exec(ctx, client, []string{key}, args).AsInt64()
		c.r.cfg.OnTrip("count", time.Since(began), err != nil)
		return err
	})
	return n, err
}
