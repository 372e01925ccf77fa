package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// TestFloorEndToEnd starts the floor as a run does, over both kinds of
// upstream, and holds every byte of what it forwards.
func TestFloorEndToEnd(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		t.Run(upstream, func(t *testing.T) {
			l := small()
			l.Pace, l.Flush = 500, 2
			rep, err := (&target{Peer: "floor", Upstream: upstream}).measure(t.Context(), l, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rep.failed() || rep.Replies != 16 || rep.Tokens != 16*60 || rep.Frames != 16*60 {
				t.Errorf("got %+v", rep)
			}
			if rep.Added.Count != 16*60 || rep.Added.Max <= 0 {
				t.Errorf("added: %+v", rep.Added)
			}
			if _, err := os.Stat("/proc/self/smaps_rollup"); err == nil && rep.Memory.Start == 0 {
				t.Error("nothing is known of the floor's memory")
			}
		})
	}
}

// TestExitStatus runs chatload as a command.
func TestExitStatus(t *testing.T) {
	good, err := exec.Command(os.Args[0], "--peer=floor", "--conversations=2", "--tokens=5", "--pace=0", "--json").Output()
	if err != nil {
		t.Errorf("a good run: %v", err)
	}
	var rep report
	if err := json.Unmarshal(good, &rep); err != nil || rep.Replies != 2 {
		t.Errorf("%v in %s", err, good)
	}
	l := small()
	l.Conversations, l.Turns, l.Seed = 3, 1, 1
	_, r := serveFake(t, l, func(h *fakeHub) { h.mangle = loseOne(30) })
	told, err := exec.Command(os.Args[0], "--url="+r.peer.base.String(), "--sim=127.0.0.1:0", "--conversations=3", "--tokens=60", "--ramp=0").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !bytes.Contains(told, []byte("3 texts inexact")) {
		t.Errorf("a lossy hub: %v, told as\n%s", err, told)
	}
}
