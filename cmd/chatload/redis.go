package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"lumos/backend/session/redisstore"
)

// pingEvery is the pace at which round trips to Redis are measured: often
// enough for a p99 within seconds, and next to nothing beside what a hub sends.
const pingEvery = 10 * time.Millisecond

// redisCost is what the Redis of a hub took during the conversations. Others
// that use it at the same time are counted with them.
type redisCost struct {
	Version       string      `json:"version"`
	AppendOnly    bool        `json:"append_only"` // it writes a file of what it acknowledges
	CPUSeconds    float64     `json:"cpu_seconds"`
	CPUPerMillion float64     `json:"cpu_seconds_per_million_tokens"`
	Commands      int         `json:"commands"` // those that scripts call included
	Scripts       int         `json:"scripts"`  // that the hub had it run
	CommandsPer   float64     `json:"commands_per_thousand_tokens"`
	ScriptsPer    float64     `json:"scripts_per_thousand_tokens"`
	RoundTrip     percentiles `json:"round_trip"` // of a PING
}

// fill relates the cost to the tokens.
func (c *redisCost) fill(tokens int) {
	if tokens > 0 {
		c.CPUPerMillion = c.CPUSeconds / float64(tokens) * 1e6
		c.CommandsPer = float64(c.Commands) / float64(tokens) * 1e3
		c.ScriptsPer = float64(c.Scripts) / float64(tokens) * 1e3
	}
}

// String names the Redis.
func (c *redisCost) String() string {
	if c.AppendOnly {
		return "Redis " + c.Version + ", appendonly yes"
	}
	return "Redis " + c.Version + ", appendonly no"
}

// redisProbe looks at a Redis from beside, on connections of its own.
type redisProbe struct {
	client rueidis.Client
	before redisInfo
	stop   func() // ends the pings
	pings  timing // with sent, the pinging goroutine's until stop has returned
	sent   int
}

// probeRedis connects to the Redis at a hub's REDIS_URL.
func probeRedis(url string) (*redisProbe, error) {
	option, err := redisstore.Option(url)
	if err != nil {
		return nil, err
	}
	option.PipelineMultiplex = -1 // one connection: none is opened later, and counted
	client, err := rueidis.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return &redisProbe{client: client, pings: newTiming()}, nil
}

// begin notes where Redis stands, and pings it from then on until end.
func (p *redisProbe) begin(ctx context.Context) (err error) {
	if p.before, err = askRedis(ctx, p.client); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var pinging sync.WaitGroup
	pinging.Go(func() { p.ping(ctx) })
	p.stop = func() { cancel(); pinging.Wait() }
	return nil
}

// ping measures round trips until ctx ends.
func (p *redisProbe) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		if p.client.Do(context.WithoutCancel(ctx), p.client.B().Ping().Build()).Error() == nil {
			p.pings.add(time.Since(began), 1)
		}
		p.sent++
	}
}

// end tells what Redis took since begin.
func (p *redisProbe) end(ctx context.Context) (*redisCost, error) {
	p.stop()
	now, err := askRedis(ctx, p.client)
	if err != nil {
		return nil, err
	}
	own := p.sent + len(p.client.Nodes()) // the pings, and what begin asked
	return &redisCost{
		Version: now.version, AppendOnly: now.appendOnly,
		CPUSeconds: now.cpu - p.before.cpu,
		Commands:   int(now.commands-p.before.commands) - own,
		Scripts:    int(now.scripts - p.before.scripts),
		RoundTrip:  percentilesOf(p.pings),
	}, nil
}
