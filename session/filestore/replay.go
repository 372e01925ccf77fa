package filestore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// replay restores from a log what was in memory when it was written. It makes the same checks
// as then: a frame that was written but never acknowledged conflicts with what was done
// instead, and is skipped.
type replay struct {
	files  files
	repair bool

	links   []link         // the segments that count, the oldest first
	stale   []string       // segments that do not count any more, the oldest first
	newest  uint64         // the highest number that a file has
	damaged []*DamageError // with repair only

	found   map[uuid.UUID]*found
	streams map[uint64]*stream // of process
	process uint64             // header.run of the segment that is read
	start   int64              // when process began, in Unix seconds
	strings map[string]string  // that many messages share
	last    int64              // the time of the last frame, in Unix seconds
	erased  bool               // some text was deleted
	cut     int64              // bytes at the end of the last segment that are no whole frame
	behind  map[uuid.UUID]bool // conversations of which a change was skipped
}

// found is a conversation as far as it was read.
type found struct {
	entry
	first, head []byte // the first head and the last, as JSON
	messages    []session.Message
	said        []byte // the running reply's text
	fenceSum    uint64
}

// stream is a running reply's text, which appends name by a number.
type stream struct {
	f     *found // nil: there was no such conversation
	fence uint64 // the fence's sum
	at    int    // offset of the next append
}

// run reads all that there is. Errors: *DamageError.
func (r *replay) run() error {
	r.found, r.behind = make(map[uuid.UUID]*found), make(map[uuid.UUID]bool)
	r.strings = make(map[string]string)
	if err := r.findChain(); err != nil {
		return err
	}
	next := r.read(0)
	for i := range r.links {
		got := <-next
		next = r.read(i + 1) // while this one is looked at
		if got.err != nil {
			return fmt.Errorf("failed to read %s: %w", r.links[i].name, got.err)
		}
		if err := r.segment(&r.links[i], got.data); err != nil {
			return err
		}
	}
	return nil
}

type readFile struct {
	data []byte
	err  error
}

// read reads the file of a link in the background.
func (r *replay) read(i int) <-chan readFile {
	c := make(chan readFile, 1)
	if i < len(r.links) {
		name := r.links[i].name
		go func() {
			data, err := r.files.Read(name, math.MaxInt64)
			c <- readFile{data, err}
		}()
	}
	return c
}

// segment makes the changes of a segment. Errors: *DamageError.
func (r *replay) segment(l *link, data []byte) error {
	end := int64(len(data))
	if l.valid >= 0 {
		if l.valid > end {
			return r.damage(l.name, end, "it is shorter than it was")
		}
		end = l.valid
	}
	if l.run != r.process {
		r.process, r.streams = l.run, make(map[uint64]*stream)
	}
	r.start = int64(l.start)
	r.last = max(r.last, r.start)
	at := int64(0)
	for at < end {
		payload, n := nextFrame(data[at:end])
		if n == 0 {
			if l.valid < 0 && markedBehind(data, int(at), l.run) <= at {
				r.cut = end - at
				break // a torn tail: it was never acknowledged as synced
			}
			return r.torn(l, at, "a frame does not have its checksum")
		}
		if !r.frame(payload) {
			return r.torn(l, at, "a frame cannot be read")
		}
		at += int64(n)
	}
	l.size = at
	return nil
}

// torn notes damage; the frames before it count.
func (r *replay) torn(l *link, at int64, reason string) error {
	l.size = at
	return r.damage(l.name, at, reason)
}

// frame makes the change of a frame. ok is false if it cannot be read.
func (r *replay) frame(payload []byte) (ok bool) {
	p := reader{p: payload[1:]}
	switch kind(payload[0]) {
	case kindHeader, kindMark, kindReady:
		return true
	case kindCommit:
		return r.commit(p)
	case kindState:
		return r.state(p)
	case kindDelete:
		return r.delete(p)
	case kindAppend:
		return r.append(p)
	case kindTouch:
		return r.touch(p)
	}
	return false
}

// time returns when a frame was written, in Unix seconds.
func (r *replay) time(at uint64) int64 {
	t := r.start + int64(min(at, math.MaxInt32))
	r.last = max(r.last, t)
	return t
}

