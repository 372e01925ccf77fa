package hub

import (
	"sort"
	"strings"
	"unicode/utf8"
	"unsafe"
)

const (
	// maxDelta is the most text that one delta carries, in bytes.
	maxDelta   = 16 << 10
	firstBlock = 512
	lastBlock  = 32 << 10
)

// text is what a reply says: bytes that are only ever appended to, in blocks
// that never move, so that what was handed out stays valid while more is
// written, and a long reply is not copied as it grows. No block ends inside a
// character. It has no lock: Reply's guards it.
type text struct {
	blocks []block
	size   int
}

type block struct {
	start int // offset of its first byte
	b     []byte
}

// stored returns s as a text, without copying it.
func stored(s string) text {
	if s == "" {
		return text{}
	}
	return text{blocks: []block{{b: unsafe.Slice(unsafe.StringData(s), len(s))}}, size: len(s)}
}

// append adds p, which is whole characters.
func (t *text) append(p []byte) {
	for len(p) > 0 {
		n := len(t.blocks)
		if n == 0 || cap(t.blocks[n-1].b)-len(t.blocks[n-1].b) < utf8.UTFMax {
			t.grow()
			continue
		}
		last := &t.blocks[n-1]
		k := whole(p, cap(last.b)-len(last.b))
		if k == 0 {
			t.grow()
			continue
		}
		last.b = append(last.b, p[:k]...)
		t.size += k
		p = p[k:]
	}
}

func (t *text) grow() {
	size := firstBlock
	if n := len(t.blocks); n > 0 {
		size = max(size, min(2*cap(t.blocks[n-1].b), lastBlock)) // of a block that was cut little may be left
	}
	t.blocks = append(t.blocks, block{start: t.size, b: make([]byte, 0, size)})
}

// from returns what follows the first off bytes: at most limit bytes, whole
// characters, and nothing only where nothing follows. The bytes stay valid and
// must not be changed.
func (t *text) from(off, limit int) []byte {
	if off >= t.size || limit <= 0 {
		return nil
	}
	i := len(t.blocks) - 1
	if t.blocks[i].start > off { // who keeps up reads in the last one
		i = sort.Search(i, func(i int) bool { return t.blocks[i].start > off }) - 1
	}
	b := t.blocks[i].b[off-t.blocks[i].start:]
	return b[:whole(b, limit)]
}

// splits tells whether off lies between two characters of t, or at its end.
func (t *text) splits(off int) bool {
	if off < 0 || off > t.size {
		return false
	}
	b := t.from(off, utf8.UTFMax)
	return len(b) == 0 || utf8.RuneStart(b[0])
}

// cut forgets all but the first n bytes. What was handed out stays as it was:
// the block that is cut is copied.
func (t *text) cut(n int) {
	for i, b := range t.blocks {
		if b.start+len(b.b) > n {
			kept := append([]byte(nil), b.b[:max(0, n-b.start)]...)
			t.blocks = append(t.blocks[:i:i], block{start: b.start, b: kept})
			t.size = n
			return
		}
	}
}

func (t *text) String() string {
	if len(t.blocks) == 1 {
		// The bytes written never change, so the string may share them.
		b := t.blocks[0].b
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	var s strings.Builder
	s.Grow(t.size)
	for _, b := range t.blocks {
		s.Write(b.b)
	}
	return s.String()
}

// whole returns how much of p, at most limit bytes, can be taken without
// cutting a character.
func whole(p []byte, limit int) int {
	if len(p) <= limit {
		return len(p)
	}
	for n := limit; n > 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(p[n]) {
			return n
		}
	}
	return limit
}
