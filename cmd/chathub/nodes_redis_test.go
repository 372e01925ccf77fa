package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lumos/backend/cmd/needs"
)

// redisServer is a redis-server process of one test.
type redisServer struct {
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	log  lockedBuffer
}

// durable has a Redis keep whatever it acknowledged.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

// startRedis starts a redis-server on a free port, with further arguments. It
// ends with the test.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	needs.Program(t, "redis-server")
	s := &redisServer{addr: freeAddr(t), dir: t.TempDir(), args: args}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// start starts the process, again after kill, and waits until it answers.
func (s *redisServer) start() error {
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", s.dir,
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return until("redis-server answers", func() bool { return s.do("PING") == "PONG" })
}

// signal stops the process, or has it go on: meanwhile it answers nothing.
func (s *redisServer) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

func (s *redisServer) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// do sends one command on a connection of its own, and returns the answer as
// text: "" for nil, an error's words for an error.
func (s *redisServer) do(args ...string) string {
	conn, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := writeCommand(conn, args); err != nil {
		return err.Error()
	}
	answer, err := readAnswer(bufio.NewReader(conn))
	if err != nil {
		return err.Error()
	}
	return answer
}

// writeCommand and readAnswer speak RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func writeCommand(w io.Writer, args []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func readAnswer(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return "", fmt.Errorf("no answer: %w", err)
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	n, _ := strconv.Atoi(rest)
	switch {
	case kind == '$' && n >= 0:
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	case kind == '*':
		var all []string
		for range max(n, 0) {
			one, err := readAnswer(r)
			if err != nil {
				return "", err
			}
			all = append(all, one)
		}
		return strings.Join(all, "\n"), nil
	case kind == '$':
		return "", nil
	}
	return rest, nil
}

// key names one key of a conversation, as the store does.
func (s *redisServer) key(conversation, name string) string {
	return "hub:{" + conversation + "}:" + name
}

// holder tells who has a conversation, as the store writes it.
func (s *redisServer) holder(conversation string) string {
	_, conn, _ := strings.Cut(s.do("HGET", s.key(conversation, "head"), "state"), `"conn":`)
	return conn
}
