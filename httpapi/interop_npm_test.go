package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lumos/backend/cmd/needs"
)

// interopPatience is how long npm, or a script of others' clients, may take.
const interopPatience = 5 * time.Minute

// npmPackages returns the folder under interop with what its lock file names
// installed.
func npmPackages(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("interop", name)
	needs.Program(t, "npm")
	if installed(dir) {
		return dir
	}
	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	// As the lock file has it. "npm ci" would refuse one that leaves out an optional package
	// for another system, where the registry does not have that.
	install := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("npm ci: %v\n%s", err, out)
		needs.Missing(t, "npm's packages")
	}
	return dir
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

// scenario is what interop/harness.mjs prints of one.
type scenario struct {
	Name  string
	Error string
	Done  int // the last line: how many there were
}

// playScenarios runs a script made with interop/harness.mjs, each scenario of
// it as a subtest.
func playScenarios(t *testing.T, dir, script string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	var complaints bytes.Buffer
	node := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	node.Dir, node.Stderr = dir, &complaints
	printed, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	played, done := 0, 0
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		var s scenario
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Errorf("%s prints %q", script, lines.Bytes())
			continue
		}
		if s.Done > 0 {
			done = s.Done
			continue
		}
		played++
		t.Run(s.Name, func(t *testing.T) {
			if s.Error != "" {
				t.Error(s.Error)
			}
		})
	}
	if err := node.Wait(); err != nil || played == 0 || played != done {
		t.Errorf("%s played %d of %d scenarios: %v\n%s", script, played, done, err, complaints.Bytes())
	}
}
