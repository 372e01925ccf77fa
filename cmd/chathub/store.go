package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"lumos/backend/hub"
	"lumos/backend/session"
	"lumos/backend/session/filestore"
	"lumos/backend/session/redisstore"
)

// store is where the conversations are, and what the log calls it.
type store struct {
	*session.Manager
	name    string
	counter session.Counter // for limits per client
	close   func() error    // to be called after Run
}

// newStore returns the store that cfg chooses.
func newStore(cfg config, metrics *hub.Metrics, registry *prometheus.Registry, log *slog.Logger) (store, error) {
	kept := session.Config{TTL: cfg.SessionTTL, Logger: log}
	if len(cfg.RedisURL) > 0 {
		r, err := redisstore.Open(redisstore.Config{
			URL: strings.Join(cfg.RedisURL, ","), TTL: cfg.SessionTTL, OnTrip: metrics.RedisAsked, Logger: log,
		})
		if err == nil {
			if err = r.Check(context.Background()); err != nil {
				r.Close()
			}
		}
		if err != nil {
			return store{}, fmt.Errorf("REDIS_URL: %w", err)
		}
		return store{session.NewManager(r, r.Kind(), kept), "redis", r, func() error { r.Close(); return nil }}, nil
	}
	kept.Sessions, kept.Bytes = cfg.MaxSessions, storeBytes(cfg)
	var s store
	if cfg.DataDir == noDataDir {
		s = store{session.NewMemory(kept), "memory: a restart loses them", new(session.Counts), func() error { return nil }}
	} else {
		sync, err := filestore.ParseSyncMode(cfg.Fsync)
		if err != nil {
			return store{}, err
		}
		file, err := filestore.Open(cfg.DataDir, filestore.Config{Config: kept, Sync: sync, Repair: cfg.Repair})
		if err != nil {
			return store{}, fmt.Errorf("DATA_DIR: %w (set DATA_DIR to a directory that this hub alone may write; with DATA_DIR=none conversations are in memory)", err)
		}
		s = store{file.Manager, cfg.DataDir, new(session.Counts), file.Close}
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "chathub", Name: "sessions", Help: "Conversations in memory.",
	}, func() float64 { return float64(s.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "chathub", Name: "store_bytes", Help: "Memory that conversations take, about; see MAX_STORE_BYTES.",
	}, func() float64 { return float64(s.Bytes()) }))
	return s, nil
}
