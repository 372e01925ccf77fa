package llm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// This file is a strict scanner for JSON (RFC 8259) that works by index: a
// function takes the bytes and where to begin, and returns where it ended, or
// -1 when the bytes are no JSON. It allocates nothing.

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 128

// space returns the index of the first byte from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// member steps to the next member of an object. i is behind the opening brace
// (first) or behind the member before. At the closing brace key is nil and at
// is the index behind it; otherwise at is the index of the member's value.
func member(b []byte, i int, first bool) (key []byte, at int) {
	i = space(b, i)
	if i < len(b) && b[i] == '}' {
		return nil, i + 1
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return nil, -1
		}
		i = space(b, i+1)
	}
	if i >= len(b) || b[i] != '"' {
		return nil, -1
	}
	end, plain := stringEnd(b, i+1)
	if end < 0 {
		return nil, -1
	}
	key = b[i+1 : end]
	if !plain {
		key = appendText(make([]byte, 0, len(key)), key)
	}
	i = space(b, end+1)
	if i >= len(b) || b[i] != ':' {
		return nil, -1
	}
	return key, space(b, i+1)
}

// element steps to the next element of an array, as member does in an object.
// At the closing bracket more is false and at is the index behind it.
func element(b []byte, i int, first bool) (at int, more bool) {
	i = space(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1, false
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return -1, false
		}
		i = space(b, i+1)
	}
	if i >= len(b) {
		return -1, false
	}
	return i, true
}

// skip returns the index behind the value at i. depth is how much deeper
// values may be nested.
func skip(b []byte, i, depth int) int {
	if i >= len(b) || depth <= 0 {
		return -1
	}
	switch b[i] {
	case '"':
		end, _ := stringEnd(b, i+1)
		if end < 0 {
			return -1
		}
		return end + 1
	case '{':
		i++
		for first := true; ; first = false {
			key, at := member(b, i, first)
			if key == nil {
				return at
			}
			if i = skip(b, at, depth-1); i < 0 {
				return -1
			}
		}
	case '[':
		i++
		for first := true; ; first = false {
			at, more := element(b, i, first)
			if !more {
				return at
			}
			if i = skip(b, at, depth-1); i < 0 {
				return -1
			}
		}
	case 'n':
		return literal(b, i, "null")
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	}
	return number(b, i)
}

func literal(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// isNull reports whether the value at i is null.
func isNull(b []byte, i int) bool { return literal(b, i, "null") > 0 }

func number(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits returns the index behind one or more digits at i.
func digits(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

// stringEnd returns the index of the quote that closes the string whose first
// byte is at i. plain says that the bytes before it are the text itself: ASCII
// without an escape. It looks at eight bytes at a time.
func stringEnd(b []byte, i int) (end int, plain bool) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	plain = true
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			// The lowest bit that is set marks the first byte that is a quote, a
			// backslash, a control character or not ASCII; higher ones may be wrong.
			found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w | w) & high
			if found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1, false
		}
		switch c := b[i]; {
		case c == '"':
			return i, plain
		case c == '\\':
			plain = false
			if i = escapeEnd(b, i+1); i < 0 {
				return -1, false
			}
		case c < 0x20:
			return -1, false
		case c >= utf8.RuneSelf:
			plain = false
			for i++; i < len(b) && b[i] >= utf8.RuneSelf; i++ {
			}
		default:
			i++
		}
	}
}

// escapeEnd returns the index behind the escape whose backslash is before i.
func escapeEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if hex4(b[i+1:]) >= 0 {
			return i + 5
		}
	}
	return -1
}

// hex4 returns the number that the first four bytes write in hexadecimal, or -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendText appends the text of a string to dst: raw is what stands between
// its quotes, as stringEnd accepted it. What is no character (a lone surrogate,
// a byte that is not UTF-8) becomes U+FFFD, as in encoding/json.
func appendText(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return appendValid(dst, raw)
		}
		dst = appendValid(dst, raw[:i])
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				var low rune = -1
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low = hex4(raw[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					raw = raw[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
}

// appendValid appends b, with U+FFFD for every byte that is not UTF-8.
func appendValid(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}
