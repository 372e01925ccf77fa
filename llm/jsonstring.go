package llm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

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
	from := len(dst)
	dst, ragged := appendRagged(dst, raw)
	if !ragged {
		return dst
	}
	dst, rest := appendWhole(dst[:from], append([]byte(nil), dst[from:]...))
	return appendEnd(dst, rest)
}

// appendRagged is appendText but for what is no character, which it leaves as it
// is, surrogates as appendSurrogate has them: the next string may have the rest of
// it. ragged says that there is such a thing.
func appendRagged(dst, raw []byte) (text []byte, ragged bool) {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...), ragged || !utf8.Valid(raw)
		}
		dst, ragged = append(dst, raw[:i]...), ragged || !utf8.Valid(raw[:i])
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
				low := rune(-1)
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low = hex4(raw[2:])
				}
				whole := utf16.DecodeRune(r, low)
				if whole == utf8.RuneError {
					dst, ragged = appendSurrogate(dst, r), true
					continue
				}
				r, raw = whole, raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
}
