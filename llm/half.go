package llm

import "unicode/utf8"

// half is the first part of a character whose second comes with the next delta: a
// high surrogate, or some bytes. Text and thoughts have one each; nil: none.
type half struct {
	text, thought []byte
	waits         bool // one of them is there
}

// join makes valid UTF-8 of what a delta appended to all from index from on, with
// the half before it in front. What waits for its other half is taken off the end
// and kept.
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
