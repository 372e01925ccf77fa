package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 45 * time.Second

// soon is how long what must not wait for anything may take at most.
const soon = 7 * time.Second

// node is a chathub process. It keeps its address when it is started again.
type node struct {
	name string
	addr string // host:port
	env  []string
	path string
	dir  string
	log  lockedBuffer

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

// start starts the process, and returns when it takes work.
func (n *node) start() error {
	cmd := exec.Command(n.path)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = n.env, n.dir, &n.log, &n.log
	if err := cmd.Start(); err != nil {
		return err
	}
	n.mu.Lock()
	n.cmd = cmd
	n.mu.Unlock()
	return until("node "+n.name+" listens", func() bool { return n.status("/healthz") == http.StatusOK })
}

// status is what a GET is answered with; 0: nothing answers.
func (n *node) status(path string) int {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + n.addr + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// signal sends the process a signal.
func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

// kill is kill -9. It returns when the process is gone.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	n.wait()
}

// wait returns when the process has ended.
func (n *node) wait() {
	n.mu.Lock()
	cmd := n.cmd
	n.cmd = nil
	n.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait()
	}
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

// until polls a condition, which must hold within patience.
func until(what string, holds func() bool) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			return fmt.Errorf("in vain waited until %s", what)
		case <-tick.C:
		}
	}
	return nil
}

// eventually is until for tests.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if err := until(what, holds); err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
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

// says tells whether a line of the log holds all of the words.
func (b *lockedBuffer) says(words ...string) bool {
lines:
	for line := range strings.Lines(b.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return true
	}
	return false
}
