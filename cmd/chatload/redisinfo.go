package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// redisInfo is what Redis tells of itself, of a cluster the sum.
type redisInfo struct {
	version    string
	appendOnly bool
	cpu        float64 // seconds, children included
	commands   float64
	scripts    float64
}

// askRedis asks every node.
func askRedis(ctx context.Context, c rueidis.Client) (sum redisInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, node := range c.Nodes() {
		text, err := node.Do(ctx, node.B().Info().Section("server", "persistence", "cpu", "stats", "commandstats").Build()).ToString()
		if err != nil {
			return sum, fmt.Errorf("redis: %w", err)
		}
		sum.add(text)
	}
	return sum, nil
}

// add takes the answer of one node to INFO.
func (i *redisInfo) add(text string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			i.version = value
		case "aof_enabled":
			i.appendOnly = value == "1"
		case "used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children":
			i.cpu += infoNumber(value)
		case "total_commands_processed":
			i.commands += infoNumber(value)
		case "cmdstat_evalsha":
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			i.scripts += infoNumber(calls)
		}
	}
}

// infoNumber reads a number of INFO's; what is none counts as 0.
func infoNumber(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64)
	return f
}
