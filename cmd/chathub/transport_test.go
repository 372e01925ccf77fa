package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lumos/backend/cmd/needs"
	"lumos/backend/llm/mistralsim"
)

// TestTransport runs /transport.js under the AI SDK, versions 5.0.60 to
// 7.0.173, in Node against the program: httpapi/interop/transport/check.mjs.
func TestTransport(t *testing.T) {
	dir := filepath.Join("..", "..", "httpapi", "interop", "transport")
	needs.Program(t, "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	c := &cluster{model: &simulator{url: startTalker(t)}}
	c.join(t, 1, "", "REDIS_URL=")
	check := exec.Command("node", "check.mjs", "http://"+c.nodes[0].addr)
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("node check.mjs: %v\n%s", err, out)
	}
}

// startTalker is a model that says something else every time, long enough to be
// interrupted. It returns its address.
func startTalker(t testing.TB) string {
	t.Helper()
	var replies atomic.Int64
	server := httptest.NewServer(mistralsim.New(mistralsim.Config{Record: -1, Answer: func(r *mistralsim.Request) mistralsim.Answer {
		n := replies.Add(1)
		tokens := []string{fmt.Sprintf("Réponse %d: ", n)}
		for i := range 120 {
			tokens = append(tokens, fmt.Sprintf("wörd%d 😀 ", i))
		}
		pace := 2 * time.Millisecond
		if r.LastUser() == "Are you a computer?" { // a page is loaded amid this one
			pace = 40 * time.Millisecond
		}
		return mistralsim.Answer{Tokens: tokens, Pace: pace}
	}}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}
