package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lumos/backend/cmd/needs"
)

// TestFirefox has the page's journeys in Firefox: talk, stop, reload, offline,
// two tabs (httpapi/interop/firefox/journeys.mjs). Without Firefox or npm it is
// skipped, except in CI.
func TestFirefox(t *testing.T) {
	dir := filepath.Join("..", "..", "httpapi", "interop", "firefox")
	firefox := needs.Program(t, "firefox-esr", "firefox")
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
	journeys := exec.Command("node", "journeys.mjs", "http://"+c.nodes[0].addr, firefox)
	journeys.Dir = dir
	out, err := journeys.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("node journeys.mjs: %v", err)
	}
}
