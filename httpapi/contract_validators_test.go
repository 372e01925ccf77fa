package httpapi_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestDescriptionsByOthers holds openapi.yaml and asyncapi.yaml against Redocly's validator and
// AsyncAPI's own, from npm. Without node and npm there is nothing to run them with: that is
// accepted everywhere but in CI.
func TestDescriptionsByOthers(t *testing.T) {
	const dir = "interop/asyncapi"
	giveUp := t.Skipf
	if os.Getenv("CI") == "true" {
		giveUp = t.Fatalf
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run := func(name string, args ...string) ([]byte, error) {
		command := exec.CommandContext(ctx, name, args...)
		command.Dir = dir
		return command.CombinedOutput()
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			giveUp("%s is not installed", tool)
		}
	}
	if !installed(dir) {
		if out, err := run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			giveUp("npm ci: %v\n%s", err, out)
		}
	}
	if out, err := run("node", "check.mjs"); err != nil {
		t.Errorf("node check.mjs: %v\n%s", err, out)
	}
}

// installed says whether node_modules in dir is what package-lock.json wants.
func installed(dir string) bool {
	want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return false
	}
	// npm writes this one last.
	got, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	return err == nil && !got.ModTime().Before(want.ModTime())
}
