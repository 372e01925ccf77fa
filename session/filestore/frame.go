package filestore

import (
	"encoding/binary"
	"hash/crc32"
)

// A segment is a row of frames: the payload's length, a CRC-32C over the length
// and the payload, each in four bytes, and the payload. Its first byte is its
// kind. A length is never 0, so that a tail of zeros is no frame.
const (
	frameHeader = 8
	// maxPayload bounds a frame: a greater length is damage, for which no memory is
	// allocated.
	maxPayload = 1 << 30
)

// kind says what a payload is.
type kind byte

const (
	kindHeader kind = 1 + iota // of the segment; only its first frame
	kindCommit                 // a change of a conversation
	kindState                  // all of a conversation, as it stands
	kindDelete                 // a conversation is gone
	kindAppend                 // texts of running replies have grown
	kindTouch                  // conversations were used
	kindMark                   // so much of the segment was synced
	kindReady                  // the segment counts, see header.pending
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame appends room for a frame's header; endFrame fills it once the payload was
// appended.
func beginFrame(buf []byte, k kind) (at int, _ []byte) {
	return len(buf), append(buf, 0, 0, 0, 0, 0, 0, 0, 0, byte(k))
}

func endFrame(buf []byte, at int) {
	frame := buf[at:]
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameHeader))
	binary.LittleEndian.PutUint32(frame[4:], frameSum(frame))
}

// frameSum is over the length and the payload.
func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, frame[:4]), castagnoli, frame[frameHeader:])
}

// nextFrame returns the payload of the frame that data begins with, and how long
// the frame is; 0: it does not begin with a whole frame.
func nextFrame(data []byte) (payload []byte, size int) {
	if len(data) < frameHeader {
		return nil, 0
	}
	n := int64(binary.LittleEndian.Uint32(data))
	if n == 0 || n > maxPayload || n > int64(len(data)-frameHeader) {
		return nil, 0
	}
	frame := data[:frameHeader+n]
	if binary.LittleEndian.Uint32(frame[4:]) != frameSum(frame) {
		return nil, 0
	}
	return frame[frameHeader:], len(frame)
}

// reader reads a payload. After a read that the payload is too short for, failed
// is set, and all that is read is empty.
type reader struct {
	p      []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.failed, r.p = true, nil
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.p)
	if size <= 0 {
		r.failed, r.p = true, nil
		return 0
	}
	r.p = r.p[size:]
	return n
}

func (r *reader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// count is a number that cannot be larger than what follows it is long.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.p)) {
		r.failed, r.p = true, nil
		return 0
	}
	return int(n)
}

// length is a number of bytes that may be elsewhere.
func (r *reader) length() int {
	n := r.uvarint()
	if n > maxPayload {
		r.failed, r.p = true, nil
		return 0
	}
	return int(n)
}

// block is bytes with their number before them.
func (r *reader) block() []byte { return r.bytes(r.count()) }

func (r *reader) string() string { return string(r.block()) }

func appendBlock[T ~string | ~[]byte](buf []byte, b T) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(b))), b...)
}
