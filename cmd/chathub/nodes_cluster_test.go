package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// cluster is some nodes over one Redis and one model.
type cluster struct {
	redis *redisServer
	model *simulator
	nodes []*node
}

// startCluster starts a Redis and n nodes, which end with the test. More
// settings are NAME=value.
func startCluster(t testing.TB, n int, settings ...string) *cluster {
	t.Helper()
	c := &cluster{redis: startRedis(t, durable...), model: startSimulated(t)}
	c.join(t, n, c.redis.addr, settings...)
	return c
}

// join adds n nodes, which reach Redis at an address; "": they have none, and keep
// conversations in a directory of their own.
func (c *cluster) join(t testing.TB, n int, redis string, settings ...string) {
	t.Helper()
	path := builtBinary(t)
	if redis != "" {
		settings = append(settings, "REDIS_URL=redis://"+redis)
	}
	for range n {
		addr := freeAddr(t)
		host, port, _ := net.SplitHostPort(addr)
		one := &node{name: strconv.Itoa(len(c.nodes)), addr: addr, path: path, dir: t.TempDir()}
		one.env = append([]string{
			"HOST=" + host, "PORT=" + port,
			"MISTRAL_BASE_URL=" + c.model.url, "MISTRAL_API_KEY=none", "MESSAGES_PER_MINUTE=0",
			"GOMAXPROCS=1", "GORACE=halt_on_error=1",
		}, settings...)
		one.env = append(one.env, slices.DeleteFunc(os.Environ(), isSetting)...)
		if err := one.start(); err != nil {
			t.Fatalf("%v\n%s", err, one.log.String())
		}
		c.nodes = append(c.nodes, one)
		t.Cleanup(func() {
			one.kill()
			log := one.log.String()
			if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
				t.Errorf("log of node %s:\n%s", one.name, log)
			}
			if t.Failed() { // go test -artifacts -outputdir keeps it
				_ = os.WriteFile(filepath.Join(t.ArtifactDir(), "node-"+one.name+".log"), []byte(log), 0o600)
			}
		})
	}
}

// isSetting tells whether a variable of this environment would configure a hub.
func isSetting(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	return slices.Contains(settingNames(), name)
}

// say plans a reply that halts before a token, opens a session on a node,
// connects there, says it, and reads until all before the halt is there.
func (c *cluster) say(t testing.TB, at *node, seed uint64, tokens, halt int) (*page, *plan) {
	t.Helper()
	p := c.model.plan(seed, tokens, 0).halt(halt)
	g := newPage(t)
	g.open(t, at)
	g.connect(t, at)
	g.send(t, frame{Type: "message", ID: newID(), Content: p.said})
	g.readTo(t, p.before(halt))
	return g, p
}

// pause is SIGSTOP.
func (n *node) pause() { n.signal(syscall.SIGSTOP) }

// resume is SIGCONT.
func (n *node) resume() { n.signal(syscall.SIGCONT) }

// gone tells when the model's client was seen to leave a request.
func gone(r *mistralsim.Request) bool {
	select {
	case <-r.Done():
		return !r.Gone().IsZero()
	default:
		return false
	}
}
