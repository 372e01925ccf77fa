package filestore

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// header is the first frame of a segment.
type header struct {
	seq   uint64 // of the segment
	pred  uint64 // the segment before it; 0: none
	valid uint64 // how many bytes of pred count: not what a failed write left after them
	base  uint64 // segments before this one do not count any more: a compaction copied them
	run   uint64 // random name of the process; streams are numbered in it
	start uint64 // when that began, in Unix seconds
	// pending: the segment counts only once it has a frame of kindReady. The frames before
	// that replace what does not count of pred.
	pending uint64
}

// fields are the numbers of a header, in their order.
func (h *header) fields() [7]*uint64 {
	return [...]*uint64{&h.seq, &h.pred, &h.valid, &h.base, &h.run, &h.start, &h.pending}
}

const (
	magic         = "chathub"
	format        = 1
	headerPayload = 1 + len(magic) + 1 + 7*8
	headerFrame   = int64(frameHeader + headerPayload)
)

func (h header) frame() []byte {
	at, buf := beginFrame(nil, kindHeader)
	buf = append(append(buf, magic...), format)
	for _, n := range h.fields() {
		buf = binary.LittleEndian.AppendUint64(buf, *n)
	}
	endFrame(buf, at)
	return buf
}

// readHeader reads a segment's header. ok is false where data does not begin with
// one. Errors: a format that is newer than this program.
func readHeader(data []byte) (h header, ok bool, err error) {
	p, _ := nextFrame(data)
	if len(p) < 2+len(magic) || kind(p[0]) != kindHeader || string(p[1:1+len(magic)]) != magic {
		return h, false, nil
	}
	if p[1+len(magic)] != format {
		return h, false, fmt.Errorf("its format is %d, and this program knows %d", p[1+len(magic)], format)
	}
	if len(p) != headerPayload {
		return h, false, nil
	}
	p = p[2+len(magic):]
	for i, n := range h.fields() {
		*n = binary.LittleEndian.Uint64(p[8*i:])
	}
	return h, true, nil
}

// segmentName is a segment's file.
func segmentName(seq uint64) string { return fmt.Sprintf("%012d.log", seq) }

func segmentSeq(name string) (seq uint64, ok bool) {
	if !strings.HasSuffix(name, ".log") {
		return 0, false
	}
	_, err := fmt.Sscanf(name, "%d.log", &seq)
	return seq, err == nil && seq > 0 && segmentName(seq) == name
}

// segments returns the segments that there are, the oldest first.
func segments(files files) (seqs []uint64, err error) {
	names, err := files.List()
	if err != nil {
		return nil, fmt.Errorf("failed to list the directory: %w", err)
	}
	for _, name := range names {
		if seq, ok := segmentSeq(name); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// markFrame says how many bytes of its segment were synced: damage before them is not just a
// torn tail. run is the segment's, see header: somebody may say what looks like a mark, but
// does not know that number.
func markFrame(synced int64, run uint64) []byte {
	at, buf := beginFrame(nil, kindMark)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(synced)^run)
	endFrame(buf, at)
	return buf
}

const markSize = frameHeader + 1 + 8

// markedBehind returns how many bytes of a segment were synced, as marks after offset at say,
// where no frame can be read.
func markedBehind(data []byte, at int, run uint64) (synced int64) {
	for ; at+markSize <= len(data); at++ {
		if binary.LittleEndian.Uint32(data[at:]) != markSize-frameHeader || kind(data[at+frameHeader]) != kindMark {
			continue
		}
		if p, size := nextFrame(data[at:]); size == markSize {
			if n := binary.LittleEndian.Uint64(p[1:]) ^ run; n <= uint64(at) { // else it is no mark of this segment's
				synced = max(synced, int64(n))
			}
		}
	}
	return synced
}

// readyFrame makes a pending segment count.
func readyFrame() []byte {
	at, buf := beginFrame(nil, kindReady)
	endFrame(buf, at)
	return buf
}

// isReady reports whether a pending segment has its ready frame; if not, end is the length of
// its whole frames.
func isReady(data []byte) (end int, ok bool) {
	for end < len(data) {
		payload, n := nextFrame(data[end:])
		if n == 0 {
			break
		}
		if kind(payload[0]) == kindReady {
			return end, true
		}
		end += n
	}
	return end, false
}
