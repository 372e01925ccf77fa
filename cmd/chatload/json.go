package main

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

var errFrame = errors.New("frame is not a JSON object")

// members calls each for every member of the JSON object that b is: a string's
// value without its quotes, any other as it stands.
func members(b []byte, each func(key, value []byte, escaped bool) error) error {
	b = blank(b)
	if len(b) == 0 || b[0] != '{' {
		return errFrame
	}
	for {
		b = blank(b[1:])
		if len(b) > 0 && b[0] == '}' {
			return nil
		}
		key, rest, err := value(b)
		if err != nil {
			return err
		}
		rest = blank(rest)
		if len(key) < 2 || key[0] != '"' || len(rest) == 0 || rest[0] != ':' {
			return errFrame
		}
		v, rest, err := value(blank(rest[1:]))
		if err != nil {
			return err
		}
		escaped := false
		if v[0] == '"' {
			v = v[1 : len(v)-1]
			escaped = bytes.IndexByte(v, '\\') >= 0
		}
		if err := each(key[1:len(key)-1], v, escaped); err != nil {
			return err
		}
		b = blank(rest)
		if len(b) > 0 && b[0] == '}' {
			return nil
		}
		if len(b) == 0 || b[0] != ',' {
			return errFrame
		}
	}
}

// blank cuts white space from the front of b.
func blank(b []byte) []byte {
	if len(b) > 0 && b[0] > ' ' {
		return b
	}
	return bytes.TrimLeft(b, " \t\r\n")
}

// value cuts the JSON value from the front of b.
func value(b []byte) (v, rest []byte, err error) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := quoted(b[i:])
			if n == 0 {
				return nil, nil, errFrame
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			end := bytes.IndexAny(b[i:], ",}] \t\r\n")
			if end == 0 {
				return nil, nil, errFrame
			}
			if end < 0 {
				end = len(b) - i
			}
			return b[:i+end], b[i+end:], nil
		}
		if depth < 0 {
			return nil, nil, errFrame
		}
		if depth == 0 {
			return b[:i+1], b[i+1:], nil
		}
	}
	return nil, nil, errFrame
}

// quoted is the length of the JSON string at the front of b, with its quotes;
// 0 when it does not end.
func quoted(b []byte) int {
	for n := 1; ; n++ {
		quote := bytes.IndexByte(b[n:], '"')
		if quote < 0 {
			return 0
		}
		n += quote
		slashes := 0
		for b[n-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return n + 1
		}
	}
}

// number reads a count.
func number(b []byte) (int, error) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<50 {
			return 0, fmt.Errorf("%q is no count", b)
		}
		n = 10*n + int(c-'0')
	}
	if len(b) == 0 {
		return 0, errFrame
	}
	return n, nil
}

// unescape appends to dst what the inside of a JSON string says (RFC 8259
// section 7).
func unescape(dst, s []byte) ([]byte, error) {
	for {
		at := bytes.IndexByte(s, '\\')
		if at < 0 {
			return append(dst, s...), nil
		}
		dst = append(dst, s[:at]...)
		s = s[at:]
		if len(s) < 2 {
			return dst, errFrame
		}
		if s[1] != 'u' {
			to := bytes.IndexByte([]byte(`"\/bfnrt`), s[1])
			if to < 0 {
				return dst, fmt.Errorf("escape %q", s[:2])
			}
			dst = append(dst, "\"\\/\b\f\n\r\t"[to])
			s = s[2:]
			continue
		}
		r, err := hex(s)
		if err != nil {
			return dst, err
		}
		s = s[6:]
		if utf16.IsSurrogate(r) {
			low, err := hex(s)
			if r = utf16.DecodeRune(r, low); err != nil || r == utf8.RuneError {
				return dst, errors.New("half a surrogate pair")
			}
			s = s[6:]
		}
		dst = utf8.AppendRune(dst, r)
	}
}

// hex reads an escape (\u and four hexadecimal digits) from the front of s.
func hex(s []byte) (rune, error) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, errFrame
	}
	var r rune
	for _, c := range s[2:6] {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if digit < 0 || c < '0' {
			return 0, fmt.Errorf("escape %q", s[:6])
		}
		r = r<<4 | rune(digit)
	}
	return r, nil
}
