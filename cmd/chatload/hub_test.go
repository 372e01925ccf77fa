package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildHub builds chathub for a test.
func buildHub(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chathub")
	if out, err := exec.Command("go", "build", "-o", path, "lumos/backend/cmd/chathub").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// chatload runs the command and returns what it reports.
func chatload(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chatload %s: %v\n%s%s", strings.Join(args, " "), err, out, &told)
	}
	return out
}

// TestHub builds the hub once, and loads it in all ways.
func TestHub(t *testing.T) {
	hub := buildHub(t)
	t.Run("end to end", func(t *testing.T) { testEndToEnd(t, hub) })
	t.Run("commands", func(t *testing.T) { testCommands(t, "--hub="+hub) })
	t.Run("redis", func(t *testing.T) { testRedis(t, "--hub="+hub) })
	t.Run("file", func(t *testing.T) { testFile(t, "--hub="+hub) })
}

// testFile tells what a hub's directory takes, small.
func testFile(t *testing.T, hub string) {
	load := []string{hub, "--conversations=4", "--tokens=40", "--ramp=0"}
	var ratio struct {
		Ratio        []ratioRow
		File, Memory []report
	}
	out := chatload(t, append([]string{"ratio", "file", "--rounds=2", "--json"}, load...)...)
	if err := json.Unmarshal(out, &ratio); err != nil || len(ratio.File) != 2 || len(ratio.Memory) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for _, rep := range ratio.File {
		if rep.File == nil || rep.File.PerByte < 1 || rep.Acked.Count != 4 {
			t.Errorf("got %+v of %+v", rep.File, rep.Acked)
		}
	}
	if ratio.Memory[0].File != nil {
		t.Errorf("the hub in memory wrote %+v", ratio.Memory[0].File)
	}
	out = chatload(t, append([]string{"ratio", "file", "--rounds=1"}, load...)...)
	for _, told := range []string{"file/memory", "asked: at most 1.05", "asked: at most +2.0", "written: "} {
		if !bytes.Contains(out, []byte(told)) {
			t.Errorf("%q is not told in\n%s", told, out)
		}
	}
}

// testEndToEnd starts the hub as a run does, over both kinds of upstream, and
// does to it what users and networks do.
func testEndToEnd(t *testing.T, hub string) {
	for _, upstream := range []string{"h1", "h2"} {
		t.Run(upstream, func(t *testing.T) {
			l := small()
			l.Pace, l.Drops, l.Idle, l.Slow, l.Stall = 500, 2, 5, 1, 50*time.Millisecond
			own := &target{Peer: "hub", Hub: hub, Upstream: upstream}
			var known, unknown *report
			var err error
			known, err = own.measure(t.Context(), l, func(ctx context.Context, r *run) {
				other := &target{URL: r.peer.base.String(), Peer: "hub"}
				unknown, _ = other.measure(ctx, l, nil)
			})
			if err != nil {
				t.Fatal(err)
			}
			for what, rep := range map[string]*report{"told by the simulator": known, "held against the store": unknown} {
				if rep == nil || rep.failed() || rep.Replies != 16 || rep.Tokens != 16*60 || rep.Memory.Connections != 5 {
					t.Fatalf("%s: got %+v", what, rep)
				}
				if rep.Resume.Count != int64(rep.Drops) || rep.Lost != 0 {
					t.Errorf("%s: %d drops, %d resumed; %d lost", what, rep.Drops, rep.Resume.Count, rep.Lost)
				}
			}
			if known.Added.Count == 0 || unknown.Added.Count != 0 {
				t.Errorf("added latency of %d tokens and %d", known.Added.Count, unknown.Added.Count)
			}
		})
	}
}

// testCommands runs those that take several runs, small.
func testCommands(t *testing.T, hub string) {
	var ratio struct {
		Ratio      []ratioRow
		Hub, Floor []report
	}
	out := chatload(t, "ratio", "flat", hub, "--conversations=4", "--tokens=200", "--duration=0s", "--rounds=2", "--json")
	if err := json.Unmarshal(out, &ratio); err != nil || len(ratio.Hub) != 2 || len(ratio.Floor) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for _, row := range ratio.Ratio {
		if row.What == "tokens per frame" && (row.Floor != 1 || row.Hub < 1) {
			t.Errorf("got %+v", row)
		}
	}
	if out := chatload(t, "ratio", "paced", hub, "--conversations=4", "--tokens=20", "--rounds=1"); !bytes.Contains(out, []byte("hub/floor")) {
		t.Errorf("got %s", out)
	}
	var rep report
	out = chatload(t, "storm", hub, "--conversations=20", "--tokens=50", "--pace=50", "--after=300ms", "--json")
	if err := json.Unmarshal(out, &rep); err != nil || rep.Replies != 20 || rep.Drops == 0 || rep.Resume.Count != int64(rep.Drops) {
		t.Errorf("storm: %v in %s", err, out)
	}
	lines := bytes.Count(chatload(t, "growth", hub, "--replies=2,4", "--beside=0,5", "--tokens=10"), []byte("\n"))
	if lines != 7 {
		t.Errorf("growth: %d lines", lines)
	}
}
