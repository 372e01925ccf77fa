// Package jsonread reads one JSON value (RFC 8259) from a stream and keeps only what the
// caller asks for. A value that is skipped takes no memory, however large it is, and all
// takes time linear in its size. encoding/json and jsontext hold every string whole.
//
//   - All of the text is checked, also what is skipped: its grammar, its
//     nesting and its UTF-8. What passes is what encoding/json takes, of valid
//     UTF-8.
//   - Names are compared exactly, upper and lower case apart.
//   - Of a name that comes again the caller sees every value, in order. A
//     caller that overwrites keeps the last one.
//   - null counts as a value that was left out: Object and Array read it as
//     empty, and String appends nothing.
//   - In a string an escaped half of a surrogate pair becomes U+FFFD.
package jsonread

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	// bufferSize is how much of a stream is held at a time, in bytes.
	bufferSize = 8 << 10
	// maxDepth is how deep lists and objects may be nested, as in encoding/json.
	maxDepth = 10_000
	// maxName is the length of the longest name that can be asked for, in bytes.
	maxName = 64
)

// Reader reads one value. Its methods each read the next value whole, or fail;
// after an error other than a *TypeError nothing more can be read. It is for
// one goroutine.
type Reader struct {
	src   io.Reader // nil: buf has all there is
	buf   []byte    // buf[pos:] was received and not yet read
	pos   int
	gone  int64 // bytes of the stream in front of buf
	err   error // src's, once it has failed
	depth int   // lists and objects that are open
	name  []byte
	piece func([]byte)      // takes the string that is being read; nil: it is kept
	char  [utf8.UTFMax]byte // what an escape stands for
	open  []byte            // Skip's: the brackets that are open
	typ   TypeError
}

// New returns a Reader of a stream. It may read further than the value.
func New(src io.Reader) *Reader { return &Reader{src: src, buf: make([]byte, 0, bufferSize)} }

// NewBytes returns a Reader of text, which must not change meanwhile and is not
// changed.
func NewBytes(text []byte) *Reader { return &Reader{buf: text} }

// SyntaxError is text that is no JSON.
type SyntaxError struct {
	Offset int64  // bytes in front of what is wrong
	Text   string // what is wrong
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("at byte %d %s", e.Offset, e.Text) }

// TypeError is a value of another type than the caller asked for. The value has
// not been read: Skip does that. The Reader uses it again for the next: a list may
// have millions.
type TypeError struct{ Is, Want Kind }

func (e *TypeError) Error() string { return fmt.Sprintf("is %s, and must be %s", e.Is, e.Want) }

// Kind is the type of a value.
type Kind byte

// The kinds of values.
const (
	Null   Kind = 'n'
	Bool   Kind = 't'
	Number Kind = '0'
	String Kind = '"'
	Array  Kind = '['
	Object Kind = '{'
)

func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "an array"
	}
	return "an object"
}

// fill receives more of the stream, after what is not yet read. It returns
// false when there is no more.
func (r *Reader) fill() bool {
	if r.src == nil {
		return false
	}
	r.gone += int64(r.pos)
	r.buf = r.buf[:copy(r.buf, r.buf[r.pos:])]
	r.pos = 0
	for range 100 { // a stream that never brings anything has failed
		if r.err != nil {
			return false
		}
		var n int
		n, r.err = r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if n > 0 {
			return true
		}
	}
	r.err = io.ErrNoProgress
	return false
}

// have tells whether n more bytes are there. n is at most bufferSize.
func (r *Reader) have(n int) bool {
	for len(r.buf)-r.pos < n {
		if !r.fill() {
			return false
		}
	}
	return true
}

// next returns the first byte after white space, without reading it; 0: there
// is none.
func (r *Reader) next() byte {
	for {
		for ; r.pos < len(r.buf); r.pos++ {
			switch c := r.buf[r.pos]; c {
			case ' ', '\t', '\r', '\n':
			default:
				return c
			}
		}
		if !r.fill() {
			return 0
		}
	}
}

// wrong returns a *SyntaxError about the next byte; where the stream has ended
// or failed, that.
func (r *Reader) wrong(text string) error {
	if r.pos == len(r.buf) {
		return r.early()
	}
	return &SyntaxError{Offset: r.gone + int64(r.pos), Text: text}
}

// early is the error for text that ends in the middle.
func (r *Reader) early() error {
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return fmt.Errorf("failed to read JSON: %w", r.err)
	}
	return &SyntaxError{Offset: r.gone + int64(len(r.buf)), Text: "the text ends too early"}
}

// Empty tells whether there is nothing but white space. The error is src's.
func (r *Reader) Empty() (bool, error) {
	if r.next() != 0 || r.pos < len(r.buf) {
		return false, nil
	}
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return false, r.early()
	}
	return true, nil
}

// End checks that nothing but white space follows. Errors: *SyntaxError; src's.
func (r *Reader) End() error {
	empty, err := r.Empty()
	if err == nil && !empty {
		err = r.wrong("something follows the value")
	}
	return err
}

// Kind returns the kind of the next value, without reading it.
// Errors: *SyntaxError; src's.
func (r *Reader) Kind() (Kind, error) {
	switch c := r.next(); c {
	case '{', '[', '"', 'n', 't':
		return Kind(c), nil
	case 'f':
		return Bool, nil
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number, nil
	}
	return 0, r.wrong("there is no value")
}
