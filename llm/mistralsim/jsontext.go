package mistralsim

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
)

// appendString appends s as a JSON string.
func appendString(b []byte, s string, ascii bool) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s, ascii)
	return append(b, '"')
}

// plain marks the bytes that stand for themselves in a JSON string: all but
// control characters, the quote and the backslash. Bytes beyond ASCII are
// among them, so text goes out byte for byte even where it is cut inside a
// character.
var plain = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= 0x20 && i != '"' && i != '\\'
	}
	return t
}()

// appendEscaped appends s as the inside of a JSON string; with ascii,
// everything beyond ASCII as \u escapes.
func appendEscaped(b []byte, s string, ascii bool) []byte {
	if ascii {
		return appendASCII(b, s)
	}
	start := 0
	for i := 0; i < len(s); i++ {
		if plain[s[i]] {
			continue
		}
		b = append(b, s[start:i]...)
		b = appendControl(b, s[i])
		start = i + 1
	}
	return append(b, s[start:]...)
}

func appendASCII(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r < 0x80 && plain[r]:
			b = append(b, byte(r))
		case r < 0x80:
			b = appendControl(b, byte(r))
		case r < 0x10000:
			b = appendUnit(b, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			b = appendUnit(appendUnit(b, hi), lo)
		}
	}
	return b
}

func appendControl(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return appendUnit(b, rune(c))
}

// appendUnit appends one UTF-16 unit as a \u escape.
func appendUnit(b []byte, u rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}

// toJSON encodes what is not on the token path, without escaping for HTML.
func toJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("mistralsim: " + err.Error()) // only our own types come here
	}
	return bytes.TrimSpace(b.Bytes())
}
