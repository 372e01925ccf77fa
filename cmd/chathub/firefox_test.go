package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFirefox has the page's journeys in Firefox: talk, stop, reload, offline,
// two tabs (httpapi/interop/firefox/journeys.mjs). Without Firefox or npm it is
// skipped, except in CI.
func TestFirefox(t *testing.T) {
	dir := filepath.Join("..", "..", "httpapi", "interop", "firefox")
	firefox := ""
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			firefox = path
			break
		}
	}
	for _, tool := range []string{"node", "npm", firefox} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("Firefox and npm are needed: %v", err)
			}
			t.Skip(err)
		}
	}
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
