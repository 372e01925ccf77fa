package filestore

import (
	"fmt"
	"math"
	"slices"
)

// DamageError says where a store is damaged. A start refuses it; with
// Config.Repair it goes on without.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d (%s); started with --repair, the server sets it aside and logs what is lost with it",
		e.File, e.Offset, e.Reason)
}

const missing = "it is missing"

// link is a segment that counts.
type link struct {
	header
	name  string
	valid int64 // how many bytes of it count; -1: up to its last whole frame
	size  int64 // how many that is
}

// findChain finds the segments that count. Each names the one before it. Errors:
// *DamageError; a format that is newer.
func (r *replay) findChain() error {
	seqs, err := segments(r.files)
	if err != nil {
		return err
	}
	if n := len(seqs); n > 0 {
		r.newest = seqs[n-1]
	}
	want, valid, base := uint64(math.MaxUint64), int64(-1), uint64(0)
	for _, seq := range slices.Backward(seqs) {
		name := segmentName(seq)
		if seq > want || seq < base || want == 0 {
			r.stale = append(r.stale, name)
			continue
		}
		if seq < want && want != math.MaxUint64 {
			if err := r.damage(segmentName(want), 0, missing); err != nil {
				return err
			}
			valid = -1
		}
		h, torn, err := readSegmentHeader(r.files, name)
		switch {
		case err != nil:
			return err
		case h.seq == seq:
			r.links = append(r.links, link{header: h, name: name, valid: valid})
			want, valid, base = h.pred, int64(h.valid), max(base, h.base)
			if want < base {
				want = 0
			}
		case torn && want == math.MaxUint64:
			r.stale = append(r.stale, name) // its making was cut short
		default:
			if err := r.damage(name, 0, "it does not begin with its header"); err != nil {
				return err
			}
			want, valid = math.MaxUint64, -1
		}
	}
	if want != 0 && want != math.MaxUint64 {
		if err := r.damage(segmentName(want), 0, missing); err != nil {
			return err
		}
	}
	slices.Reverse(r.links)
	slices.Reverse(r.stale)
	return nil
}

// damage notes damage. Errors: *DamageError, without repair.
func (r *replay) damage(name string, at int64, reason string) error {
	d := &DamageError{File: name, Offset: at, Reason: reason}
	if !r.repair {
		return d
	}
	r.damaged = append(r.damaged, d)
	return nil
}

// readSegmentHeader reads a segment's header. seq is 0 where there is none, or the
// segment does not count yet; torn tells that its making was cut short.
func readSegmentHeader(files files, name string) (h header, torn bool, err error) {
	data, err := files.Read(name, headerFrame+1)
	if err != nil {
		return h, false, fmt.Errorf("failed to read %s: %w", name, err)
	}
	h, ok, err := readHeader(data)
	if err != nil {
		return h, false, fmt.Errorf("failed to read %s: %w", name, err)
	}
	if !ok {
		return header{}, int64(len(data)) <= headerFrame, nil
	}
	if h.pending == 0 {
		return h, false, nil
	}
	if data, err = files.Read(name, math.MaxInt64); err != nil {
		return h, false, fmt.Errorf("failed to read %s: %w", name, err)
	}
	if end, ok := isReady(data); !ok {
		return header{}, markedBehind(data, end, h.run) <= int64(end), nil
	}
	return h, false, nil
}
