package jsonread

import "strings"

// Object reads an object and calls field for each of its names that is one of
// names (of at most 64 bytes each). field reads the value with r, or fails. The
// others are skipped. Errors: *TypeError, *SyntaxError, src's, field's.
func (r *Reader) Object(field func(name string) error, names ...string) error {
	ok, err := r.enter(Object)
	for first := true; ok && err == nil; first = false {
		if ok, err = r.element(Object, first); !ok || err != nil {
			break
		}
		if name := one(names, r.name); name != "" {
			err = field(name)
		} else {
			err = r.Skip()
		}
	}
	return err
}

// one returns the one of names that is name, or "".
func one(names []string, name []byte) string {
	for _, n := range names {
		if n == string(name) {
			return n
		}
	}
	return ""
}

// Array reads an array and calls element for each of its values, which element
// reads with r, or fails. Errors: *TypeError, *SyntaxError, src's, element's.
func (r *Reader) Array(element func() error) error {
	ok, err := r.enter(Array)
	for first := true; ok && err == nil; first = false {
		if ok, err = r.element(Array, first); ok && err == nil {
			err = element()
		}
	}
	return err
}

// String reads a string and appends it to dst until dst has more than most
// bytes. What follows is checked and not kept, so a string that is too
// long costs no more than one that is not, and can be told from it.
// Errors: *TypeError, *SyntaxError, src's.
func (r *Reader) String(dst []byte, most int) ([]byte, error) {
	ok, err := r.begins(String)
	if err != nil || !ok {
		return dst, err
	}
	r.pos++
	return r.chars(dst, most)
}

// Pieces reads a string and calls piece with what it says, in order, in parts
// that are piece's only for the call. Errors: *TypeError, *SyntaxError, src's.
func (r *Reader) Pieces(piece func(p []byte)) error {
	r.piece = piece
	defer func() { r.piece = nil }()
	_, err := r.String(nil, 0)
	return err
}

// Bool reads a boolean. Errors: *TypeError, *SyntaxError, src's.
func (r *Reader) Bool() (bool, error) {
	ok, err := r.begins(Bool)
	if err != nil || !ok {
		return false, err
	}
	is := r.buf[r.pos] == 't'
	return is, r.scalar(Bool)
}

// Skip reads the next value, whatever it is. Errors: *SyntaxError, src's.
func (r *Reader) Skip() error {
	open := r.open[:0]
	defer func() { r.open = open }()
	for {
		kind, err := r.Kind()
		if err != nil {
			return err
		}
		first := kind == Object || kind == Array
		if first {
			open = append(open, byte(kind))
			_, err = r.enter(kind)
		} else {
			err = r.scalar(kind)
		}
		for more := false; err == nil && !more; first = false {
			if len(open) == 0 {
				return nil
			}
			if more, err = r.element(Kind(open[len(open)-1]), first); !more {
				open = open[:len(open)-1]
			}
		}
		if err != nil {
			return err
		}
	}
}

// begins tells whether a value of this kind begins here. It reads null, for
// which it returns false.
func (r *Reader) begins(want Kind) (bool, error) {
	switch is, err := r.Kind(); {
	case err != nil:
		return false, err
	case is == Null:
		return false, r.scalar(Null)
	case is != want:
		r.typ = TypeError{Is: is, Want: want}
		return false, &r.typ
	}
	return true, nil
}

// enter reads the bracket that opens an object or an array, or null, for which
// it returns false.
func (r *Reader) enter(kind Kind) (bool, error) {
	ok, err := r.begins(kind)
	if err != nil || !ok {
		return false, err
	}
	if r.depth == maxDepth {
		return false, r.wrong("the nesting is too deep")
	}
	r.depth++
	r.pos++
	return true, nil
}

// element goes to the next value in an object, whose name is then in r.name, or
// in an array. It returns false after the bracket that closes it.
func (r *Reader) element(kind Kind, first bool) (bool, error) {
	const toClose = 2 // from [ to ], from { to }
	c := r.next()
	if c == byte(kind)+toClose {
		r.pos++
		r.depth--
		return false, nil
	}
	if !first {
		if c != ',' {
			return false, r.wrong("a comma or the closing bracket must follow")
		}
		r.pos++
		c = r.next()
	}
	if kind == Array {
		return true, nil
	}
	if c != '"' {
		return false, r.wrong("there is no name")
	}
	r.pos++
	var err error
	if r.name, err = r.chars(r.name[:0], maxName); err != nil {
		return false, err
	}
	if r.next() != ':' {
		return false, r.wrong("a colon must follow the name")
	}
	r.pos++
	return true, nil
}

// scalar reads a value that is no object and no array.
func (r *Reader) scalar(kind Kind) error {
	switch kind {
	case String:
		r.pos++
		_, err := r.chars(nil, -1)
		return err
	case Number:
		return r.number()
	}
	word := "null"
	if kind == Bool {
		if word = "true"; r.buf[r.pos] == 'f' {
			word = "false"
		}
	}
	for i := range len(word) {
		if !r.have(1) || r.buf[r.pos] != word[i] {
			return r.wrong("there is no value")
		}
		r.pos++
	}
	return nil
}

// number reads a number (RFC 8259, section 6).
func (r *Reader) number() error {
	r.takes("-")
	zero := r.takes("0")
	if !zero && !r.digits() {
		return r.wrong("a digit must follow")
	}
	if r.takes(".") && !r.digits() {
		return r.wrong("a digit must follow")
	}
	if r.takes("eE") {
		r.takes("+-")
		if !r.digits() {
			return r.wrong("a digit must follow")
		}
	}
	return nil
}

// takes reads the next byte if it is one of these.
func (r *Reader) takes(these string) bool {
	if !r.have(1) || strings.IndexByte(these, r.buf[r.pos]) < 0 {
		return false
	}
	r.pos++
	return true
}

// digits reads the digits that follow, and tells whether there are any.
func (r *Reader) digits() bool {
	found := false
	for {
		for ; r.pos < len(r.buf); r.pos++ {
			if c := r.buf[r.pos]; c < '0' || c > '9' {
				return found
			}
			found = true
		}
		if !r.fill() {
			return found
		}
	}
}
