package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lumos/backend/cmd/needs"
)

// needRedis skips a test on a machine without a redis-server.
func needRedis(t *testing.T) {
	t.Helper()
	needs.Program(t, "redis-server")
}

func TestRedisInfoAddsUp(t *testing.T) {
	var sum redisInfo
	for range 2 {
		sum.add("# Server\r\nredis_version:7.0.15\r\n\r\naof_enabled:1\r\nused_cpu_sys:0.25\r\nused_cpu_user:1.5\r\n" +
			"used_cpu_sys_children:0.25\r\nused_cpu_user_children:1\r\nused_cpu_sys_main_thread:9\r\n" +
			"total_commands_processed:1000\r\ncmdstat_evalsha:calls=40,usec=9,usec_per_call=0.2\r\ncmdstat_ping:calls=7,usec=1\r\n")
	}
	if want := (redisInfo{"7.0.15", true, 6, 2000, 80}); sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}

func TestRedisProbe(t *testing.T) {
	needRedis(t)
	url, stop, err := startRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p, err := probeRedis(url)
	if err != nil {
		t.Fatal(err)
	}
	defer p.client.Close()
	if err := p.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := p.client.Do(t.Context(), p.client.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	cost, err := p.end(t.Context())
	if err != nil || cost.Commands != 50 || cost.Scripts != 0 || cost.RoundTrip.Count != int64(p.sent) || !strings.HasSuffix(cost.String(), ", appendonly no") {
		t.Errorf("got %s: %+v, %v", cost, *cost, err)
	}
	stop()
	if err := p.begin(t.Context()); err == nil {
		t.Error("a Redis that is away was asked")
	}
}

func TestNoRedis(t *testing.T) {
	if _, err := probeRedis("redis://u:secret@127.0.0.1:1/0"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := startRedis(t.Context(), t.TempDir()); !errors.Is(err, errNoRedis) {
		t.Errorf("got %v", err)
	}
	c := &redisCmd{ratioCmd{Rounds: 1, loadCmd: loadCmd{target: target{Peer: "hub", URL: "ws://localhost:1"}}}}
	if err := c.Run(context.Background()); err == nil {
		t.Error("ratio redis of a hub that runs already")
	}
}

func TestRedisPrice(t *testing.T) {
	rep := func(cpu, p99 float64) *report { return &report{CPUPerMillion: cpu, Added: percentiles{P99: p99}} }
	with := func(cpu, p99, redis, trip float64) *report {
		r := rep(cpu, p99)
		r.Redis = &redisCost{Version: "7", CPUPerMillion: redis, CommandsPer: 60, RoundTrip: percentiles{P50: trip, P99: 2 * trip}}
		return r
	}
	p := newRedisPrice([]*report{rep(20, 1), rep(10, 9)}, []*report{with(18, 5, 6, 0.5), with(22, 7, 8, 1.5)})
	if p.CPURatio != 27.0/15 || p.TripP50 != 1 || p.LateByP50 != 5 || p.LateByP99 != 4 || p.CommandsPer != 60 {
		t.Errorf("got %+v", p)
	}
	if hub := p.Rows[0]; hub.Memory != 15 || hub.Redis != 20 || hub.More != 5 || hub.Ratio != 20.0/15 {
		t.Errorf("got %+v", hub)
	}
	if redis := p.Rows[1]; redis.Redis != 7 || redis.Ratio != 0 {
		t.Errorf("got %+v", redis)
	}
}

// testRedis tells what a hub's Redis takes, small.
func testRedis(t *testing.T, hub string) {
	needRedis(t)
	load := []string{hub, "--conversations=4", "--tokens=40", "--ramp=0"}
	out := chatload(t, append([]string{"ratio", "redis", "--rounds=2", "--json"}, load...)...)
	var ratio struct {
		Price         redisPrice
		Memory, Redis []report
	}
	if err := json.Unmarshal(out, &ratio); err != nil || len(ratio.Memory) != 2 || len(ratio.Redis) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for _, rep := range ratio.Redis {
		if r := rep.Redis; r == nil || r.Scripts < 8 || r.Commands < r.Scripts || r.RoundTrip.Count == 0 {
			t.Errorf("got %+v", rep.Redis)
		}
	}
	if ratio.Memory[0].Redis != nil || ratio.Price.ScriptsPer == 0 {
		t.Errorf("got %+v", ratio.Price)
	}
	out = chatload(t, append([]string{"ratio", "redis", "--rounds=1"}, load...)...)
	for _, told := range []string{"in memory  with Redis", "asked: at most 1.5", "asked: below 3", "per thousand tokens"} {
		if !bytes.Contains(out, []byte(told)) {
			t.Errorf("%q is not told in\n%s", told, out)
		}
	}
	if out = chatload(t, append([]string{"paced", "--redis=own"}, load...)...); !bytes.Contains(out, []byte("\nredis    CPU")) {
		t.Errorf("got %s", out)
	}
	var rep report
	out = chatload(t, "storm", hub, "--redis=own", "--conversations=20", "--tokens=50", "--pace=50", "--after=300ms", "--json")
	if err := json.Unmarshal(out, &rep); err != nil || rep.Replies != 20 || rep.Drops == 0 || rep.Resume.Count != int64(rep.Drops) || rep.Refused != 0 {
		t.Errorf("storm: %v in %s", err, out)
	}
}
