package mistralsim

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/cmd/needs"
)

// TestSDK lets Mistral's official SDK read the simulator. It needs Node, npm
// and a registry; without them it is skipped, except with CI=true.
func TestSDK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := installSDK(ctx, t)

	cfg := Config{Key: "key", Answer: func(r *Request) Answer {
		if r.LastUser() != "think" {
			return Eliza(r)
		}
		return Answer{Tokens: []string{"hm", "Four"}, Chunk: func(i int, token string) string {
			if i < 0 || i > 1 {
				return ""
			}
			part := `{"type":"text","text":"Four"}`
			if i == 0 {
				part = `{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true}`
			}
			return fmt.Sprintf(`{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":[%s]},"finish_reason":null}],"p":"abc","new":1}`, part)
		}}
	}}
	_, srv := serve(t, cfg)
	node := exec.CommandContext(ctx, "node", "check.mjs")
	node.Dir = dir
	node.Env = append(os.Environ(), "BASE_URL="+srv.URL)
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr(err))
	}
	type told struct {
		Text                 string
		Kinds, Roles, Finish []string
		IDs                  int
		Usage                []int
	}
	var got struct {
		Whole struct {
			Object, Model, Text, Finish string
			Usage                       int
		}
		Stream, Short, Prefix, Parts       told
		Models                             []string
		Unauthorized, Unprocessable, Order string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const hello = "Hello, and welcome. What would you like to talk about today?"
	for name, s := range map[string]*told{"stream": &got.Stream, "prefix": &got.Prefix} {
		if len(s.Usage) != 1 || s.Usage[0] < 5 {
			t.Errorf("%s: usage %v", name, s.Usage)
		}
		s.Usage = nil
		want := told{Text: hello, Kinds: []string{"string"}, Roles: []string{"assistant"}, Finish: []string{"stop"}, IDs: 1}
		if diff := cmp.Diff(want, *s); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if s := got.Short; !strings.HasPrefix(hello, s.Text) || s.Text == "" || s.Finish[0] != "length" || s.Usage[0] != 3 {
		t.Errorf("short: %+v", s)
	}
	if s := got.Parts; s.Text != "Four" || !cmp.Equal(s.Kinds, []string{"string", "thinking", "text", "string"}) {
		t.Errorf("parts: %+v", s)
	}
	if w := got.Whole; w.Object != "chat.completion" || w.Model != "mistral-small-latest" || w.Text != hello || w.Finish != "stop" || w.Usage < 5 {
		t.Errorf("whole: %+v", w)
	}
	if want := "base " + strings.Join(aliases, ",base "); strings.Join(got.Models, ",") != want {
		t.Errorf("models: %v, want %s", got.Models, want)
	}
	if got.Unauthorized != "SDKError 401" || got.Unprocessable != "HTTPValidationError 422" || got.Order != "SDKError 400" {
		t.Errorf("errors: %q, %q, %q", got.Unauthorized, got.Unprocessable, got.Order)
	}
}

// installSDK installs the locked SDK into a directory of the test's own.
func installSDK(ctx context.Context, t *testing.T) string {
	needs.Program(t, "npm")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "check.mjs"} {
		b, err := os.ReadFile(filepath.Join("testdata", "sdk", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-progress")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Logf("npm ci: %v\n%s", err, out)
		needs.Missing(t, "npm's packages")
	}
	return dir
}

// stderr is what a failed program said.
func stderr(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return string(e.Stderr)
	}
	return ""
}
