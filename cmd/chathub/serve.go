package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // on http.DefaultServeMux, which only DEBUG_ADDR serves
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/static"
)

// serve runs the server until a signal comes, and then until it is drained, until
// DRAIN_TIMEOUT has passed or until a second signal comes.
func serve(signals <-chan os.Signal, cfg config, log *slog.Logger) (err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	currentBuild().register(registry)
	metrics := hub.NewMetrics(registry)
	var tokens *httpapi.Tokens // nil: requests need no token
	if cfg.AuthJWTSecret != "" || cfg.AuthJWKSURL != "" {
		if tokens, err = httpapi.NewTokens(httpapi.TokenConfig{
			Secret: cfg.AuthJWTSecret, JWKSURL: cfg.AuthJWKSURL,
			Issuer: cfg.AuthJWTIssuer, Audience: cfg.AuthJWTAudience, Logger: log,
		}); err != nil {
			return err
		}
	}
	m, err := newModel(cfg, metrics, log)
	if err != nil {
		return err
	}
	defer m.close()
	store, err := newStore(cfg, metrics, registry, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	h := hub.New(hub.Config{
		Sessions: store.Manager, Model: m.Model, ModelName: m.name,
		SystemPrompt: cfg.SystemPrompt, MaxTokens: cfg.MaxTokens, MaxContextTokens: cfg.MaxContextTokens,
		MaxMessageBytes: cfg.MaxMessageBytes, AbandonAfter: cfg.AbandonAfter,
		Limits: hub.Limits{
			MessagesPerMinute: cfg.MessagesPerMinute, RepliesPerClient: cfg.MaxRepliesPerClient,
			ConnectionsPerClient: cfg.ConnectionsPerClient, Connections: cfg.MaxConnections,
			SessionMessages: cfg.MaxSessionMessages, SessionBytes: cfg.MaxSessionBytes, ReplyBytes: cfg.MaxReplyBytes,
			Upstream: cfg.MaxUpstream, Counter: store.counter,
		},
		Metrics: metrics, Logger: log,
	})
	ln, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return fmt.Errorf("cannot listen: %w (PORT and HOST choose another address)", err)
	}
	srv := newServer(httpapi.New(httpapi.Config{
		Hub: h, Sessions: store.Manager, Static: static.Handler(),
		AllowedOrigins: cfg.AllowedOrigins,
		LoopbackOnly:   boundToLoopback(ln), Tokens: tokens, TrustedProxies: cfg.TrustedProxies,
		Registry: registry, Logger: log,
	}), log)

	if cfg.DebugAddr != "" {
		debug, err := net.Listen("tcp", cfg.DebugAddr)
		if err != nil {
			return fmt.Errorf("cannot listen on DEBUG_ADDR: %w", err)
		}
		defer debug.Close()
		if !boundToLoopback(debug) {
			return fmt.Errorf("DEBUG_ADDR: %s is no loopback address, and pprof is for this machine alone", debug.Addr())
		}
		go func() { _ = newServer(httpapi.GuardHost(http.DefaultServeMux, nil, log), log).Serve(debug) }()
		log.Info("pprof", "url", "http://"+debug.Addr().String()+"/debug/pprof/")
	}

	// Each stage ends the next: the server, then the hub, then the store.
	hubCtx, stopHub := context.WithCancel(context.Background())
	storeCtx, stopStore := context.WithCancel(context.Background())
	defer stopHub()
	defer stopStore()
	var g errgroup.Group
	g.Go(func() error { return store.Run(storeCtx) })
	g.Go(func() error { giveBackMemory(storeCtx); return nil })
	g.Go(func() error { defer stopStore(); return h.Run(hubCtx) })
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			stopHub()
			return err
		}
		return nil
	})
	log.Info("chathub listens", "url", visit(cfg.Host, ln.Addr()), "model", m.name, "conversations", store.name)

	select {
	case <-signals:
		kill, killNow := context.WithCancel(context.Background())
		defer killNow()
		go func() {
			select {
			case <-signals:
				killNow()
			case <-kill.Done():
			}
		}()
		log.Info("draining: running replies may end", "at_most_s", cfg.DrainTimeout.Seconds(), "signal_again", "ends at once")
		ctx, cancel := context.WithTimeout(kill, cfg.DrainTimeout)
		h.Drain(ctx)
		cancel()
		// Replies have ended, so requests that are still open need only a moment.
		ctx, cancel = context.WithTimeout(kill, 2*time.Second)
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		cancel()
	case <-hubCtx.Done():
	}
	stopHub()
	return g.Wait()
}

// boundToLoopback tells whether only this machine can reach the listener, whatever
// name its address was given by.
func boundToLoopback(ln net.Listener) bool {
	addr, ok := ln.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// newServer returns a server whose timeouts do not end streams: it has no write timeout, since
// httpapi sets write deadlines that progress extends.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func newLogger(cfg config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// visit is the address that a person opens in a browser.
func visit(host string, addr net.Addr) string {
	_, port, _ := net.SplitHostPort(addr.String()) // TCP's always have one
	if ip, err := netip.ParseAddr(host); host == "" || isLoopback(host) || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
