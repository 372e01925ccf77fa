package httpapi_test

import (
	"io"
	"log/slog"
	"net"
	"os/exec"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"lumos/backend/session"
	"lumos/backend/session/redisstore"
)

// startRedis starts a redis-server, or one in this process where there is none
// on the PATH, and returns its URL.
func startRedis(tb testing.TB) string {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis://" + miniredis.RunT(tb).Addr()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", tb.TempDir())
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	eventually(tb, "redis-server answers", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		answer := make([]byte, 5)
		_, err = io.WriteString(c, "PING\r\n")
		if err == nil {
			_, err = io.ReadFull(c, answer)
		}
		return err == nil && string(answer) == "+PONG"
	})
	return "redis://" + addr
}

// exactStore returns a node's way to the Redis at url, or a memory of its own.
func exactStore(tb testing.TB, url string, log *slog.Logger) (m *session.Manager, closed func()) {
	tb.Helper()
	if url == "" {
		return session.NewMemory(session.Config{}), func() {}
	}
	s, err := redisstore.Open(redisstore.Config{URL: url, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	return session.NewManager(s, s.Kind(), session.Config{Logger: log}), s.Close
}

// exactNodes are two nodes on one Redis, which have one model.
func exactNodes(tb testing.TB) []*exactServer {
	tb.Helper()
	url := startRedis(tb)
	a := newExactServer(tb, exactOptions{redis: url})
	return []*exactServer{a, newExactServer(tb, exactOptions{redis: url, voice: a.answer})}
}
