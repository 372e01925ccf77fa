package session

import (
	"bytes"
	"unicode/utf8"
)

// Cursor is a place in a text. It belongs to one goroutine at a time.
type Cursor struct {
	t    *Text
	b    *block
	off  int
	part Part
	text int // bytes of text before it
}

func (t *Text) start() Cursor { return Cursor{t: t, b: t.first, part: PartText} }

// At returns the place after the first off bytes. If the text has no such place, or not yet,
// ok is false and the place is the beginning.
func (t *Text) At(off int) (c Cursor, ok bool) {
	bound := t.Safe()
	if off < 0 || off > bound {
		return t.start(), false
	}
	c = t.start()
	for c.off < off {
		c.pass(c.rest(off))
	}
	if p := c.rest(bound); len(p) > 0 && !utf8.RuneStart(p[0]) {
		return t.start(), false
	}
	return c, true
}

// TextAt returns the offset after the first n bytes of text without reasoning; ok is false
// if there are not so many, or not yet.
func (t *Text) TextAt(n int) (off int, ok bool) {
	c := t.start()
	for c.text < n {
		if len(c.Next(n-c.text)) == 0 {
			return 0, false
		}
	}
	return c.off, true
}

// pass moves past p, the bytes that follow.
func (c *Cursor) pass(p []byte) {
	for c.off += len(p); ; {
		n := bytes.IndexByte(p, Mark)
		if c.part == PartText {
			c.text += len(p)
			if n >= 0 {
				c.text -= len(p) - n
			}
		}
		if n < 0 || n+markLen > len(p) {
			return
		}
		c.part, p = Part(p[n+1]), p[n+markLen:]
	}
}

// Off is the place's offset in bytes, Part the part that it is in, and TextOff how many bytes
// before it are text without reasoning.
func (c *Cursor) Off() int     { return c.off }
func (c *Cursor) Part() Part   { return c.part }
func (c *Cursor) TextOff() int { return c.text }

// Behind is how many bytes there are to read.
func (c *Cursor) Behind() int { return max(0, c.t.Safe()-c.off) }

// Next returns the bytes that follow, of one part, at most limit and whole characters, and
// moves past them; nothing if there is no more for now. It skips marks. The bytes stay valid
// and must not be changed.
func (c *Cursor) Next(limit int) []byte {
	bound := c.t.Safe()
	p := c.rest(bound)
	for len(p) >= markLen && p[0] == Mark {
		c.part = Part(p[1])
		c.off += markLen
		p = c.rest(bound)
	}
	p = p[:RuneBoundary(p, limit)]
	if n := bytes.IndexByte(p, Mark); n >= 0 {
		p = p[:n]
	}
	c.off += len(p)
	if c.part == PartText {
		c.text += len(p)
	}
	return p
}

// next is Next for the bytes below bound, marks included.
func (c *Cursor) next(limit, bound int) []byte {
	p := c.rest(bound)
	p = p[:RuneBoundary(p, limit)]
	c.off += len(p)
	return p
}

// rest returns the bytes after c and below bound in c's block. bound was loaded from safe or
// appended before, so the block that holds it is visible.
func (c *Cursor) rest(bound int) []byte {
	for c.off < bound {
		end := bound
		if next := c.b.next.Load(); next != nil {
			if next.start <= c.off {
				c.b = next
				continue
			}
			end = min(bound, next.start)
		}
		return c.b.buf[c.off-c.b.start : end-c.b.start]
	}
	return nil
}
