package session

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"
)

const (
	firstBlock = 512
	lastBlock  = 32 << 10
	// followedFor is how long a node counts as a follower after it last said that it is,
	// which is more than some polls take. Longer only costs publishing.
	followedFor = 10 * time.Second
)

// Text holds the bytes of a running reply, as one node writes or follows it. One goroutine
// at a time appends; any number read without a lock. It never shrinks: when another writer
// takes the reply over, this Text ends and names the one in which the reply continues.
//
// Bytes below Appended may be stored; bytes below Safe are stored and may be shown to
// clients. Both offsets only grow, and bytes below them never change.
type Text struct {
	// These do not change. Running is as it was when the text was made: Stopping and
	// Deaths may be out of date.
	*Running
	Ref Ref
	own bool   // written by this node
	to  *queue // Manager.appends if own, else Manager.reads

	first    *block
	appended atomic.Int64 // see Appended
	safe     atomic.Int64 // see Safe
	end      atomic.Pointer[TextEnd]
	watcher  atomic.Pointer[TextWatcher]

	// Owned by the writer: the turn's goroutine if own, else the goroutine that has the
	// text in flight in its queue.
	last *block
	size int // bytes of the text

	// saved is how many bytes the store has, as far as is known: fewer than Safe if a
	// failover has lost some.
	saved     atomic.Int64
	elsewhere atomic.Pointer[time.Time] // when another node last said that it follows the text; nil: never
	answered  atomic.Bool               // the store has answered since Manager.afterSend last looked
	moved     atomic.Bool               // the store says that another fence stands, or none
	changed   atomic.Bool               // the store says that the conversation has changed
	queue     queued                    // guarded by the queue's lock
	finishing sync.Mutex                // held by Finish and Yield, once the text is shut
	awaySince time.Time                 // since when the store has not answered; zero: it does. Owned by the flight; after shut, guarded by finishing
	awayTold  bool                      // the watcher was told (Away). Owned as awaySince
	unsavedAt Cursor                    // where Unsaved last ended. Owned as awaySince
}

// TextEnd says how a Text ended. Exactly one field besides Keep is set.
type TextEnd struct {
	Message *Message // the reply as it is stored
	Err     error    // ErrNotFound: the session is gone; ErrLost: the reply is; ErrUnfollowed
	Next    *Text    // the reply continues there, with this one's first Keep bytes
	Keep    int
}

// TextWatcher is told what becomes of a Text. Its methods may be called by any goroutine,
// must not block, and must not call the Manager.
type TextWatcher interface {
	// Grew: Safe has grown. push: the caller has time for a non-blocking write to a socket.
	Grew(push bool)
	// Ended: Text.End returns how.
	Ended()
	// Away: the store could not be reached for AwayAfter. Followers should be
	// disconnected, to come back later. The text itself goes on.
	Away()
	// Followed reports whether anybody follows the text, or is about to. If not, a text
	// that another node writes ends as ErrUnfollowed.
	Followed() bool
}

type block struct {
	start int
	buf   []byte                // its length never changes
	next  atomic.Pointer[block] // set before a bound passes next.start
}

// newText returns an empty text of a running reply.
func (m *Manager) newText(ref Ref, r *Running, own bool) *Text {
	to := m.reads
	if own {
		to = m.appends
	}
	b := &block{buf: make([]byte, firstBlock)}
	return &Text{Running: r, Ref: ref, own: own, to: to, first: b, last: b}
}

// StoredText returns the text of a reply that has ended, without copying it.
func StoredText(ref Ref, m *Message) *Text {
	b := &block{buf: bytesOf(m.Content)}
	t := &Text{
		Running: &Running{Reply: m.ID, User: Position{Seq: m.Parent}, Seq: m.Seq, Model: m.Model, Epochs: m.Epochs},
		Ref:     ref, first: b, last: b, size: len(m.Content),
	}
	t.appended.Store(int64(t.size))
	t.safe.Store(int64(t.size))
	t.end.Store(&TextEnd{Message: m})
	return t
}

// bytesOf returns the bytes of s, which must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// share has the text read from content, which has the same bytes: after each block
// comes the rest of content. So a slow follower keeps one block alive, not a second
// copy of the reply.
func (t *Text) share(content string) {
	for b := t.first; ; {
		next := b.next.Load()
		if next == nil || next.start > len(content) {
			return
		}
		b.next.Store(&block{start: next.start, buf: bytesOf(content)[next.start:]})
		b = next
	}
}

// Append adds p, whole characters, to a text that is written here, and has it stored. Only
// the turn's goroutine calls it. It returns false if the text has ended: another node
// writes the reply, or its session is gone.
func (t *Text) Append(p []byte) bool {
	if t.end.Load() != nil {
		return false
	}
	t.append(p)
	t.to.wake(t)
	return true
}

// append adds whole characters. Only the writer calls it.
func (t *Text) append(p []byte) {
	for len(p) > 0 {
		room := t.last.buf[t.size-t.last.start:]
		if len(room) < utf8.UTFMax {
			b := &block{start: t.size, buf: make([]byte, max(firstBlock, min(2*len(t.last.buf), lastBlock)))}
			t.last.next.Store(b)
			t.last = b
			continue
		}
		n := copy(room, p[:RuneBoundary(p, len(room))])
		t.size += n
		p = p[n:]
	}
	t.appended.Store(int64(t.size))
}

