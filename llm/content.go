package llm

// content reads a message's content: a string, null, or an array of parts
// ("text" and "thinking"; parts of other types hold no text and are skipped).
// Text goes to dst, which is d.text or d.thought, and that of thinking always
// to d.thought.
func (d *decoder) content(b []byte, at int, dst *[]byte, depth int) int {
	if at >= len(b) || depth <= 0 {
		return -1
	}
	switch b[at] {
	case '"':
		return d.str(b, at, dst)
	case 'n':
		return literal(b, at, "null")
	case '[':
		i := at + 1
		for first := true; ; first = false {
			at, more := element(b, i, first)
			if !more {
				return at
			}
			switch b[at] {
			case '"':
				i = d.str(b, at, dst)
			case '{':
				i = d.part(b, at+1, dst, depth-1)
			default:
				return -1
			}
			if i < 0 {
				return -1
			}
		}
	}
	return -1
}

// str appends the text of the string whose opening quote is at i.
func (d *decoder) str(b []byte, i int, dst *[]byte) int {
	end, plain := stringEnd(b, i+1)
	if end < 0 {
		return -1
	}
	if plain {
		*dst = append(*dst, b[i+1:end]...)
	} else {
		var ragged bool
		*dst, ragged = appendRagged(*dst, b[i+1:end])
		d.ragged = d.ragged || ragged
	}
	return end + 1
}

// part reads one part of a content array. Its keys come in any order, so what
// it holds is read when all of it was seen.
func (d *decoder) part(b []byte, i int, dst *[]byte, depth int) int {
	kind, text, thinking := "text", 0, 0
	for first := true; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			i = at
			break
		}
		if i = skip(b, at, depth); i < 0 {
			return -1
		}
		switch string(key) {
		case "type":
			switch string(b[at:i]) {
			case `"text"`:
				kind = "text"
			case `"thinking"`:
				kind = "thinking"
			default:
				kind = ""
			}
		case "text":
			text = at
		case "thinking":
			thinking = at
		}
	}
	if i < 0 {
		return -1
	}
	switch {
	case kind == "text" && text > 0 && !isNull(b, text):
		if b[text] != '"' || d.str(b, text, dst) < 0 {
			return -1
		}
	case kind == "thinking" && thinking > 0:
		d.thinks()
		if d.content(b, thinking, &d.thought, depth) < 0 {
			return -1
		}
	}
	return i
}
