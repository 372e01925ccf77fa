package hub

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/google/uuid"
)

// AppendDelta appends a text-delta chunk to dst: its JSON with the offset that
// WebSocket adds, or without, when offset is negative. This is the token path:
// nothing is reflected on, and nothing allocated but dst's growth.
func AppendDelta(dst []byte, id uuid.UUID, delta []byte, offset int) []byte {
	dst = append(dst, `{"type":"text-delta","id":"`...)
	dst = appendUUID(dst, id)
	dst = append(dst, `","delta":"`...)
	dst = AppendJSONText(dst, delta)
	dst = append(dst, '"')
	if offset >= 0 {
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, int64(offset), 10)
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

func appendUUID(dst []byte, id uuid.UUID) []byte {
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// AppendJSONText appends s as the inside of a JSON string (RFC 8259, section 7).
// Bytes that are no UTF-8 become U+FFFD.
func AppendJSONText(dst, s []byte) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

// appendJSON appends v's JSON to dst, with <, > and & as they are: no frame is
// HTML. It is for what is not sent per token.
func appendJSON(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("hub: a frame that is no JSON: " + err.Error()) // the types are ours: cannot happen
	}
	out := b.Bytes()
	return out[:len(out)-1] // Encode's line end
}
