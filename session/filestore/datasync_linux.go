package filestore

import (
	"os"
	"syscall"
)

// datasync syncs a file's data and length, but not its times.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
