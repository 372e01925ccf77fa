//go:build unix && !solaris && !aix && !netbsd

package filestore

import (
	"math"
	"syscall"
)

// Free implements files.
func (d directory) Free() int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(string(d), &s) != nil {
		return math.MaxInt64
	}
	return int64(min(uint64(s.Bavail)*uint64(s.Bsize), math.MaxInt64))
}
