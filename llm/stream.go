package llm

import (
	"bytes"
	"errors"
	"io"
)

const (
	// maxEvent is the longest event that is read, in bytes.
	maxEvent = 1 << 20

	// A stream begins with a small buffer, since a model at its own pace sends
	// one event a read; one whose reads fill it gets a larger one.
	minBuffer = 4 << 10
	maxBuffer = 32 << 10
)

// errEventTooLong is an event of more than maxEvent bytes.
var errEventTooLong = errors.New("event too long")

// events splits an event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)
// into the data of its events. Names, ids and comments are dropped, and so is an event that
// the stream's end cuts.
//
// fill reads once; then next returns the events in the buffer, one by one.
type events struct {
	buf  []byte
	pos  int // where the event being read begins
	line int // where the line being read begins
	scan int // as far as there is no line end
	end  int // as far as buf is filled

	data   []byte // data of the event being read when it has several lines
	from   int    // else data is buf[from:to]
	to     int
	lines  int  // how many data lines it has
	skipLF bool // the last line ended in CR, an LF now belongs to it
	begun  bool // a byte order mark can no longer come
}

func (e *events) reset() {
	*e = events{buf: e.buf, data: e.data[:0]}
}

// fill reads once from r into the buffer and returns what the read returned.
func (e *events) fill(r io.Reader) (int, error) {
	if e.pos > 0 {
		copy(e.buf, e.buf[e.pos:e.end])
		e.line, e.scan, e.end = e.line-e.pos, e.scan-e.pos, e.end-e.pos
		e.from, e.to, e.pos = e.from-e.pos, e.to-e.pos, 0
	}
	if e.end == len(e.buf) {
		e.grow(max(minBuffer, 2*len(e.buf)))
	}
	n, err := r.Read(e.buf[e.end:])
	e.end += n
	if e.end == len(e.buf) && e.end < maxBuffer {
		e.grow(2 * len(e.buf))
	}
	return n, err
}

// held returns the bytes that were read and that next has not returned yet.
func (e *events) held() []byte { return e.buf[e.pos:e.end] }

// unfinished says that the stream ended inside an event.
func (e *events) unfinished() bool { return e.pos < e.end }

// isDone reports whether an event's data is the mark of an explicit end. Some gateways put
// white space around it.
func isDone(data []byte) bool { return string(bytes.TrimSpace(data)) == "[DONE]" }

// endsDone reports whether the event that the stream's end cut is that mark: some servers
// end without an empty line. Nothing can be read after it.
func (e *events) endsDone() bool {
	for e.end+2 > len(e.buf) {
		e.grow(max(minBuffer, 2*len(e.buf)))
	}
	e.end += copy(e.buf[e.end:], "\n\n")
	data, ok, err := e.next()
	return err == nil && ok && isDone(data)
}

func (e *events) grow(size int) {
	buf := make([]byte, size)
	copy(buf, e.buf[:e.end])
	e.buf = buf
}

// next returns the data of the next event, valid until fill. ok is false when
// the buffer holds no whole event any more.
func (e *events) next() (data []byte, ok bool, err error) {
	for {
		from, to, ok := e.nextLine()
		if !ok {
			if e.end-e.pos > maxEvent {
				return nil, false, errEventTooLong
			}
			return nil, false, nil
		}
		if from < to {
			e.field(from, to)
			continue
		}
		data := e.data
		if e.lines == 1 {
			data = e.buf[e.from:e.to]
		}
		lines := e.lines
		e.pos, e.lines, e.data = e.line, 0, e.data[:0]
		if lines > 0 && len(data) > 0 {
			return data, true, nil
		}
	}
}

// nextLine returns where the next line is, without its end: LF, CR LF or CR.
func (e *events) nextLine() (from, to int, ok bool) {
	if e.skipLF && e.line < e.end {
		e.skipLF = false
		if e.buf[e.line] == '\n' {
			e.line++
			e.scan = max(e.scan, e.line)
		}
	}
	rest := e.buf[e.scan:e.end]
	i := bytes.IndexByte(rest, '\n')
	if i >= 0 {
		rest = rest[:i]
	}
	if cr := bytes.IndexByte(rest, '\r'); cr >= 0 {
		i = cr
	}
	if i < 0 {
		e.scan = e.end
		return 0, 0, false
	}
	from, to = e.line, e.scan+i
	e.skipLF = e.buf[to] == '\r'
	e.line, e.scan = to+1, to+1
	if !e.begun {
		e.begun = true
		if bytes.HasPrefix(e.buf[from:to], []byte("\xef\xbb\xbf")) {
			from += 3
		}
	}
	return from, to, true
}

// field takes the line buf[from:to], which is not empty.
func (e *events) field(from, to int) {
	line := e.buf[from:to]
	switch {
	case bytes.HasPrefix(line, []byte("data:")):
		from += len("data:")
		if from < to && e.buf[from] == ' ' {
			from++
		}
	case string(line) == "data":
		from = to
	default:
		if e.lines == 0 {
			e.pos = e.line
		}
		return
	}
	switch e.lines++; e.lines {
	case 1:
		e.from, e.to = from, to
	case 2:
		e.data = append(e.data[:0], e.buf[e.from:e.to]...)
		fallthrough
	default:
		e.data = append(append(e.data, '\n'), e.buf[from:to]...)
	}
}
