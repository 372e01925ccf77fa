package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"
)

// ownRedis, in place of a URL, asks for a redis-server of the run's own.
const ownRedis = "own"

var errNoRedis = errors.New("no redis-server on the PATH: install Redis 7, or name one that runs with --redis redis://host:port")

// startRedis starts a redis-server on a free port of loopback, which keeps
// nothing on disk. It runs until stop is called.
func startRedis(ctx context.Context, dir string) (url string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, errNoRedis
	}
	addr, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for err = pingRedis(addr); err != nil; err = pingRedis(addr) {
		if !pause(ctx, 20*time.Millisecond) {
			stop()
			return "", nil, fmt.Errorf("%s does not answer: %w", path, err)
		}
	}
	return "redis://" + addr, stop, nil
}

// pingRedis asks a Redis whether it takes commands.
func pingRedis(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != "+PONG\r\n" {
		err = fmt.Errorf("it says %q", answer)
	}
	return err
}
