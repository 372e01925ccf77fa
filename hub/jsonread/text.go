package jsonread

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain has the bytes that stand for themselves in a string, of ASCII.
var plain = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// chars reads a string after its first quote and appends it to dst, until dst
// has more than most bytes.
func (r *Reader) chars(dst []byte, most int) ([]byte, error) {
	for {
		rest := r.buf[r.pos:]
		n := 0
		for n < len(rest) && plain[rest[n]] {
			n++
		}
		dst = r.keep(dst, rest[:n], most)
		r.pos += n
		if n == len(rest) {
			if !r.fill() {
				return dst, r.early()
			}
			continue
		}
		var err error
		switch c := rest[n]; {
		case c == '"':
			r.pos++
			return dst, nil
		case c == '\\':
			dst, err = r.escape(dst, most)
		case c < ' ':
			err = r.wrong("a control character in a string must be escaped")
		default:
			dst, err = r.letter(dst, most)
		}
		if err != nil {
			return dst, err
		}
	}
}

// keep appends p to dst, of which no more than most bytes and one are wanted, or
// gives it to Pieces' caller.
func (r *Reader) keep(dst, p []byte, most int) []byte {
	if r.piece != nil {
		r.piece(p)
		return dst
	}
	if len(dst) > most {
		return dst
	}
	return append(dst, p[:min(len(p), most+1-len(dst))]...)
}

// letter reads a character that is no ASCII.
func (r *Reader) letter(dst []byte, most int) ([]byte, error) {
	for !utf8.FullRune(r.buf[r.pos:]) {
		if !r.fill() {
			return dst, r.early()
		}
	}
	c, n := utf8.DecodeRune(r.buf[r.pos:])
	if c == utf8.RuneError && n == 1 {
		return dst, r.wrong("the text is not UTF-8")
	}
	dst = r.keep(dst, r.buf[r.pos:r.pos+n], most)
	r.pos += n
	return dst, nil
}

// escape reads a character that is written with a backslash.
func (r *Reader) escape(dst []byte, most int) ([]byte, error) {
	if !r.have(2) {
		return dst, r.early()
	}
	var c rune
	switch e := r.buf[r.pos+1]; e {
	case '"', '\\', '/':
		c = rune(e)
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return r.unit(dst, most)
	default:
		return dst, r.wrong("there is no such escape")
	}
	r.pos += 2
	r.char[0] = byte(c)
	return r.keep(dst, r.char[:1], most), nil
}

// unit reads an escape of four digits, and the other half of a surrogate pair with it.
func (r *Reader) unit(dst []byte, most int) ([]byte, error) {
	if !r.have(6) {
		return dst, r.early()
	}
	c := r.peekUnit()
	if c < 0 {
		return dst, r.wrong("there is no such escape")
	}
	r.pos += 6
	if utf16.IsSurrogate(c) {
		low := rune(-1)
		if r.have(6) {
			low = r.peekUnit()
		}
		if c = utf16.DecodeRune(c, low); c != utf8.RuneError {
			r.pos += 6
		}
	}
	return r.keep(dst, r.char[:utf8.EncodeRune(r.char[:], c)], most), nil
}

// peekUnit returns what the next 6 bytes stand for if they are such an escape, or -1.
func (r *Reader) peekUnit() rune {
	p := r.buf[r.pos : r.pos+6]
	if p[0] != '\\' || p[1] != 'u' {
		return -1
	}
	var c rune
	for _, d := range p[2:] {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return -1
		}
		c = c<<4 | rune(d)
	}
	return c
}
