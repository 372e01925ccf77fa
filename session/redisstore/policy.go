package redisstore

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// checkPolicy warns once if Redis evicts keys when it is full: conversations would
// lose some of theirs.
func (s *Store) checkPolicy(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session.Every(ctx, time.Second, func(context.Context) {
		c, err := s.connect(ctx)
		if err != nil {
			return
		}
		for _, node := range c.Nodes() {
			policy, err := maxmemoryPolicy(ctx, node)
			if err != nil {
				return
			}
			if policy != "" && policy != "noeviction" {
				s.cfg.Logger.Warn("Redis evicts keys when it is full; set maxmemory-policy noeviction",
					slog.String("maxmemory-policy", policy))
				break
			}
		}
		cancel()
	})
}

// maxmemoryPolicy asks one Redis. INFO, unlike CONFIG, is allowed at hosts
// that run Redis for others.
func maxmemoryPolicy(ctx context.Context, c rueidis.Client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := c.Do(ctx, c.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(policy), nil
		}
	}
	return "", nil
}
