// Package needs has tests say which programs of others they need. A test that lacks
// one is skipped, and the run tells at its end what was not tried; with CI=true the
// test fails, since CI installs all of them.
//
// It is imported by tests alone.
package needs

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	mu      sync.Mutex
	untried = map[string][]string{} // guarded by mu; what was missing → the tests
)

// Program returns the path of the first of these programs that is on the PATH. They
// are names of the same one.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, names[0])
	return ""
}

// Missing ends a test for want of something, which a word or two name.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing", what)
	}
	mu.Lock()
	untried[what] = append(untried[what], t.Name())
	mu.Unlock()
	t.Skipf("%s is missing", what)
}

// M is a testing.M that tells at the end of a run what was not tried.
type M struct{ *testing.M }

// Run runs the tests, and returns what os.Exit is to be given.
func (m M) Run() int {
	code := m.M.Run()
	mu.Lock()
	defer mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(untried)) {
		tests := untried[what]
		fmt.Fprintf(terminal(), "NOT TRIED in %s, for want of %s: %d tests: %s\n", packageName(), what, len(tests), strings.Join(tests, " "))
	}
	return code
}

// packageName is the package whose tests these are.
func packageName() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return strings.TrimSuffix(info.Path, ".test")
	}
	return os.Args[0]
}

// terminal is where go test itself writes: of a package that passes, it shows nothing
// of what its tests write.
func terminal() io.Writer {
	parent := fmt.Sprintf("/proc/%d", os.Getppid())
	if name, err := os.ReadFile(parent + "/comm"); err == nil && string(name) == "go\n" {
		if f, err := os.OpenFile(parent+"/fd/2", os.O_WRONLY|os.O_APPEND, 0); err == nil {
			return f // the process ends now, and closes it
		}
	}
	return os.Stderr
}
