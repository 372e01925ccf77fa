package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage reads what a process takes from its directory in /proc (proc(5)).
// Everything is zero where there is none.
type usage struct{ dir string }

func usageOf(pid int) usage { return usage{"/proc/" + strconv.Itoa(pid)} }

// userHZ is the unit of times in /proc: fixed for programs on Linux.
const userHZ = 100

// cpu is the processor time taken so far, user and system.
func (u usage) cpu() time.Duration {
	b, err := os.ReadFile(u.dir + "/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * time.Second / userHZ
}

// rss is the resident memory, in bytes. smaps_rollup is exact, while status
// may lag by some pages a thread.
func (u usage) rss() int { return u.size("smaps_rollup", "Rss:") }

// peak is the largest resident memory since forgetPeak.
func (u usage) peak() int { return u.size("status", "VmHWM:") }

// forgetPeak begins anew with the peak.
func (u usage) forgetPeak() error {
	if err := os.WriteFile(u.dir+"/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("peak memory: %w", err)
	}
	return nil
}

func (u usage) size(file, field string) int {
	b, err := os.ReadFile(u.dir + "/" + file)
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "\n"+field)
	f := strings.Fields(after)
	if len(f) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(f[0])
	return kib << 10
}
