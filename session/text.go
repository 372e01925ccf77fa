package session

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"
)

const (
	firstBlock = 512
	lastBlock  = 32 << 10
)

// Text is what a running reply says, as one node writes or follows it: bytes
// that are only ever appended to, by one goroutine at a time, and read by any
// number without a lock. It never shrinks: where another writer takes the reply
// over, this Text ends and names the one in which the reply goes on.
//
// What is below Appended may be stored, what is below Safe is stored and may be
// shown. Both only grow, and bytes below them never change.
type Text struct {
	// These do not change. The reply is as it was when the text began: Stopping and
	// Deaths may be out of date.
	*Running
	Ref Ref
	own bool   // written by this node
	to  *queue // has the store append it, or read it

	first    *block
	appended atomic.Int64
	safe     atomic.Int64
	end      atomic.Pointer[TextEnd]
	watcher  atomic.Pointer[TextWatcher]

	// Owned by the writer: the turn, or, for a followed text, whoever has it in
	// flight.
	last *block
	size int

	// saved is how much the store has, as far as is known: less than Safe where a
	// failover has lost some of it.
	saved     atomic.Int64
	elsewhere atomic.Pointer[time.Time] // when another node last told that it follows it; nil: none has
	answered  atomic.Bool               // the store has answered since Manager.sent last looked
	moved     atomic.Bool               // the store says that another fence stands, or none
	changed   atomic.Bool               // the store says that the conversation has changed
	queue     queued                    // guarded by the queue's lock
	awaySince time.Time                 // when the store first did not answer; zero: it does. The queue's goroutine's; once it is shut, Finish's
	awayTold  bool                      // the watcher knows that this lasts. As awaySince
	sent      Cursor                    // how far Unsaved came; whoever appends has it
}

// TextEnd says how a Text ended. Exactly one of its fields is set, but for Keep.
type TextEnd struct {
	Message *Message // the reply as it is stored
	Err     error    // ErrNotFound: the session is gone; ErrLost: the reply is; ErrUnfollowed
	Next    *Text    // the reply goes on there, with this one's first Keep bytes
	Keep    int
}

// TextWatcher is told what becomes of a Text. Its methods may be called by any
// goroutine, must not block, and must not call the Manager.
type TextWatcher interface {
	// Grew: Safe has moved. push tells that the caller has the time for a write to
	// a socket that does not wait.
	Grew(push bool)
	// Ended: Text.End returns how.
	Ended()
	// Away: the store could not be reached for AwayAfter. Who follows is better
	// sent away to come back later; what comes then is stored as before.
	Away()
	// Followed tells whether anybody follows the text, or is about to. One that is
	// written elsewhere ends when it has said no.
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

// share lets the text be read from content, which has the same bytes: each block is
// followed by the rest of that. A follower that is far behind then keeps one block
// alive, and not a second copy of the reply.
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

// Append adds p, whole characters, to a text that is written here, and has it
// stored. Only the turn's goroutine calls it. It returns false when the text has
// ended: another node writes the reply, or its session is gone.
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

// show moves Safe to n, if that is further, and tells whoever watches. One
// goroutine at a time calls it.
func (t *Text) show(n int, push bool) {
	if int64(n) <= t.safe.Load() {
		return
	}
	t.safe.Store(int64(n))
	if w := t.watcher.Load(); w != nil {
		(*w).Grew(push)
	}
}

// Unsaved appends to dst what the store lacks, at most limit bytes and whole
// characters, and returns how long the store has the text before that. It is for
// Backend.Append.
func (t *Text) Unsaved(dst []byte, limit int) (at int, _ []byte) {
	at = int(t.saved.Load())
	c, bound := t.sent, t.Appended()
	if c.t == nil || c.off > at {
		c = t.start()
	}
	for c.off < at {
		c.off += len(c.rest(at))
	}
	t.sent = c
	for limit > 0 {
		p := c.next(limit, bound)
		if len(p) == 0 {
			break
		}
		dst, limit = append(dst, p...), limit-len(p)
	}
	return at, dst
}

// Saved says that the store has the first n bytes. It is for Backend.Append, and
// n may be less than before: the rest is appended again then. push is as in
// TextWatcher.
func (t *Text) Saved(n int, push bool) {
	t.saved.Store(int64(n))
	t.answered.Store(true)
	t.show(n, push)
}

// Stored says what the store has of a text that another node writes: p behind
// its first at bytes, which make it length bytes long. It is for Backend.Read,
// and for the hints that carry text.
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

// Moved says that the store has the text under another fence, or no more. The
// engine loads the conversation then.
func (t *Text) Moved() { t.moved.Store(true) }

// Changed says that the conversation has another version than the engine has
// committed. The engine loads it.
func (t *Text) Changed() { t.changed.Store(true) }

// finish ends the text. Only the first call counts.
func (t *Text) finish(e *TextEnd) {
	if t.end.CompareAndSwap(nil, e) {
		if w := t.watcher.Load(); w != nil {
			(*w).Ended()
		}
	}
}

// Watcher returns who is told of the text: w, unless somebody is told already.
// What has happened before is not told again.
func (t *Text) Watcher(w TextWatcher) TextWatcher {
	if t.watcher.CompareAndSwap(nil, &w) {
		return w
	}
	return *t.watcher.Load()
}

// followed tells whether anybody follows the text, as far as its watcher knows.
func (t *Text) followed() bool {
	w := t.watcher.Load()
	return w == nil || (*w).Followed()
}

// FollowedElsewhere is when another node last told that it follows the text, which
// is written here: one that does tells so every second. The zero time: none has.
func (t *Text) FollowedElsewhere() time.Time {
	if at := t.elsewhere.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Own tells whether this node writes the text.
func (t *Text) Own() bool { return t.own }

// Appended is how many bytes the text has, Safe how many of them are stored.
func (t *Text) Appended() int { return int(t.appended.Load()) }
func (t *Text) Safe() int     { return int(t.safe.Load()) }

// End returns how the text ended, nil while it goes on. All of it is Safe then
// that will ever be.
func (t *Text) End() *TextEnd { return t.end.Load() }

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
