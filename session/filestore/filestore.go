// Package filestore is a store of sessions in one directory, for one process.
//
// The Manager has everything in memory; all changes are also written to a log, from which a
// start restores that memory. The files:
//
//   - filestore.go: Open and Config.
//   - backend.go: session.Backend, which turns changes into frames.
//   - journal.go: the log, and its failures. entry.go: what it knows of a conversation.
//     batch.go: one write. sync.go, rotate.go: syncs and new segments.
//   - recover.go: a new segment after a failure. compact.go: removing what was deleted.
//   - start.go, replay.go, chain.go: what a start reads and does.
//   - record.go, segment.go, frame.go: the format.
//   - files.go: all access to the disk.
//
// session/README.md tells what the directory holds, and what is lost with each file.
package filestore

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"lumos/backend/session"
)

// SyncMode says when what is written is synced, so that it survives the death of
// the machine. What is written survives the death of the process in each.
type SyncMode int

const (
	EverySecond SyncMode = iota // the last second can be lost
	Always                      // before it is acknowledged: nothing is lost
	Never                       // when the system does; a new segment begins with a sync
)

// ParseSyncMode reads the setting FSYNC. Errors: it is none of the three.
func ParseSyncMode(s string) (SyncMode, error) {
	switch s {
	case "everysec", "":
		return EverySecond, nil
	case "always":
		return Always, nil
	case "never":
		return Never, nil
	}
	return 0, fmt.Errorf("FSYNC is %q; it can be everysec, always or never", s)
}

// Config says how a store works. The zero value of a field is its default.
type Config struct {
	session.Config
	Sync SyncMode
	// Repair has a start go on in spite of damage: the damaged segment is set aside, and
	// what is lost with it is logged.
	Repair bool

	segmentBytes int64         // when the next segment begins; 0: 64 MiB
	eraseEvery   time.Duration // between compactions for erasure alone; 0: 5 minutes
	node         string        // "": random

	gate func(session.Backend) session.Backend // wraps the backend in a test; nil: none
}

const (
	segmentBytes = 64 << 20
	eraseEvery   = 5 * time.Minute
	// lateAfter: a reply that nobody wrote for longer is ended at a start, not
	// continued.
	lateAfter = 10 * time.Minute
)

// Store is the sessions of a directory. Its Run does the work in the background;
// Close follows it.
type Store struct {
	*session.Manager
	b    *backend
	lock *os.File
}

// Open opens the store of a directory, which is made if it is not there. Errors:
// it cannot be written, or another process has it; *DamageError, where something
// but the end of the last segment is damaged.
func Open(dir string, cfg Config) (*Store, error) {
	if err := makeDirectory(dir); err != nil {
		return nil, err
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(directory(dir), dir, cfg)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("failed to open the directory %s: %w", dir, err)
	}
	s.lock = lock
	return s, nil
}

// errLocked is flock's error when another process has the lock.
var errLocked = errors.New("locked by another process")

// lockDirectory keeps other processes out until the file that it returns is
// closed.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("failed to lock the directory: %w", err)
	}
	switch err := flock(f); {
	case errors.Is(err, errLocked):
		_ = f.Close()
		return nil, fmt.Errorf("the directory %s is in use by another process", dir)
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("failed to lock the directory %s: %w", dir, err)
	}
	return f, nil
}

func open(files files, dir string, cfg Config) (*Store, error) {
	cfg.segmentBytes = cmp.Or(cfg.segmentBytes, segmentBytes)
	cfg.eraseEvery = cmp.Or(cfg.eraseEvery, eraseEvery)
	cfg.node = cmp.Or(cfg.node, rand.Text()[:16])
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	r := &replay{files: files, repair: cfg.Repair}
	if err := r.run(); err != nil {
		return nil, err
	}
	b := &backend{eraseEvery: cfg.eraseEvery, j: newJournal(files, dir, cfg)}
	front := session.Backend(b)
	if cfg.gate != nil {
		front = cfg.gate(b)
	}
	m := session.NewManager(front, session.Kind{Node: cfg.node, Alone: true, Serial: true}, cfg.Config)
	b.m = m
	if err := b.start(r); err != nil {
		return nil, err
	}
	return &Store{Manager: m, b: b}, nil
}

// Close syncs what is written, and gives the directory up. What is said
// afterwards is session.ErrUnavailable.
func (s *Store) Close() error {
	err := s.b.j.close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("failed to close the store: %w", err)
	}
	return nil
}
