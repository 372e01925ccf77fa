package filestore

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// journal is the log: its segments, of which the last is written to, and an entry for each
// conversation. Changes gather in a batch while the batch before is written; the first
// goroutine that comes to a batch writes it for all.
type journal struct {
	files        files
	mode         SyncMode
	segmentBytes int64
	log          *slog.Logger
	run, start   uint64 // see header

	// Take these locks in this order, before mu. syncing is held by sync, so that a caller
	// that waits for another's sync does not hold writer. writer is held for a write, or
	// while a segment begins. syncer is held for a sync, or while a segment ends.
	syncing sync.Mutex
	writer  slot
	syncer  sync.Mutex

	mu        sync.Mutex // guards what follows
	next      *batch     // the batch that changes go into; nil: none
	seg       segment
	tried     uint64        // the last segment that was begun, successfully or not
	base      uint64        // see header
	failed    error         // nil: all is well. Wraps session.ErrUnavailable
	broken    chan struct{} // closed when failed is set; another one when it is mended
	ended     bool          // failed for good
	lost      bool          // a sync failed: only what was synced before counts of the segment
	entries   map[uuid.UUID]*entry
	streams   uint64 // the last entry.stream that was given
	scratch   []byte
	spare     []byte // for the next batch
	spareUndo []undo

	// round counts syncs. What changed in round clean or later may not be synced.
	// deleted holds what was deleted since then, and in which round.
	round, clean uint64
	deleted      map[uuid.UUID]uint64

	failures int              // how often failed was set
	sizes    map[uint64]int64 // bytes of the segments before seg
	live     int64            // about how many bytes of all segments a compaction would leave
	erased   bool             // some segment holds text that was deleted
}

// segment is the one that is written to. The holder of writer owns it; mu guards good and
// synced.
type segment struct {
	seq    uint64
	f      file
	good   int64 // bytes of whole frames that count
	synced int64 // how many of them were synced
	marked int64 // how many of them the last mark says were synced
}

// slot is a lock for which a select can wait.
type slot chan struct{}

func (s slot) lock()   { s <- struct{}{} }
func (s slot) unlock() { <-s }

// newJournal returns a log that has no segment yet.
func newJournal(files files, dir string, cfg Config) *journal {
	return &journal{
		files: files, mode: cfg.Sync, segmentBytes: cfg.segmentBytes, log: cfg.Logger.With(slog.String("directory", dir)),
		writer: make(slot, 1), broken: make(chan struct{}), run: rand.Uint64(), start: uint64(time.Now().Unix()),
		entries: make(map[uuid.UUID]*entry), deleted: make(map[uuid.UUID]uint64), sizes: make(map[uint64]int64),
	}
}

var errClosed = fmt.Errorf("%w: the store is closed", session.ErrUnavailable)

// seconds is the time since the process began, as frames have it.
func (j *journal) seconds() uint64 { return uint64(max(0, time.Now().Unix()-int64(j.start))) }

// failLocked notes that nothing can be written until recover begins a new segment. It logs
// the first failure.
func (j *journal) failLocked(step string, err error) {
	if j.failed != nil {
		return
	}
	j.failures++
	close(j.broken)
	j.failed = fmt.Errorf("%w: failed to %s the log: %w", session.ErrUnavailable, step, err)
	j.log.Error("conversations cannot be stored; trying again in a new file every second",
		slog.String("step", step), slog.Any("error", err))
	if b := j.next; b != nil {
		j.dropLocked(b)
	}
}

// dropLocked fails the batch that waits.
func (j *journal) dropLocked(b *batch) {
	j.next, b.err = nil, j.failed
	j.undoLocked(b)
	close(b.done)
}

// undoLocked restores the entries as they were before a failed batch. Of two batches, undo
// the later one first.
func (j *journal) undoLocked(b *batch) {
	for i := len(b.undo) - 1; i >= 0; i-- {
		u := b.undo[i]
		if e := j.entries[u.id]; e != nil {
			j.live -= perSession + e.size
		}
		if u.e == nil {
			delete(j.entries, u.id)
			continue
		}
		*u.e = u.was
		j.entries[u.id] = u.e
		j.live += perSession + u.was.size
		delete(j.deleted, u.id)
	}
	j.erased = j.erased || len(b.buf) > markSize // the file may hold it all the same
}

// close syncs what is written, and writes no more.
func (j *journal) close() error {
	err := error(nil)
	if j.mode != Never {
		if err = j.sync(); err == nil {
			j.mark()
		}
	}
	j.writer.lock()
	defer j.writer.unlock()
	j.syncer.Lock()
	defer j.syncer.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.failed, errClosed) {
		return nil
	}
	j.failed, j.ended = errClosed, true
	if b := j.next; b != nil {
		j.dropLocked(b)
	}
	return errors.Join(err, j.seg.f.Close())
}

// health returns nil if changes can be stored.
func (j *journal) health() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}
