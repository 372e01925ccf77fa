//go:build unix

package filestore

import (
	"errors"
	"os"
	"syscall"
)

// flock takes a lock that ends with the process.
func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
