// Package clients has others' generators make Go clients of openapi.yaml, and talks to
// the program with them. It is a module of its own, so that the hub does not depend on
// them. The TypeScript client is in interop/openapi-ts.
package clients

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	// What generated code imports, so that go.mod has it.
	_ "github.com/google/uuid"
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/ogen-go/ogen/conv"
	_ "github.com/ogen-go/ogen/http"
	_ "github.com/ogen-go/ogen/json"
	_ "github.com/ogen-go/ogen/middleware"
	_ "github.com/ogen-go/ogen/ogenerrors"
	_ "github.com/ogen-go/ogen/otelogen"
	_ "github.com/ogen-go/ogen/uri"
	_ "github.com/ogen-go/ogen/validate"
	_ "go.opentelemetry.io/otel/semconv/v1.39.0"
)

// root is the repository's.
const root = "../../.."

// TestClients generates a client, compiles it, and has a conversation with it.
func TestClients(t *testing.T) {
	url := startDemo(t)
	spec, err := filepath.Abs(filepath.Join(root, "httpapi", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, generate := range map[string][]string{
		"oapi": {"oapi-codegen", "-package", "oapi", "-generate", "types,client", "-o", "oapi/oapi.go", spec},
		"ogen": {"ogen", "--target", "ogen", "--package", "ogen", "--clean", spec},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, "go.mod", filepath.Join(dir, "go.mod"))
			put(t, "go.sum", filepath.Join(dir, "go.sum"))
			put(t, filepath.Join("testdata", name+".go"), filepath.Join(dir, "talk", "main.go"))
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
			run(t, dir, append([]string{"tool"}, generate...)...)
			if said := run(t, dir, "run", "./talk", url); !strings.Contains(said, "talked") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

// put copies a file.
func put(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs the go command, and returns what it printed.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod") // of the copy, go.mod changes by what is direct
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startDemo builds the program and starts it on a free port, and returns its address.
func startDemo(t *testing.T) string {
	t.Helper()
	hub := filepath.Join(t.TempDir(), "chathub")
	run(t, root, "build", "-o", hub, "./cmd/chathub")
	demo := exec.Command(hub, "--demo", "--port=0")
	log, err := demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Kill()
		_ = demo.Wait()
	})
	listens := regexp.MustCompile(`"chathub listens" url=(\S+)`)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if found := listens.FindStringSubmatch(lines.Text()); found != nil {
			go io.Copy(io.Discard, log) // a full pipe would stop it
			return found[1]
		}
	}
	t.Fatal("the program does not listen")
	return ""
}
