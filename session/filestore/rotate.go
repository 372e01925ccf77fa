package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
)

// rotate begins a new segment. Those before base (0: before the base that there
// is) count no more. writer is held.
//
// In this order: the old segment is synced; the new one is made, its header is
// written and synced, and then the directory; from then on it counts.
func (j *journal) rotate(base uint64) error {
	err := j.syncSegment()
	if err != nil {
		return err
	}
	j.syncer.Lock()
	defer j.syncer.Unlock()
	old := j.seg
	base = max(base, j.base)
	f, h, err := j.begin(header{pred: old.seq, valid: uint64(old.good), base: base}, nil)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.failLocked("begin a segment of", err)
		return j.failed
	}
	j.useLocked(f, h, headerFrame)
	_ = old.f.Close() // it is synced
	return nil
}

// useLocked makes f, of which size bytes are written and synced, the segment that is written
// to.
func (j *journal) useLocked(f file, h header, size int64) {
	if j.seg.seq != 0 {
		j.sizes[j.seg.seq] = j.seg.good
	}
	j.base = h.base
	j.seg = segment{seq: h.seq, f: f, good: size, synced: size, marked: size}
}

// begin makes a segment with this header, and what more writes into it. writer is
// held.
func (j *journal) begin(h header, more func(f file) error) (file, header, error) {
	if err := j.checkAlone(); err != nil {
		return nil, h, err
	}
	j.mu.Lock()
	j.tried++
	h.seq, h.run, h.start = j.tried, j.run, j.start
	j.mu.Unlock()
	name := segmentName(h.seq)
	f, err := j.files.Create(name)
	if errors.Is(err, fs.ErrExist) {
		return nil, h, j.displaced(name)
	}
	if err != nil {
		return nil, h, fmt.Errorf("failed to make %s: %w", name, err)
	}
	err = writeSegment(f, h, more)
	if err == nil {
		err = j.files.SyncDir()
	}
	if err != nil {
		_ = f.Close()
		_ = j.files.Unlink(name) // nothing in it was acknowledged
		return nil, h, fmt.Errorf("failed to begin %s: %w", name, err)
	}
	return f, h, nil
}

// writeSegment writes a segment's beginning. Its header is synced before anything follows, so
// that a longer file without a header must be damaged.
func writeSegment(f file, h header, more func(f file) error) error {
	if _, err := f.Write(h.frame()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || more == nil {
		return err
	}
	if err := more(f); err != nil {
		return err
	}
	return f.Sync()
}

// checkAlone looks for a segment that is newer than any of this process's. A lock
// can fail, as on some network file systems; then the newer process goes on.
func (j *journal) checkAlone() error {
	seqs, err := segments(j.files)
	if err != nil {
		return err
	}
	j.mu.Lock()
	tried := j.tried
	j.mu.Unlock()
	for _, seq := range seqs {
		if seq > tried {
			return j.displaced(segmentName(seq))
		}
	}
	return nil
}

// displaced stops all writing for good.
func (j *journal) displaced(name string) error {
	err := fmt.Errorf("another process has begun a newer file, %s", name)
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.failLocked("go on with", err)
		j.ended = true
		j.log.Error("another process has taken the directory; nothing is stored any more until this one is started again",
			slog.String("file", name))
	}
	return err
}
