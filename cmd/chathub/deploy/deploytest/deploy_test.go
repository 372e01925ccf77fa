// Package deploytest reads what is in cmd/chathub/deploy with the types of those who
// will read it. It is a module of its own, so that the hub does not depend on them.
package deploytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// root is the repository's.
const root = "../../../.."

// hub is the program, built as the Dockerfile builds it.
var hub string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "chathub-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	hub = filepath.Join(dir, "chathub")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", hub, "./cmd/chathub")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// drainTimeout is DRAIN_TIMEOUT unless it is set.
const drainTimeout = 30 * time.Second

// settings are the variables that the hub reads.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	help, err := exec.Command(hub, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, flag := range regexp.MustCompile(`(?m)^ +--([a-z-]+)=`).FindAllSubmatch(help, -1) {
		names[strings.ToUpper(strings.ReplaceAll(string(flag[1]), "-", "_"))] = true
	}
	if len(names) < 20 {
		t.Fatalf("only %d settings in\n%s", len(names), help)
	}
	return names
}

// read returns a file of deploy.
func read(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// eventually polls a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, tick := time.NewTimer(time.Minute), time.NewTicker(10*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			t.Fatalf("in vain waited until %s", what)
		case <-tick.C:
		}
	}
}

// freePort is a loopback port that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
