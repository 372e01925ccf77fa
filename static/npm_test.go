package static_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lumos/backend/cmd/needs"
)

// npmFile is a file of an npm package, installed by the lock file of a folder
// below httpapi/interop. Without npm the test is skipped, except in CI.
func npmFile(t *testing.T, folder, file string) string {
	t.Helper()
	dir := filepath.Join("..", "httpapi", "interop", folder)
	file = filepath.Join(dir, "node_modules", filepath.FromSlash(file))
	text, err := os.ReadFile(file)
	if err != nil {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Logf("npm ci: %v\n%s", err, out)
			needs.Missing(t, "npm's packages")
		}
		if text, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return string(text)
}

func axeSource(t *testing.T) string {
	t.Helper()
	return npmFile(t, "axe", "axe-core/axe.min.js")
}
