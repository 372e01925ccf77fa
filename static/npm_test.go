package static_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// axeSource is axe-core, installed from npm by its lock file. Without npm the
// test is skipped, except in CI.
func axeSource(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "httpapi", "interop", "axe")
	file := filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
	text, err := os.ReadFile(file)
	if err != nil {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("npm ci: %v\n%s", err, out)
			}
			t.Skipf("npm ci: %v\n%s", err, out)
		}
		if text, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return string(text)
}
