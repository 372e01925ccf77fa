package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"
)

// redisServer is a redis-server process of one test.
type redisServer struct {
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  *lockedBuffer
}

// startRedis starts a redis-server on a free port, with further arguments. It
// keeps nothing on disk unless they say so.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no redis-server on the PATH")
	}
	s := &redisServer{addr: freeAddr(t), dir: t.TempDir(), args: args}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// freeAddr finds a loopback port that nothing listens on, below the ports that the kernel
// gives to clients (32768 and up on Linux): one of those may be taken again
// before the server listens, and who dials one on which nobody listens may be
// connected with itself.
func freeAddr(t testing.TB) string {
	t.Helper()
	for tries := 1; ; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
		if tries == 100 {
			t.Fatal(err)
		}
	}
}

// start starts the process, again after kill, and waits until it answers.
func (s *redisServer) start(t testing.TB) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.log = &lockedBuffer{}
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", s.dir,
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "redis-server answers", func() bool { return s.ask("PING") == "+PONG" })
}

// ask sends one inline command on a connection of its own and returns the
// answer, as far as one read brings it.
func (s *redisServer) ask(command string) string {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return err.Error()
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(buf[:n]))
}

func (s *redisServer) kill() {
	if s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// newNode returns a node on a Redis, which runs until the test ends.
func newNode(t testing.TB, cfg RedisConfig) *node {
	t.Helper()
	n := &node{log: &lockedBuffer{}, gone: make(chan string, 100)}
	cfg.Logger = slog.New(slog.NewTextHandler(n.log, nil))
	r, err := NewRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Redis = r
	r.limit = 15 * time.Second // the machine may be busy with other tests
	// A cluster is known by its many addresses here: miniredis pretends to be
	// one, and would be reached past a proxy.
	r.option.ForceSingleClient = !strings.Contains(cfg.URL, ",")
	r.Watch(n)
	ctx, cancel := context.WithCancel(context.Background())
	n.ctx = ctx
	var run sync.WaitGroup
	run.Go(func() {
		if err := r.Run(ctx, n.told("gone")); err != nil {
			t.Error(err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		r.Close()
	})
	t.Cleanup(n.stop)
	return n
}

// onRedis runs a test on miniredis and on a real Redis.
func onRedis(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("miniredis", func(t *testing.T) {
		test(t, "redis://"+miniredis.RunT(t).Addr())
	})
	t.Run("redis", func(t *testing.T) {
		test(t, "redis://"+startRedis(t).addr)
	})
}

// eventually polls until f holds, which it must within a generous time.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-limit.C:
			t.Fatalf("in vain waited until %s", what)
		case <-tick.C:
		}
	}
}

// raw runs a command on the Redis of a node.
func (n *node) raw(t testing.TB, args ...string) rueidis.RedisResult {
	t.Helper()
	c, err := n.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var result rueidis.RedisResult
	for range 10 {
		result = c.Do(t.Context(), c.B().Arbitrary(args[0]).Keys(args[1:2]...).Args(args[2:]...).Build())
		if _, answered := rueidis.IsRedisErr(result.Error()); answered || result.Error() == nil {
			break // else the machine was too busy for its timeout
		}
	}
	return result
}

// hasty gives up as soon as a node of the hub does.
func (n *node) hasty() *node {
	n.limit = stepTimeout
	return n
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (n *node) String() string { return fmt.Sprintf("node %s", n.Redis.node) }
