package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// target is whom to load.
type target struct {
	Peer     string `enum:"hub,floor" default:"hub" help:"What it is: hub, or floor (chatload floor)."`
	URL      string `help:"One that runs already: ws://host:port or wss://host."`
	Token    string `env:"CHATLOAD_TOKEN" help:"Its bearer token (a JWT), when it wants one."`
	Sim      string `placeholder:"HOST:PORT" help:"With --url: serve the simulator here over plain HTTP, where that peer's MISTRAL_BASE_URL points. Without, replies are held against what the hub has stored, and nothing is known of when the model sent them."`
	Hub      string `default:"./chathub" help:"Without --url: the hub's program, to be started for the run."`
	Upstream string `enum:"h1,h2" default:"h1" help:"How a started peer reaches the simulator: h1, or h2 over TLS."`
	Redis    string `env:"REDIS_URL" default:"${redis}" help:"A started hub's store, a URL as in REDIS_URL; own: a redis-server started for the run; not given: memory. Of a hub at --url: the store that it has, to tell what that takes."`
	File     bool   `help:"A started hub keeps its conversations in a directory of the run's own (DATA_DIR; FSYNC is passed on)."`
	Profile  string `placeholder:"FILE" help:"Write a CPU profile of a started hub: 5 s, from 1 s into the conversations on."`
}

// measure loads a peer and reports. during, when not nil, is called when the
// conversations begin, in a goroutine of its own.
func (t *target) measure(ctx context.Context, l load, during func(context.Context, *run)) (*report, error) {
	l.fit(descriptors, os.Stderr)
	r, err := newRun(l)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "chatload")
	if err != nil {
		return nil, fmt.Errorf("a directory for the peer: %w", err)
	}
	defer os.RemoveAll(dir)
	if t.Redis == ownRedis {
		own := *t
		t = &own
		var stop func()
		if t.Redis, stop, err = startRedis(ctx, dir); err != nil {
			return nil, err
		}
		defer stop()
	}
	if t.Redis != "" && t.Peer == "hub" {
		if r.redis, err = probeRedis(t.Redis); err != nil {
			return nil, err
		}
		defer r.redis.client.Close()
	}
	if t.URL == "" || t.Sim != "" {
		up, err := startUpstream(r, t.Sim, t.Sim == "" && t.Upstream == "h2", dir)
		if err != nil {
			return nil, err
		}
		defer up.server.Close()
		r.peer, err = t.connect(ctx, up, r, dir)
		if err != nil {
			return nil, err
		}
	} else if r.peer, err = newPeer(t.URL, t.Peer == "floor", t.Token); err != nil {
		return nil, err
	} else if r.unknown = true; r.peer.floor {
		return nil, errors.New("floor: nothing tells what it should say; use --sim")
	}
	if r.peer.proc != nil {
		defer func() { r.peer.proc.stop(os.Kill) }()
	}
	return t.observe(ctx, r, during), nil
}

// connect addresses the peer at URL, or starts one.
func (t *target) connect(ctx context.Context, up *upstream, r *run, dir string) (*peer, error) {
	floor := t.Peer == "floor"
	if t.URL != "" {
		return newPeer(t.URL, floor, t.Token)
	}
	env := map[string]string{"MISTRAL_BASE_URL": up.url, "MISTRAL_API_KEY": "x"}
	if up.ca != "" {
		env["SSL_CERT_FILE"] = up.ca
	}
	path, args := t.Hub, []string(nil)
	if floor {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, err
		}
		args = []string{"floor"}
	} else {
		maps.Copy(env, map[string]string{
			"LOG_LEVEL": "warn", "REDIS_URL": t.Redis, "MAX_SESSIONS": "0", "MESSAGES_PER_MINUTE": "0", "CONNECTIONS_PER_CLIENT": "0",
			"MAX_TOKENS": strconv.Itoa(max(4096, r.Tokens)), "DRAIN_TIMEOUT": "2s",
			"MAX_REPLY_BYTES": strconv.Itoa(max(2<<20, 2*r.Tokens*r.TokenBytes)), "MAX_SESSION_BYTES": strconv.Itoa(max(8<<20, 4*r.Tokens*r.TokenBytes*r.Turns)),
		})
		switch {
		case t.File:
			r.file = &fileProbe{dir: filepath.Join(dir, "data")}
			env["DATA_DIR"] = r.file.dir
		case t.Redis == "":
			env["DATA_DIR"] = "none"
		}
		if t.Profile != "" {
			var err error
			if env["DEBUG_ADDR"], err = freeAddress(); err != nil {
				return nil, err
			}
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	proc, err := newProcess(path, args, env)
	if err != nil {
		return nil, err
	}
	proc.dir, proc.debug = dir, env["DEBUG_ADDR"]
	if err := proc.start(ctx); err != nil {
		return nil, err
	}
	p, err := newPeer("ws://"+proc.addr, floor, t.Token)
	p.proc = proc
	return p, err
}

// observe runs the load and takes what it costs.
func (t *target) observe(ctx context.Context, r *run, during func(context.Context, *run)) *report {
	rep := &report{Peer: r.peer.name(), Upstream: t.Upstream, Load: r.load}
	if r.unknown {
		rep.Upstream = "an upstream of its own"
	}
	proc, m := r.peer.proc, &rep.Memory
	m.Start = proc.usage().rss()
	stop := progress(r)
	held := r.idle(ctx)
	if m.Connections = held.count(); m.Connections > 0 && pause(ctx, r.Settle) {
		m.Idle = proc.usage().rss()
		m.PerIdle, m.TotalPer = (m.Idle-m.Start)/m.Connections, m.Idle/m.Connections
	}
	var beside sync.WaitGroup
	if t.Profile != "" && proc != nil && proc.debug != "" {
		beside.Go(func() {
			if err := proc.profile(t.Profile); err != nil {
				fmt.Fprintln(os.Stderr, "chatload: profile:", err)
			}
		})
	}
	if during != nil {
		beside.Go(func() { during(ctx, r) })
	}
	proc.usage().forgetPeak()
	own := usageOf(os.Getpid())
	if r.redis != nil {
		if err := r.redis.begin(ctx); err != nil {
			r.tally.of(0).fail(err)
			r.redis = nil
		}
	}
	r.file.begin()
	begin, before, ownBefore := time.Now(), proc.cpu(), own.cpu()
	done := make(chan struct{})
	go func() { r.talk(ctx); close(done) }()
	select {
	case <-done:
	case <-ctx.Done(): // interrupted: what is known so far counts
	}
	took := time.Since(begin)
	cpu, ownCPU := proc.cpu()-before, own.cpu()-ownBefore
	if r.redis != nil {
		var err error
		if rep.Redis, err = r.redis.end(context.WithoutCancel(ctx)); err != nil {
			r.tally.of(0).fail(err)
		}
	}
	rep.File = r.file.end()
	beside.Wait()
	rep.CPUSeconds, rep.LoadCPUSeconds = cpu.Seconds(), ownCPU.Seconds()
	m.Peak, m.End = proc.usage().peak(), proc.usage().rss()
	held.close()
	stop()
	rep.fill(r.tally.sum(), took, r.TokenBytes)
	return rep
}
