package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// start takes what a replay has found, and begins a segment.
//
// In this order: the last segment is synced, since the process that wrote it may
// not have; the new one is made, and its header, which says how much of the last
// one counts, written and synced, and then the directory; what counts no more is
// removed, the oldest first.
func (b *backend) start(r *replay) error {
	j := b.j
	all, err := r.restored()
	if err != nil {
		return err
	}
	for id, f := range r.found {
		j.entries[id] = &f.entry
		j.live += perSession + f.size
	}
	r.found = nil
	var expired []uuid.UUID
	for _, one := range all {
		gone, err := b.m.Restore(one)
		if err != nil {
			return err
		}
		if gone {
			expired = append(expired, one.ID)
			continue
		}
		b.RestoreClaim(one.ID, one.Head)
	}
	if err := b.startSegment(r); err != nil {
		return err
	}
	if r.cut > 0 {
		j.log.Warn("the end of the log does not count: a write did not finish, or the file was damaged", slog.Int64("bytes", r.cut))
	}
	if err := b.deleteExpired(expired); err != nil {
		return err
	}
	if len(r.damaged) > 0 {
		return b.setAside(r)
	}
	return nil
}

func (b *backend) startSegment(r *replay) error {
	j := b.j
	h := header{}
	j.tried, j.erased = r.newest, r.erased
	for _, l := range r.links {
		j.sizes[l.seq] = l.size
		h.pred, h.valid, h.base = l.seq, uint64(l.size), max(h.base, l.base)
	}
	if h.pred != 0 {
		if err := j.files.Sync(segmentName(h.pred)); err != nil {
			return fmt.Errorf("failed to sync the last segment: %w", err)
		}
	}
	f, h, err := j.begin(h, nil)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.useLocked(f, h, headerFrame)
	j.mu.Unlock()
	for _, name := range r.stale {
		if err := j.remove(name); err != nil {
			j.log.Warn("an old file could not be removed", slog.Any("error", err))
			break // the next start, or compaction, tries again
		}
	}
	return nil
}

// deleteExpired notes the end of what has expired while no process ran.
func (b *backend) deleteExpired(expired []uuid.UUID) error {
	for part := range slices.Chunk(expired, 1024) {
		batch, err := b.j.enter()
		if err != nil {
			return err
		}
		for _, id := range part {
			if e := b.j.entries[id]; e != nil {
				b.j.delete(batch, id, e)
			}
		}
		if err := b.j.leave(batch); err != nil {
			return err
		}
	}
	return nil
}

// setAside goes on without what is damaged, and tells what is lost.
//
// In this order: the damaged segments are copied to files that nobody reads, which
// are synced, and then the directory; all that could be read is copied into new
// segments, and the old ones are removed, as in compact. Before that counts,
// another start finds the damage again.
func (b *backend) setAside(r *replay) error {
	j := b.j
	for _, d := range r.damaged {
		j.log.Warn("a damaged segment is set aside",
			slog.String("file", d.File), slog.Int64("readable_bytes", d.Offset),
			slog.String("reason", d.Reason), slog.String("lost", "all changes behind the readable bytes; what was deleted in them may be back"),
			slog.String("kept", "what was said stays in the file, also when it is deleted, until the file is removed by hand"))
		if d.Reason == missing {
			continue
		}
		if err := j.copyAside(d.File); err != nil {
			return fmt.Errorf("failed to set %s aside: %w", d.File, err)
		}
	}
	behind := make([]string, 0, len(r.behind))
	for id := range r.behind {
		behind = append(behind, id.String()[:8]+"…")
	}
	slices.Sort(behind)
	j.log.Warn("conversations that lack later changes, which follow what is lost",
		slog.Int("count", len(behind)), slog.String("sessions", strings.Join(behind[:min(len(behind), 100)], " ")))
	return b.compact(context.Background())
}

// copyAside copies a file to one whose name says that it is damaged, and which
// replaces one of a repair that was cut short.
func (j *journal) copyAside(name string) error {
	data, err := j.files.Read(name, math.MaxInt64)
	if err != nil {
		return err
	}
	aside := name + ".damaged"
	f, err := j.files.Create(aside)
	if errors.Is(err, fs.ErrExist) {
		if err := j.remove(aside); err != nil {
			return err
		}
		f, err = j.files.Create(aside)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return j.files.SyncDir()
}
