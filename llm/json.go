package llm

// This file and jsonstring.go are a strict scanner for JSON (RFC 8259) that works by index: a
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

// member steps to the next member of an object. i is after the opening brace (first) or
// after the member before. At the closing brace key is nil and at is the index after it;
// otherwise at is the index of the member's value.
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
// At the closing bracket more is false and at is the index after it.
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

// skip returns the index after the value at i. depth is how much deeper
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

// digits returns the index after one or more digits at i.
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
