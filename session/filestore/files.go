package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// files is the store's directory. In tests it fails, and loses what was not synced.
type files interface {
	// List returns the names of all files.
	List() ([]string, error)
	// Read returns what a file holds, at most limit bytes of it.
	Read(name string, limit int64) ([]byte, error)
	// Create makes a file to be appended to. Errors: fs.ErrExist.
	Create(name string) (file, error)
	// Sync has what a file holds survive the machine's death.
	Sync(name string) error
	Unlink(name string) error
	// SyncDir has the names survive it: of files that were made or removed.
	SyncDir() error
	// Free is how much room there is, in bytes, as far as can be told.
	Free() int64
}

// file is one that is being appended to.
type file interface {
	Write([]byte) (int, error)
	Sync() error // of its data and its length
	Close() error
}

// directory is files on disk.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (d directory) Read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(info.Size(), limit))
	_, err = io.ReadFull(f, b)
	return b, err
}

func (d directory) Create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d directory) Sync(name string) error {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) Unlink(name string) error { return os.Remove(d.path(name)) }

func (d directory) SyncDir() error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

// makeDirectory makes the directory of a store, readable to its user alone.
//
// In this order: it and what is missing above it is made; the directories that
// got a new entry are synced.
func makeDirectory(dir string) error {
	var parents []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("failed to make the directory: %w", err)
	}
	// This fails for a directory of another user, such as a mounted volume. The files in
	// it are readable to this user only in any case.
	_ = os.Chmod(dir, 0o700)
	for _, d := range parents {
		_ = directory(d).SyncDir() // some cannot be opened
	}
	return nil
}
