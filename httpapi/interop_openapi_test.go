package httpapi_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTypeScriptClient makes a client of openapi.yaml with openapi-typescript, compiles
// it, and has a conversation with it. Go's clients are in interop/clients.
func TestTypeScriptClient(t *testing.T) {
	r := newRig(t)
	dir := npmPackages(t, "openapi-ts")
	made := filepath.Join("node_modules", ".made") // where the packages are found, and git looks away
	if err := os.MkdirAll(filepath.Join(dir, made), 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(dir, "talk.ts"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, made, "talk.ts"), script, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	for _, step := range [][]string{
		{"node_modules/openapi-typescript/bin/cli.js", "../../openapi.yaml", "-o", made + "/hub.ts"},
		{"node_modules/typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", made + "/talk.ts"},
		{made + "/talk.js", r.url},
	} {
		node := exec.CommandContext(ctx, "node", step...)
		node.Dir = dir
		out, err := node.CombinedOutput()
		if err != nil {
			t.Fatalf("node %s: %v\n%s", strings.Join(step, " "), err, out)
		}
		if step[0] == made+"/talk.js" && !strings.Contains(string(out), "talked") {
			t.Errorf("it says %q", out)
		}
	}
}
