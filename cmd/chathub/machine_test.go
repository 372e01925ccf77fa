package main

import (
	"os"
	"runtime"
	"testing"
	"testing/fstest"
)

// TestMachineMemory: the least of the machine's memory and of every limit around the
// process counts, by either version of control groups.
func TestMachineMemory(t *testing.T) {
	const gib = 1 << 30
	machine := "MemFree: 1 kB\nMemTotal:        8388608 kB\nMemAvailable: 2 kB\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known":           {nil, 0},
		"no groups":                  {map[string]string{"proc/meminfo": machine}, 8 * gib},
		"version 2, no limit":        {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 8 * gib},
		"version 2":                  {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n"}, gib},
		"version 2, of one around":   {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2147483648\n"}, 2 * gib},
		"version 2, in a container":  {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, gib / 2},
		"version 2, beyond what is":  {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "99999999999\n"}, 8 * gib},
		"version 2, of another":      {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/b/memory.max": "1\n"}, 8 * gib},
		"version 1":                  {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "12:cpu,cpuacct:/x\n5:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824\n"}, gib},
		"version 1, with another":    {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "5:hugetlb,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824\n"}, gib},
		"version 1, no limit":        {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 * gib},
		"version 1, in a container":  {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "5:memory:/docker/0123\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, gib},
		"a limit, the machine hides": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, gib},
		"nonsense":                   {map[string]string{"proc/meminfo": "MemTotal: lots\n", "proc/self/cgroup": "0\n::\nx:memory\n", "sys/fs/cgroup/memory.max": "0\n"}, 0},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := machineMemory(root); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", name, got, tt.want)
		}
	}
	if n := machineMemory(os.DirFS("/")); runtime.GOOS == "linux" && n < 64<<20 {
		t.Errorf("this machine has %d bytes", n)
	}
}

// TestStoreBytes: what is set counts, and 0 is none.
func TestStoreBytes(t *testing.T) {
	none, some := 0, 1<<20
	if got := storeBytes(config{MaxStoreBytes: &none}); got != 0 {
		t.Errorf("0 is %d", got)
	}
	if got := storeBytes(config{MaxStoreBytes: &some}); got != 1<<20 {
		t.Errorf("1 MiB is %d", got)
	}
	if got, want := storeBytes(config{}), machineMemory(os.DirFS("/"))/2; got != want {
		t.Errorf("by default %d, want %d", got, want)
	}
}
