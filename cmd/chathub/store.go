package main

import (
	"log/slog"
	"strings"

	"lumos/backend/session"
)

// store is where the conversations are, and what the log calls it.
type store struct {
	session.Store
	name  string
	close func()
}

// newStore returns the store that cfg chooses. Without REDIS_URL no Redis code runs.
func newStore(cfg config, log *slog.Logger) (store, error) {
	if len(cfg.RedisURL) == 0 {
		return store{session.NewMemory(cfg.SessionTTL, cfg.MaxSessions), "memory", func() {}}, nil
	}
	r, err := session.NewRedis(session.RedisConfig{
		URL: strings.Join(cfg.RedisURL, ","), TTL: cfg.SessionTTL, Logger: log,
	})
	if err != nil {
		return store{}, err
	}
	return store{r, "redis", r.Close}, nil
}
