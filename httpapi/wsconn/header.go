package wsconn

import (
	"encoding/binary"
	"math"
)

// headers looks at the frame headers in what the peer sends (RFC 6455, section 5.2)
// before the library does, which would read a message that is too large up to its
// limit. The zero value is ready. It belongs to the reader.
type headers struct {
	skip    uint64   // bytes of mask and payload until the next header
	message uint64   // bytes of the message so far, as its frames declare
	head    [10]byte // of the frame that begins, without its mask
	n       uint8    // bytes of head
	broken  bool     // this is no valid frame: the library will end the connection
	over    bool     // the message is too large
}

// look goes through p and returns how much of it the library may have: all, or what is
// before the header of a frame that makes its message larger than most bytes.
func (h *headers) look(p []byte, most int) int {
	begun := 0 // where in p the frame begins
	for i := 0; i < len(p) && !h.over && !h.broken; {
		if h.skip > 0 {
			k := min(h.skip, uint64(len(p)-i))
			h.skip -= k
			i += int(k)
			continue
		}
		if h.n == 0 {
			begun = i
		}
		h.head[h.n] = p[i]
		h.n++
		i++
		h.checkHeader(most)
	}
	if h.over {
		return begun
	}
	return len(p)
}

// checkHeader looks at the header as far as it is there.
func (h *headers) checkHeader(most int) {
	const fin, control = 0x80, 0x08
	_, size, ok := frameHeader(h.head[:h.n])
	h.broken = h.n >= 2 && h.head[1]&masked == 0 || size > math.MaxInt64
	if !ok || h.broken {
		return
	}
	if h.head[0]&control == 0 {
		h.message += size
		h.over = h.message > uint64(most)
	}
	if h.head[0]&(fin|control) == fin {
		h.message = 0
	}
	h.n, h.skip = 0, maskSize+size
}

const (
	masked   = 0x80 // in a header's second byte
	maskSize = 4
)

// frameHeader returns the size of the header, with its mask, with which b begins, and
// of the payload; ok is false if that is not told yet. The mask may be missing.
func frameHeader(b []byte) (head int, size uint64, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	head, size = 2, uint64(b[1]&^masked)
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, binary.BigEndian.Uint64(b[2:])
	case size >= 126:
		return 0, 0, false
	}
	if b[1]&masked != 0 {
		head += maskSize
	}
	return head, size, true
}
