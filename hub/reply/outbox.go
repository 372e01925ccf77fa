package reply

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	// flushAt is how much is held back at most, but for one message.
	flushAt = 32 << 10
	// keepBuffer is the largest buffer that an idle client keeps, in bytes.
	keepBuffer = 2 << 10
	// maxPosted is how many answers may be unsent. A peer that does not read them is
	// not read either.
	maxPosted = 64
)

// ErrClosed: the close frame was written, or the client is gone.
var ErrClosed = errors.New("reply: the connection is closed")

// Outbox stands between an Encoder and an Out: what is held back for one client,
// what others have posted for it, and the right to send it.
type Outbox struct {
	Meter Meter // counts what is sent; nil: nobody does. It does not change

	to     Out
	frames bool          // each message is a WebSocket text frame
	wake   chan struct{} // one slot
	kick   func()        // has somebody flush what was posted

	// right is the right to send. The client's writer holds it, except while it
	// waits; then the reply's writer may deliver through it. Acquire it before
	// any other lock. It guards what follows.
	right sync.Mutex
	buf   []byte
	mark  int   // where the message being made begins; negative: none is
	taken int   // of what was posted, how many are in buf
	shut  bool  // the last message is a close frame
	err   error // of a write; it stays

	posts sync.Mutex // guards what follows; held for an append
	room  sync.Cond
	any   atomic.Bool // something was posted; read without the lock
	post  []byte      // whole messages
	count int         // of messages that were posted and not sent
	last  bool        // the last that was posted is a close frame
	dead  bool        // the client is gone
}

// NewOutbox returns an Outbox, of which the caller has the right to send. kick
// has somebody look at what was posted; nil: whoever is in Wait.
func NewOutbox(to Out, frames bool, kick func()) *Outbox {
	o := &Outbox{to: to, frames: frames, wake: make(chan struct{}, 1), kick: kick, mark: -1}
	o.room.L = &o.posts
	if kick == nil {
		o.kick = o.Poke
	}
	o.right.Lock()
	return o
}

// Acquire and Release take and give up the right to send.
func (o *Outbox) Acquire() { o.right.Lock() }

// Release gives up the right to send.
func (o *Outbox) Release() { o.right.Unlock() }

