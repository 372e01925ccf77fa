package llm

import "bytes"

// repeat remembers the bytes that a stream's events have in common: all but the content and
// "p". If an event begins with the same bytes as one that was parsed in full, the decoder is
// in the same state after them, so they need not be parsed. The same holds after the content.
type repeat struct {
	head   []byte // from the first byte to the content's first
	tail   []byte // from the content's closing quote to p's first byte, or to the end
	padded bool   // the tail ends in p

	// Where these are in the event being read; 0 is not seen, -1 is not usable.
	contentAt, contentEnd, padAt int
	effect                       bool // what follows the content has an effect
}

func (r *repeat) begin() {
	r.contentAt, r.contentEnd, r.padAt, r.effect = 0, 0, 0, false
}

func (r *repeat) forget() { r.head, r.tail = r.head[:0], r.tail[:0] }

// odd notes that something was read that has to be parsed each time: if that was before the
// content, nothing of the event can be compared; if after it, not the tail.
func (r *repeat) odd() {
	if r.contentAt == 0 {
		r.contentAt = -1
	}
	r.effect = true
}

// again says that a second content replaces the first.
func (r *repeat) again() {
	r.effect = r.effect || r.contentAt != 0
}

// content says where a content of one string stands.
func (r *repeat) content(from, to int) {
	if r.contentAt == 0 {
		r.contentAt, r.contentEnd = from, to
	}
}

// padding says that p's value begins at i.
func (r *repeat) padding(b []byte, i int) {
	if r.contentAt > 0 && r.padAt == 0 && i < len(b) && b[i] == '"' {
		r.padAt = i + 1
	}
}

// learn keeps head and tail of an event that was read in full and ends at end.
func (d *decoder) learn(b []byte, end int) {
	r := &d.repeat
	r.forget()
	if r.contentAt <= 0 {
		return
	}
	r.head = append(r.head, b[:r.contentAt]...)
	if r.effect || d.failed {
		return
	}
	if r.padded = r.padAt > 0; r.padded {
		end = r.padAt
	}
	r.tail = append(r.tail, b[r.contentEnd:end]...)
}

// repeated reads an event that begins like the last one, and returns the index
// after it; 0: it does not.
func (d *decoder) repeated(b []byte) int {
	r := &d.repeat
	n := len(r.head)
	if n == 0 || !bytes.HasPrefix(b, r.head) {
		return 0
	}
	d.choice()
	i := d.str(b, n-1, &d.text)
	if i < 0 {
		return -1
	}
	if len(r.tail) > 0 && bytes.HasPrefix(b[i-1:], r.tail) {
		i += len(r.tail) - 1
		if !r.padded {
			return i
		}
		if i, _ = stringEnd(b, i); i < 0 {
			return -1
		}
		return d.topRest(b, i+1, false, true)
	}
	if i = d.delta(b, i, false); i > 0 {
		i = d.choiceRest(b, i, false, true)
	}
	if i > 0 {
		i = d.choicesRest(b, i, false)
	}
	if i > 0 {
		i = d.topRest(b, i, false, true)
	}
	return i
}
