package llm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lumos/backend/cmd/needs"
)

// TestStreamAsTheSDK holds the stream reader to what Mistral's official SDK makes of
// the same streams, where it takes them: whole ones, whose text is cut anywhere, also
// inside a surrogate pair. It needs Node, npm and a registry; without them it is
// skipped, except with CI=true.
func TestStreamAsTheSDK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := installSDK(ctx, t)
	g := &grammar{Rand: Random(t)}
	var streams []string
	for range 400 {
		g.Reset()
		for range 1 + g.IntN(6) {
			g.mild()
		}
		g.WriteString(`data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":"` +
			g.pick("stop", "length") + `"}],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}` + "\n\ndata: [DONE]\n\n")
		streams = append(streams, g.String())
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
		if err != nil || n >= len(streams) {
			t.Errorf("asked for %s", r.URL.Path)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, streams[n])
	}))
	defer server.Close()
	node := exec.CommandContext(ctx, "node", "streams.mjs")
	node.Dir, node.Env = dir, append(os.Environ(), "BASE_URL="+server.URL, "COUNT="+strconv.Itoa(len(streams)))
	out, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	var told []struct{ Text, Finish, Error string }
	if err := json.Unmarshal(out, &told); err != nil || len(told) != len(streams) {
		t.Fatalf("%d of %d: %v", len(told), len(streams), err)
	}
	taken := 0
	for i, sdk := range told {
		if sdk.Error != "" {
			continue // it refuses much that is harmless
		}
		taken++
		if got := readAs(t, &pieces{data: []byte(streams[i])}); got.text != sdk.Text || got.finish != sdk.Finish || got.err != "" {
			t.Errorf("of %q:\ngot  %q, %s, %s\nwant %q, %s", streams[i], got.text, got.finish, got.err, sdk.Text, sdk.Finish)
		}
	}
	t.Logf("the SDK takes %d of %d streams", taken, len(streams))
	if taken < len(streams)/2 {
		t.Error("too few to say anything")
	}
}

// mild writes an event as the SDK's schema wants it.
func (g *grammar) mild() {
	content := `"` + g.pick("a", " word", "é", "你", `\ud83d`, `\ude00`, `\ud83d\ude00`, "😀", `\n`, `\"`, "") + g.pick("", `\ud83d`, "x") + `"`
	switch g.IntN(6) {
	case 0:
		content = `[{"type":"text","text":` + content + `}]`
	case 1:
		content = `[{"type":"thinking","thinking":[{"type":"text","text":` + content + `}]},{"type":"text","text":"b"}]`
	case 2:
		g.WriteString(g.pick(": comment\n\n", "\n", "event: message\n", "id: 1\n", ": a\r\n"))
	}
	g.WriteString(`data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":` + content + `},"finish_reason":null}]`)
	g.WriteString(g.pick("", `,"p":"abc"`, `,"new":{"a":[1]}`) + "}" + g.pick("\n\n", "\r\n\r\n"))
}

// installSDK installs the SDK that the simulator is tested with into a directory of
// the test's own.
func installSDK(ctx context.Context, t *testing.T) string {
	needs.Program(t, "npm")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "streams.mjs"} {
		b, err := os.ReadFile(filepath.Join("mistralsim", "testdata", "sdk", name))
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
