//go:build linux || darwin

package main

import "syscall"

// descriptors lets this process, and those that it starts, open as many files
// as it may, up to want, and returns how many that are. Beyond the hard limit
// only root gets, and not everywhere.
func descriptors(want uint64) uint64 {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil || now.Cur >= want {
		return want
	}
	for _, hard := range []uint64{max(now.Max, want), now.Max} {
		more := syscall.Rlimit{Cur: min(hard, want), Max: hard}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
			return more.Cur
		}
	}
	return now.Cur
}
