package httpapi_test

import (
	"context"
	"os/exec"
	"testing"
)

// TestDescriptionsByOthers holds openapi.yaml and asyncapi.yaml against Redocly's validator and
// AsyncAPI's own, from npm.
func TestDescriptionsByOthers(t *testing.T) {
	dir := npmPackages(t, "asyncapi")
	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	check := exec.CommandContext(ctx, "node", "check.mjs")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("node check.mjs: %v\n%s", err, out)
	}
}
