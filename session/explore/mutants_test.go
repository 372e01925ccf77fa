package explore

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	runMutants = flag.Bool("mutants", false, "have every mutant explored, laid over the module's file: minutes")
	oneMutant  = flag.String("mutant", "", "with -mutants: those whose names this regular expression matches")
)

// mutant is one condition that is turned round, left out or made false.
type mutant struct {
	name, file, old, new string
	run                  string // what must notice it: explore, redis or file
}

var runs = map[string][]string{
	"explore": {"./session/explore", "-run", "TestExplore|TestSample", "-seeds", "3000"},
	"redis":   {"./session/redisstore", "-run", "^TestExplore$", "-seeds", "250"},
	"file":    {"./session/filestore", "-run", "^TestExplore$", "-seeds", "1200"},
}

var mutants = []mutant{
	{"a fence is its node's, not a turn's", "manager.go", `return m.kind.Node + " " + name`, `return m.kind.Node + " " + name[:0]`, "explore"},
	{"a take does not say how long the text was", "steps.go", `ch.Running, ch.Had, ch.Has = &next, had, has`, `ch.Running, ch.Had, ch.Has = &next, -1, has`, "explore"},
	{"an own fence without a text is busy", "take.go", `if e.text != nil && e.text.own && e.text.Fence == e.c.Running.Fence {`, `if true {`, "explore"},
	{"whoever lives may lose a reply", "take.go", `case m.b.Alive(node):`, `case false:`, "explore"},
	{"a dead node's reply is nobody's", "take.go", `if FenceNode(e.c.Running.Fence) == m.kind.Node || e.text != nil || e.holds > 0 {`, `if FenceNode(e.c.Running.Fence) == m.kind.Node {`, "explore"},
	{"who takes a reply that is to stop goes on with it", "take.go", `case r.Stopping:`, `case false:`, "explore"},
	{"every take counts as a death", "steps.go", `if died {`, `if true {`, "explore"},
	{"a reply that could not be yielded stays", "writing.go", "	defer m.letGo(t)\n", "", "explore"},
	{"the end of an own text is not shown", "writing.go", "			t.show(len(content), false)\n		case", "		case", "explore"},
	{"a hint of text is taken under any fence", "run.go", `t != nil && t.Fence == h.Fence {`, `t != nil {`, "explore"},
	{"a step reaches another incarnation", "manager.go", `if !e.is(ref) {`, `if !e.there() {`, "explore"},
	{"a stop stops any reply", "steps.go", `if c.Running == nil || c.Running.Reply != reply || c.Running.Stopping {`, `if c.Running == nil || c.Running.Stopping {`, "explore"},
	{"a second stop is a change", "steps.go", `|| c.Running.Stopping {`, `{`, "explore"},
	{"a message said again is asked again", "page.go", `anew := reply.FinishReason == FinishError && !shown`, `anew := !shown`, "explore"},
	{"a message whose reply runs is asked again", "steps.go", "	if c.Running != nil {\n		return Said{}, nil, ErrBusy\n	}\n	if c.tooLong", "	if c.tooLong", "explore"},
	{"who yields need not have the fence", "steps.go", `|| c.Running.Fence != fence {
		return nil`, `{
		return nil`, "explore"},
	{"epochs count", "steps.go", `return max(time.Now().UnixMilli()*4096+some, last+1+some)`, `return last + 1 + some*0`, "explore"},
	{"a taken-over connection is not told", "manager.go", "	m.claimChanged(e, before)\n", "", "explore"},
	{"a connection that was taken over ends the next one's claim", "claim.go", `if c.Conn == nil || c.Conn.Connection != connection {`, `if c.Conn == nil {`, "explore"},
	{"a conflict counts as made", "manager.go", `if err := m.b.Commit(ctx, e.id, e.c, ch); err != nil {`, `if err := m.b.Commit(ctx, e.id, e.c, ch); err != nil && !errors.Is(err, ErrConflict) {`, "explore"},
	{"a refusal counts of what is remembered", "manager.go", `if ch == nil && fresh {`, `if ch == nil && (fresh || err != nil) {`, "explore"},
	{"appends are not shut before the end", "queue.go", `	t.queue.shut = true
	if t.queue.drained == nil {
		t.queue.drained = make(chan struct{})
		if t.queue.state != inFlight {`, `	t.queue.shut = true
	if t.queue.drained == nil {
		t.queue.drained = make(chan struct{})
		if true {`, "explore"},
	{"where to go on is not looked up when the store has lost some", "text.go", `if c.t == nil || c.off > at {`, `if c.t == nil {`, "explore"},
	{"nobody goes on in the text of another fence", "writing.go", "	case r.Fence != t.Fence:\n		m.moveOn(", "	case false:\n		m.moveOn(", "explore"},

	{"commit: any version", "redisstore/lua/commit.lua", `if version ~= was then return 0 end`, ``, "redis"},
	{"commit: any length", "redisstore/lua/commit.lua", `if had >= 0 and call('STRLEN', text) ~= had then return 0 end`, ``, "redis"},
	{"commit: no grave", "redisstore/lua/commit.lua", "  call('HSET', head, 'v', is)\n", "", "redis"},
	{"commit: the end has no stored text", "redisstore/lua/commit.lua", `if ends == '1' then`, `if ends == '2' then`, "redis"},
	{"a yield deletes the text", "redisstore/keys.go", `return "yielded " + reply.String()`, `return ""`, "redis"},
	{"append: any fence", "redisstore/lua/append.lua", `if rights[i] == right then`, `if true then`, "redis"},
	{"append: at any place", "redisstore/lua/append.lua", `if size ~= at then`, `if false then`, "redis"},
	{"read: any fence", "redisstore/lua/read.lua", `if call('GET', fence) ~= right then return {} end`, ``, "redis"},
	{"load: whatever the last message was", "redisstore/lua/load.lua", `~= last .. ' ' then at, off = 0, 0 end`, `~= last .. ' ' then at = n end`, "redis"},
	{"load: whatever the version", "redisstore/lua/load.lua", `if version == known or not state then`, `if known ~= '' or not state then`, "redis"},

	{"replay: frames without their checksum", "filestore/replay.go", `if l.valid < 0 && markedBehind(data, int(at), l.run) <= at {`, `if false {`, "file"},
	{"replay: all of a segment that failed", "filestore/replay.go", `		end = l.valid
`, ``, "file"},
	{"a failed batch is not undone", "filestore/batch.go", "		j.undoLocked(b)\n", "", "file"},
	{"always does not sync", "filestore/batch.go", `if err == nil && j.mode == Always {`, `if false {`, "file"},
	{"a new segment's name is not synced", "filestore/rotate.go", `err = j.files.SyncDir()`, `err = nil`, "file"},
	{"a failed write goes on in the same segment", "filestore/batch.go", `	if err != nil {
		j.failLocked("write", err)
	}
	if j.failed`, `	if j.failed`, "file"},
	{"a text goes on with the next reply", "filestore/entry.go", `	if reply != e.reply {
		e.text`, `	if reply != e.reply && false {
		e.text`, "file"},
	{"a restored text is forgotten", "manager.go", `		e.text.append(p)
`, ``, "file"},
}