// Poke wakes whoever is in Wait. It does not block.
func (o *Outbox) Poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Wait gives the right to send away until Poke is called. Errors: ctx's cause;
// ErrClosed when the client is gone.
func (o *Outbox) Wait(ctx context.Context) error {
	o.right.Unlock()
	var err error
	select {
	case <-o.wake:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o.right.Lock()
	if err == nil && o.gone() {
		err = ErrClosed
	}
	return err
}

// Begin returns the buffer to append a message to; End takes it back.
func (o *Outbox) Begin() []byte {
	o.mark = len(o.buf)
	if o.frames {
		o.buf = append(o.buf, 0, 0, 0, 0) // room for the header of most frames
	}
	return o.buf
}

// End ends the message that was appended to Begin's buffer. Behind a close frame
// it is dropped.
func (o *Outbox) End(b []byte) {
	switch {
	case o.shut:
		b = b[:o.mark]
	case o.frames:
		b = putHeader(b, o.mark, 4)
	}
	o.buf, o.mark = b, -1
}

// putHeader puts the header of an unfragmented, unmasked text frame (RFC 6455,
// section 5.2) before the payload that begins room bytes behind at.
func putHeader(b []byte, at, room int) []byte {
	var h [10]byte
	size, n := 2, len(b)-at-room
	h[0] = 0x81
	switch {
	case n < 126:
		h[1] = byte(n)
	case n < 1<<16:
		h[1], size = 126, 4
		binary.BigEndian.PutUint16(h[2:], uint16(n))
	default:
		h[1], size = 127, 10
		binary.BigEndian.PutUint64(h[2:], uint64(n))
		b = append(b, h[:size-room]...) // more room
	}
	if size != room {
		copy(b[at+size:], b[at+room:at+room+n])
	}
	copy(b[at:], h[:size])
	return b[:at+size+n]
}

// Flush sends what is held back and what was posted. Without block it sends what
// goes at once, and reports whether that was all. Errors: the Out's; ErrClosed.
func (o *Outbox) Flush(block bool) (all bool, err error) {
	o.dropOpen()
	if o.any.Load() {
		o.collect()
	}
	if o.err != nil || len(o.buf) == 0 {
		o.sent()
		return o.err == nil, o.err
	}
	n, err := o.to.Write(o.buf, block)
	switch {
	case n < len(o.buf):
		o.buf = append(o.buf[:0], o.buf[n:]...)
	case cap(o.buf) > keepBuffer:
		o.Rest()
	default:
		o.buf = o.buf[:0]
	}
	if o.shut && err == nil && len(o.buf) == 0 {
		err = ErrClosed
	}
	o.err = err
	if len(o.buf) == 0 || err != nil {
		o.sent()
	}
	return len(o.buf) == 0, err
}

// sent makes room for as many as were taken.
func (o *Outbox) sent() {
	if o.taken == 0 {
		return
	}
	o.posts.Lock()
	o.count -= o.taken
	o.posts.Unlock()
	o.taken = 0
	o.room.Broadcast()
}

// dropOpen drops a message that was begun and not ended: whoever made it panicked.
func (o *Outbox) dropOpen() {
	if o.mark >= 0 {
		o.buf, o.mark = o.buf[:o.mark], -1
	}
}

// large has buffers for more than a few tokens.
var large = sync.Pool{New: func() any { b := make([]byte, 0, flushAt+2*maxDelta); return &b }}

// reserve says how much text is about to be encoded.
func (o *Outbox) reserve(n int) {
	if n > keepBuffer && cap(o.buf) < flushAt {
		o.buf = append((*large.Get().(*[]byte))[:0], o.buf...)
	}
}

// Rest gives the buffer up: nothing is held, and nothing will be for a while.
func (o *Outbox) Rest() {
	if b := o.buf[:0]; cap(b) >= flushAt && cap(b) <= 4*flushAt {
		large.Put(&b)
	}
	o.buf = nil
}

// collect takes what was posted.
func (o *Outbox) collect() {
	o.posts.Lock()
	defer o.posts.Unlock()
	if o.dead && o.err == nil {
		o.err = ErrClosed
	}
	if !o.shut {
		o.buf = append(o.buf, o.post...)
	}
	o.shut = o.shut || o.last
	o.post, o.taken = nil, o.count
	o.any.Store(false)
}

// Post leaves a message to whoever sends next. It blocks while too many wait.
// Whoever has the right to send must not call it.
func (o *Outbox) Post(message []byte) {
	if !o.frames {
		o.PostRaw(message, false)
		return
	}
	b := append([]byte{0, 0, 0, 0}, message...)
	o.PostRaw(putHeader(b, 0, 4), false)
}

// PostRaw is Post for bytes that are framed already. Behind the last, a close
// frame, nothing is sent; that one is taken without blocking.
func (o *Outbox) PostRaw(frame []byte, last bool) {
	o.posts.Lock()
	for o.count >= maxPosted && !o.dead && !o.last && !last {
		o.room.Wait()
	}
	if !o.last && !o.dead {
		o.post, o.count, o.last = append(o.post, frame...), o.count+1, last
		o.any.Store(true)
	}
	o.posts.Unlock()
	// If nobody holds the right to send, send it now.
	if o.right.TryLock() {
		all, _ := o.Flush(false)
		o.right.Unlock()
		if all && !last { // behind a close frame the writer has to hear of it
			return
		}
	}
	o.kick()
}

// Last sends what is held back and a close frame, behind which nothing is sent.
// Whoever has the right to send calls it; an error is for the reader to see.
func (o *Outbox) Last(frame []byte) {
	o.dropOpen()
	if o.any.Load() {
		o.collect()
	}
	if !o.shut {
		o.buf, o.shut = append(o.buf, frame...), true
	}
	_, _ = o.Flush(true)
}

// Kill ends it: nothing is sent any more, and whoever waits is freed.
func (o *Outbox) Kill() {
	o.posts.Lock()
	defer o.posts.Unlock()
	o.dead = true
	o.any.Store(true)
	o.room.Broadcast()
	o.Poke()
}

// Closing tells whether a close frame was posted: nothing is answered any more.
func (o *Outbox) Closing() bool {
	o.posts.Lock()
	defer o.posts.Unlock()
	return o.last
}

func (o *Outbox) gone() bool {
	o.posts.Lock()
	defer o.posts.Unlock()
	return o.dead
}
