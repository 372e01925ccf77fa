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

// escapeEnd returns the index after the escape whose backslash is before i.
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

// appendRagged is appendText, but it leaves incomplete characters as they are, and surrogates
// as appendSurrogate writes them: the next string may complete them. ragged: there are some.
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

// half is the first part of a character that the next delta completes: a high surrogate, or
// some bytes of UTF-8. Text and thoughts have one each; nil: none.
type half struct {
	text, thought []byte
	waits         bool // one of them is not nil
}

// join makes valid UTF-8 of the half in kept and what a delta has appended to all from index
// from on. A new half at the end is cut off, and put into kept.
func (h *half) join(all []byte, from int, kept *[]byte) []byte {
	if len(all) == from {
		return all
	}
	raw := append(*kept, all[from:]...)
	all, rest := appendWhole(all[:from], raw)
	if *kept = nil; len(rest) > 0 {
		*kept = append([]byte(nil), rest...)
	}
	h.waits = h.text != nil || h.thought != nil
	return all
}

// appendEnd appends a half whose other half never came: no character.
func appendEnd(dst, half []byte) []byte {
	if surrogate(half) >= 0 {
		dst, half = utf8.AppendRune(dst, utf8.RuneError), half[surrogateLen:]
	}
	for range half {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	return dst
}

// A lone surrogate is kept as the three bytes that it would have in UTF-8 if it
// were a character, until its other half is known.
const surrogateLen = 3

// appendSurrogate appends a lone surrogate.
func appendSurrogate(dst []byte, r rune) []byte {
	return append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
}

// surrogate returns the surrogate that b begins with, or -1.
func surrogate(b []byte) rune {
	if len(b) < surrogateLen || b[0] != 0xED || b[1]&0xE0 != 0xA0 || b[2]&0xC0 != 0x80 {
		return -1
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F)
}

// appendWhole appends raw as valid UTF-8: pairs of surrogates as the character they
// stand for, U+FFFD for what is none. rest is what the end of raw may yet become.
func appendWhole(dst, raw []byte) (valid, rest []byte) {
	for len(raw) > 0 {
		if high := surrogate(raw); high >= 0 {
			after := raw[surrogateLen:]
			low := surrogate(after)
			switch {
			case high < 0xDC00 && low >= 0xDC00:
				dst = utf8.AppendRune(dst, (high-0xD800)<<10|(low-0xDC00)+0x10000)
				raw = after[surrogateLen:]
				continue
			case high < 0xDC00 && partSurrogate(after):
				return dst, raw
			}
			dst = utf8.AppendRune(dst, utf8.RuneError)
			raw = after
			continue
		}
		if !utf8.FullRune(raw) || partSurrogate(raw) {
			return dst, raw
		}
		r, n := utf8.DecodeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[n:]
	}
	return dst, nil
}

// partSurrogate says whether b is the beginning of a surrogate, and no more.
func partSurrogate(b []byte) bool {
	return len(b) == 0 || len(b) < surrogateLen && b[0] == 0xED && (len(b) == 1 || b[1]&0xE0 == 0xA0)
}