var (
	foundLine = regexp.MustCompile(`FOUND [^\n]*`)
	failLine  = regexp.MustCompile(`(?m)^(panic: .*|.*_test\.go:\d+: .*)$`)
)

// TestMutants has each mutant be what the code has, once. With -mutants it has the
// explorer look at the module with the mutated file laid over its own, which must
// be noticed.
func TestMutants(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join(root, "session", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: what it changes is %d times in %s", m.name, n, m.file)
			continue
		}
		if !*runMutants || !regexp.MustCompile(*oneMutant).MatchString(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mutated, overlay := filepath.Join(dir, "mutated"), filepath.Join(dir, "overlay.json")
			err := os.WriteFile(mutated, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600)
			if err == nil {
				b, _ := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "session", m.file): mutated}})
				err = os.WriteFile(overlay, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			explored(t, root, overlay, m)
		})
	}
}

// explored has a mutant explored.
func explored(t *testing.T, dir, overlay string, m mutant) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	go1 := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	began := time.Now()
	out, err := go1(append([]string{"test", "-count=1", "-failfast", "-vet=off", "-overlay", overlay, "-timeout", "4m"}, runs[m.run]...)...)
	took := time.Since(began).Round(100 * time.Millisecond)
	if err == nil {
		t.Errorf("NOT NOTICED by %s in %v", m.run, took)
		return
	}
	if ctx.Err() != nil {
		t.Fatalf("no end in %v", took)
	}
	if bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")) {
		t.Fatalf("it does not build: %s", out)
	}
	what := foundLine.Find(out)
	if what == nil {
		what = failLine.Find(out)
	}
	if what == nil {
		what = bytes.TrimSpace(out[:min(len(out), 300)])
	}
	t.Logf("noticed by %s in %v: %s", m.run, took, what)
}
