package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// storeBytes is how much memory conversations may take: what was set, otherwise half of
// what there is. 0: any, also where the system does not tell.
func storeBytes(cfg config) int64 {
	if cfg.MaxStoreBytes != nil {
		return int64(*cfg.MaxStoreBytes)
	}
	return machineMemory(os.DirFS("/")) / 2
}

// machineMemory returns the memory that this process can have, in bytes: the machine's,
// or less by a limit of its control group or of one around that; 0: not known. root has
// Linux's /proc and /sys.
func machineMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	info, _ := fs.ReadFile(root, "proc/meminfo")
	if found := regexp.MustCompile(`(?m)^MemTotal:\s*(\d+) kB$`).FindSubmatch(info); found != nil {
		if n, err := strconv.ParseInt(string(found[1]), 10, 64); err == nil {
			least = n << 10
		}
	}
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // cgroups(7), "/proc/pid/cgroup"
	for line := range strings.Lines(string(groups)) {
		of := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(of) != 3:
		case of[0] == "0": // version 2
			least = min(least, groupLimit(root, "sys/fs/cgroup", of[2], "memory.max"))
		case strings.Contains(","+of[1]+",", ",memory,"): // version 1
			least = min(least, groupLimit(root, "sys/fs/cgroup/memory", of[2], "memory.limit_in_bytes"))
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// groupLimit returns the least of the limits of a group and of those around it. In a
// container the group's own path may not be there, and the mount is the container's.
func groupLimit(root fs.FS, mount, group, file string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(mount, group, file))
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 { // "max": none
			least = min(least, n)
		}
		if group == "/" {
			return least
		}
	}
}
