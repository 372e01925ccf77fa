package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// store is where the conversations are, and what the log calls it.
type store struct {
	session.Store
	name    string
	counter session.Counter // of what clients do
	close   func()
}

// newStore returns the store that cfg chooses. Without REDIS_URL no Redis code runs.
func newStore(cfg config, metrics *hub.Metrics, registry *prometheus.Registry, log *slog.Logger) (store, error) {
	if len(cfg.RedisURL) == 0 {
		memory := session.NewMemory(cfg.SessionTTL, cfg.MaxSessions)
		memory.Logger = log
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "chathub", Name: "sessions", Help: "Conversations in memory.",
		}, func() float64 { return float64(memory.Len()) }))
		return store{memory, "memory", new(session.Counts), func() {}}, nil
	}
	r, err := session.NewRedis(session.RedisConfig{
		URL: strings.Join(cfg.RedisURL, ","), TTL: cfg.SessionTTL, OnTrip: metrics.RedisAsked, Logger: log,
	})
	if err != nil {
		return store{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	if err := r.Check(context.Background()); err != nil {
		r.Close()
		return store{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	return store{r, "redis", r.Counter(), r.Close}, nil
}