func (r *replay) commit(p reader) (ok bool) {
	c, ok := readCommit(p)
	if !ok {
		return false
	}
	f := r.found[c.id]
	if f == nil {
		f = new(found)
	}
	e, messages := f.entry, f.messages
	if e.commit(c.was, c.version, c.reply, c.fence, c.had, c.has) != nil {
		r.behind[c.id] = true
		return true
	}
	for range c.adds {
		m, ok := r.readMessage(&c.rest, c.version, f.said)
		if !ok {
			return false
		}
		messages = append(messages, m)
	}
	e.size += weight(messages[len(f.messages):]) + int64(e.text-f.text)
	if e.fence != f.fence {
		f.fenceSum = fenceSum(e.fence)
	}
	e.used = r.time(c.at)
	if c.was == "" {
		r.found[c.id] = f
		f.first = append([]byte(nil), c.head...)
	}
	f.head = append(f.head[:0], c.head...)
	f.entry, f.messages, f.said = e, messages, f.said[:min(e.text, len(f.said))]
	return true
}

func (r *replay) state(p reader) (ok bool) {
	c, ok := readState(p)
	if !ok {
		return false
	}
	f := &found{first: append([]byte(nil), c.head...), head: append([]byte(nil), c.head...)}
	f.version, f.reply, f.fence, f.used = c.version, c.reply, c.fence, int64(c.at)
	f.fenceSum = fenceSum(c.fence)
	f.messages = make([]session.Message, 0, min(c.adds, 1<<10))
	for range c.adds {
		m, ok := r.readMessage(&c.rest, c.version, nil)
		if !ok {
			return false
		}
		f.messages = append(f.messages, m)
	}
	f.said = append(f.said, c.rest.block()...)
	f.text = len(f.said)
	f.size = weight(f.messages) + int64(f.text)
	r.found[c.id] = f
	return !c.rest.failed
}

func (r *replay) delete(p reader) (ok bool) {
	id, at, was := readID(&p), p.uvarint(), p.string()
	if p.failed {
		return false
	}
	r.time(at)
	f := r.found[id]
	switch {
	case f == nil:
	case was != "" && was != f.version:
		r.behind[id] = true
	default:
		r.erased = r.erased || f.size > 0
		delete(r.found, id)
	}
	return true
}

func (r *replay) append(p reader) (ok bool) {
	r.time(p.uvarint())
	for len(p.p) > 0 {
		n := p.uvarint()
		s := r.streams[n>>1]
		if n&1 != 0 {
			s = &stream{r.found[readID(&p)], p.uint64(), p.length()}
			r.streams[n>>1] = s
		}
		b := p.block()
		if p.failed {
			return false
		}
		if s == nil {
			continue // its text was copied since
		}
		if f := s.f; f != nil && f.fenceSum == s.fence && f.grow(s.at, b) == nil {
			f.said = append(f.said, b...)
			f.size += int64(len(b))
		}
		s.at += len(b)
	}
	return !p.failed
}

func (r *replay) touch(p reader) (ok bool) {
	at := r.time(p.uvarint())
	for len(p.p) > 0 {
		id, before := readID(&p), p.uvarint()
		if f := r.found[id]; f != nil && before < uint64(at) {
			f.used = max(f.used, at-int64(before))
		}
	}
	return !p.failed
}

// restored returns all conversations as the Manager takes them. They are decoded
// by as many goroutines as there are processors.
func (r *replay) restored() ([]session.Restored, error) {
	ids := make([]uuid.UUID, 0, len(r.found))
	for id := range r.found {
		ids = append(ids, id)
	}
	now := time.Now()
	late := now.Sub(time.Unix(r.last, 0)) > lateAfter
	all, workers := make([]session.Restored, len(ids)), runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(ids); i += workers {
				one, err := r.found[ids[i]].restore()
				if err != nil {
					errs[w] = fmt.Errorf("failed to restore session %s…: %w", ids[i].String()[:8], err)
					return
				}
				one.ID, one.Late = ids[i], late
				// What was used since it was last journalled is not told: that is
				// done once a minute.
				if one.Used = one.Used.Add(time.Minute); one.Used.After(now) {
					one.Used = now
				}
				all[i] = one
			}
		})
	}
	group.Wait()
	return all, errors.Join(errs...)
}

func (f *found) restore() (one session.Restored, err error) {
	if one.Head, err = decodeHead(f.first, f.head, f.version, f.reply, f.fence); err != nil {
		return one, err
	}
	one.Log = f.messages
	one.Text, one.Used = f.said, time.Unix(f.used, 0)
	f.sum, f.cut = crc32.Checksum(f.said, castagnoli), false
	f.messages, f.first, f.head, f.said = nil, nil, nil, nil
	return one, nil
}
