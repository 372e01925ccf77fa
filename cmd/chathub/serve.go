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
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/static"
)

// serve runs the server until drain ends, and then until everything is said
// that can be said within DRAIN_TIMEOUT, or until kill ends.
func serve(drain, kill context.Context, cfg config, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	currentBuild().register(registry)
	metrics := hub.NewMetrics(registry)
	tokens, err := newTokens(cfg, log)
	if err != nil {
		return err
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
	closed := false
	defer func() {
		if !closed {
			_ = store.close()
		}
	}()
	h := hub.New(hub.Config{
		Sessions: store.Manager, Model: m.Model, ModelName: m.name,
		SystemPrompt: cfg.SystemPrompt, MaxTokens: cfg.MaxTokens, MaxContextTokens: cfg.MaxContextTokens,
		MaxMessageBytes: cfg.MaxMessageBytes, AbandonAfter: cfg.AbandonAfter,
		Limits: limits(cfg, store.counter), Metrics: metrics, Logger: log,
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
		go func() { _ = newServer(httpapi.GuardHost(http.DefaultServeMux, nil), log).Serve(debug) }()
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
	case <-drain.Done():
		log.Info("draining: running replies may end", "at_most_s", cfg.DrainTimeout.Seconds(), "signal_again", "ends at once")
		ctx, cancel := context.WithTimeout(kill, cfg.DrainTimeout)
		h.Drain(ctx)
		cancel()
		// What is still being answered has its reply by now.
		ctx, cancel = context.WithTimeout(kill, 2*time.Second)
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		cancel()
	case <-hubCtx.Done():
	}
	stopHub()
	err = g.Wait()
	closed = true
	err = errors.Join(err, store.close())
	log.Info("chathub has ended")
	return err
}

// boundToLoopback tells whether only this machine can reach the listener, whatever
// name its address was given by.
func boundToLoopback(ln net.Listener) bool {
	addr, ok := ln.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// newServer returns a server whose limits of time do not end streams: there is
// none on writing, which the handlers bound by progress.
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
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip, err := netip.ParseAddr(host); host == "" || isLoopback(host) || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
