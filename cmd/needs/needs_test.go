package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain stands in for a package whose tests lack a program, when it is told to.
func TestMain(m *testing.M) { os.Exit(M{m}.Run()) }

// TestLacking is that package's test, run by TestReport.
func TestLacking(t *testing.T) {
	if os.Getenv("NEEDS_TEST") == "" {
		return
	}
	Program(t, "no-such-program", "nor-this-one")
	t.Error("it went on")
}

// TestReport runs go test as a person does, over a package that passes.
func TestReport(t *testing.T) {
	run := func(ci string) (string, error) {
		cmd := exec.Command("go", "test", "-count=1", "-run", "^TestLacking$", "lumos/backend/cmd/needs")
		cmd.Env = append(os.Environ(), "NEEDS_TEST=1", "CI="+ci)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	const told = "NOT TRIED in lumos/backend/cmd/needs, for want of no-such-program: 1 tests: TestLacking\n"
	if out, err := run(""); err != nil || !strings.Contains(out, told) || !strings.Contains(out, "ok  ") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("true"); err == nil || !strings.Contains(out, "no-such-program is missing") {
		t.Errorf("in CI: %v: %s", err, out)
	}
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "second"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := Program(t, "first", "second"); got != filepath.Join(dir, "second") {
		t.Errorf("got %s", got)
	}
}