// show raises Safe to n and tells the watcher; it never lowers Safe. One goroutine at a
// time calls it.
func (t *Text) show(n int, push bool) {
	if int64(n) <= t.safe.Load() {
		return
	}
	t.safe.Store(int64(n))
	if w := t.watcher.Load(); w != nil {
		(*w).Grew(push)
	}
}

// Unsaved appends to dst the bytes that the store lacks, at most limit and whole
// characters, and returns the offset at which they begin. It is for Backend.Append.
func (t *Text) Unsaved(dst []byte, limit int) (at int, _ []byte) {
	at = int(t.saved.Load())
	c, bound := t.unsavedAt, t.Appended()
	if c.t == nil || c.off > at {
		c = t.start()
	}
	for c.off < at {
		c.off += len(c.rest(at))
	}
	t.unsavedAt = c
	for limit > 0 {
		p := c.next(limit, bound)
		if len(p) == 0 {
			break
		}
		dst, limit = append(dst, p...), limit-len(p)
	}
	return at, dst
}

// Saved notes that the store has the first n bytes. n may be less than before; then the
// rest is appended again. push is as in TextWatcher. It is for Backend.Append.
func (t *Text) Saved(n int, push bool) {
	t.saved.Store(int64(n))
	t.answered.Store(true)
	t.show(n, push)
}

// Stored notes what the store has of a text that another node writes: length bytes, of
// which p are those from offset at on. It is for Backend.Read, and for hints with text.
func (t *Text) Stored(at int, p []byte, length int) {
	t.saved.Store(int64(length))
	t.answered.Store(true)
	have := t.Appended()
	if at > have || at+len(p) <= have {
		return
	}
	p = p[have-at:]
	t.append(p[:wholeRunes(p)])
	t.show(t.Appended(), false)
}

// Moved notes that the store has the text under another fence, or no text. The engine then
// loads the conversation.
func (t *Text) Moved() { t.moved.Store(true) }

// Changed notes that the conversation in the store has another version than the engine
// knows. The engine then loads it.
func (t *Text) Changed() { t.changed.Store(true) }

// finish ends the text. Only the first call counts.
func (t *Text) finish(e *TextEnd) {
	if t.end.CompareAndSwap(nil, e) {
		if w := t.watcher.Load(); w != nil {
			(*w).Ended()
		}
	}
}

// Watcher returns the text's watcher, and sets it to w if there is none. w is not told of
// what happened before.
func (t *Text) Watcher(w TextWatcher) TextWatcher {
	if t.watcher.CompareAndSwap(nil, &w) {
		return w
	}
	return *t.watcher.Load()
}

// followed asks the watcher whether anybody follows the text; true if there is no watcher.
func (t *Text) followed() bool {
	w := t.watcher.Load()
	return w == nil || (*w).Followed()
}

// hearFollower notes that another node follows the text, and reports whether none did before.
func (t *Text) hearFollower() (first bool) {
	first = !t.IsFollowedElsewhere()
	now := time.Now()
	t.elsewhere.Store(&now)
	return first
}

// IsFollowedElsewhere reports whether another node said lately that it follows the text, so
// that it is to be told of what is appended.
func (t *Text) IsFollowedElsewhere() bool {
	return time.Since(t.FollowedElsewhere()) < followedFor
}

// FollowedElsewhere is when another node last said that it follows the text, which is
// written here. A following node says so every second. Zero: never.
func (t *Text) FollowedElsewhere() time.Time {
	if at := t.elsewhere.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Own reports whether this node writes the text.
func (t *Text) Own() bool { return t.own }

// Appended is how many bytes the text has, Safe how many of them are stored.
func (t *Text) Appended() int { return int(t.appended.Load()) }
func (t *Text) Safe() int     { return int(t.safe.Load()) }

// End returns how the text ended; nil: it has not. After that Safe does not grow.
func (t *Text) End() *TextEnd { return t.end.Load() }

// commonPrefix returns how many bytes, whole characters, the text's first bound bytes and
// content have in common. It copies nothing: a reply may have megabytes.
func (t *Text) commonPrefix(content string, bound int) int {
	bound = min(bound, len(content))
	n := 0
	for c := t.start(); c.off < bound; n = c.off {
		p := c.next(bound, bound)
		if string(p) == content[n:c.off] {
			continue
		}
		for p[0] == content[n] {
			p, n = p[1:], n+1
		}
		break
	}
	for n > 0 && n < len(content) && !utf8.RuneStart(content[n]) {
		n--
	}
	return n
}

// String returns the first n bytes.
func (t *Text) String(n int) string {
	var s strings.Builder
	s.Grow(n)
	for c := t.start(); s.Len() < n; {
		p := c.next(n-s.Len(), n)
		if len(p) == 0 {
			break
		}
		s.Write(p)
	}
	return s.String()
}
