package redisstore

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"lumos/backend/cmd/needs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(needs.M{M: m},
		// A cluster's client lets this one sleep for five seconds behind its end.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		// And this one for a second, where it could not begin.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

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
	needs.Program(t, "redis-server")
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
