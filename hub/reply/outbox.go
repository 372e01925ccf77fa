package reply

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	// flushAt is the buffer size, in bytes, from which on step flushes.
	flushAt = 32 << 10
	// keepBuffer is the largest buffer that an idle client keeps, in bytes.
	keepBuffer = 2 << 10
	// maxPosted is how many posted messages may be unsent. Then Post blocks the reader:
	// a peer that does not read is not read either.
	maxPosted = 64
)

// ErrClosed: the close frame was written, or the client is gone.
var ErrClosed = errors.New("reply: the connection is closed")

// Outbox stands between an Encoder and an Out: a buffer of messages for one client, what
// other goroutines have posted for it, and the right to send.
type Outbox struct {
	// These do not change.
	Meter  Meter // nil: nothing is counted
	to     Out
	frames bool   // each message is a WebSocket text frame
	kick   func() // has posted messages flushed

	wake atomic.Pointer[chan struct{}] // see slot; nil between Rest and the next Poke or Wait

	// sendMu is the right to send. The client's writer holds it, except while it
	// waits; then the reply's writer may deliver through it. Acquire it before
	// any other lock. It guards what follows.
	sendMu sync.Mutex
	buf    []byte
	mark   int   // where the message being made begins; negative: none is
	taken  int   // messages in buf that were posted
	shut   bool  // the last message is a close frame
	err    error // of the first write that failed

	posts sync.Mutex  // guards what follows; held for an append only
	room  *sync.Cond  // on posts: count is below maxPosted; nil: nobody has waited for that yet
	any   atomic.Bool // there is something to collect; read without the lock
	post  []byte      // whole messages that were posted
	count int         // messages that were posted and not sent
	last  bool        // a close frame was posted, after which nothing is
	dead  bool        // the client is gone
}

// NewOutbox returns an Outbox whose right to send the caller holds. kick has posted
// messages flushed; nil: the goroutine in Wait does that.
func NewOutbox(to Out, frames bool, kick func()) *Outbox {
	o := &Outbox{to: to, frames: frames, kick: kick, mark: -1}
	if kick == nil {
		o.kick = o.Poke
	}
	o.sendMu.Lock()
	return o
}

// Acquire takes the right to send.
func (o *Outbox) Acquire() { o.sendMu.Lock() }

// Release gives up the right to send.
func (o *Outbox) Release() { o.sendMu.Unlock() }

// Poke wakes the goroutine in Wait, or the next one. It does not block.
func (o *Outbox) Poke() {
	select {
	case o.slot() <- struct{}{}:
	default:
	}
}

// slot returns the channel, of one slot, that wakes the goroutine in Wait. An idle
// connection has none: it would be a tenth of its memory here.
func (o *Outbox) slot() chan struct{} {
	for {
		if wake := o.wake.Load(); wake != nil {
			return *wake
		}
		fresh := make(chan struct{}, 1)
		o.wake.CompareAndSwap(nil, &fresh)
	}
}

// Wait releases the right to send until Poke is called, and takes it again. Errors: ctx's
// cause; ErrClosed when the client is gone.
func (o *Outbox) Wait(ctx context.Context) error {
	o.sendMu.Unlock()
	var err error
	select {
	case <-o.slot():
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o.sendMu.Lock()
	if err == nil && o.gone() {
		err = ErrClosed
	}
	return err
}

// Begin returns the buffer to append a message to; End takes the result. Both need the
// right to send.
func (o *Outbox) Begin() []byte {
	o.mark = len(o.buf)
	if o.frames {
		o.buf = append(o.buf, 0, 0, 0, 0) // room for the header of most frames
	}
	return o.buf
}

// End ends the message that was appended to Begin's buffer. After a close frame it is
// dropped.
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
// section 5.2) before the payload, which begins at at+room.
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

// Flush sends the buffer and what was posted; it needs the right to send. Without block it
// sends what the peer takes at once, and reports whether that was all. Errors: the Out's;
// ErrClosed.
func (o *Outbox) Flush(block bool) (all bool, err error) {
	o.dropOpen()
	if o.any.Load() {
		o.collect()
	}
	if o.err != nil || len(o.buf) == 0 {
		o.postsSent()
		return o.err == nil, o.err
	}
	n, err := o.to.Write(o.buf, block)
	switch {
	case n < len(o.buf):
		o.buf = append(o.buf[:0], o.buf[n:]...)
	case cap(o.buf) > keepBuffer:
		o.shrink()
	default:
		o.buf = o.buf[:0]
	}
	if o.shut && err == nil && len(o.buf) == 0 {
		err = ErrClosed
	}
	o.err = err
	if len(o.buf) == 0 || err != nil {
		o.postsSent()
	}
	return len(o.buf) == 0, err
}

// postsSent makes room for as many posts as were taken.
func (o *Outbox) postsSent() {
	if o.taken == 0 {
		return
	}
	o.posts.Lock()
	o.count -= o.taken
	o.makeRoomLocked()
	o.posts.Unlock()
	o.taken = 0
}

// dropOpen drops a message that was begun and not ended, by an encoder that panicked.
func (o *Outbox) dropOpen() {
	if o.mark >= 0 {
		o.buf, o.mark = o.buf[:o.mark], -1
	}
}

// large holds buffers for followers that are far behind.
var large = sync.Pool{New: func() any { b := make([]byte, 0, flushAt+2*maxDelta); return &b }}

// reserve takes a large buffer if n bytes of text, about to be encoded, need one.
func (o *Outbox) reserve(n int) {
	if n > keepBuffer && cap(o.buf) < flushAt {
		o.buf = append((*large.Get().(*[]byte))[:0], o.buf...)
	}
}

// makeRoomLocked wakes all who wait to post.
func (o *Outbox) makeRoomLocked() {
	if o.room != nil {
		o.room.Broadcast()
	}
}

// Rest gives memory up, since nothing will be sent for a while. The caller holds the right to
// send, the buffer is empty, and nobody waits: a Poke that came before it counts no more.
func (o *Outbox) Rest() {
	o.shrink()
	o.wake.Store(nil)
}

// shrink gives the empty buffer up.
func (o *Outbox) shrink() {
	if b := o.buf[:0]; cap(b) >= flushAt && cap(b) <= 4*flushAt {
		large.Put(&b)
	}
	o.buf = nil
}

// collect moves what was posted into the buffer.
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

// Post adds a message for the next flush. It blocks while maxPosted are unsent, so a
// caller that holds the right to send would deadlock.
func (o *Outbox) Post(message []byte) {
	if !o.frames {
		o.PostRaw(message, false)
		return
	}
	b := append([]byte{0, 0, 0, 0}, message...)
	o.PostRaw(putHeader(b, 0, 4), false)
}

// PostRaw is Post for bytes that are framed already. last: it is a close frame, after
// which nothing is sent; for that one it does not block.
func (o *Outbox) PostRaw(frame []byte, last bool) {
	o.posts.Lock()
	for o.count >= maxPosted && !o.dead && !o.last && !last {
		if o.room == nil {
			o.room = sync.NewCond(&o.posts)
		}
		o.room.Wait()
	}
	if !o.last && !o.dead {
		o.post, o.count, o.last = append(o.post, frame...), o.count+1, last
		o.any.Store(true)
	}
	o.posts.Unlock()
	// If nobody holds the right to send, send it now.
	if o.sendMu.TryLock() {
		all, _ := o.Flush(false)
		o.sendMu.Unlock()
		if all && !last { // after a close frame the writer has to end, so it is woken
			return
		}
	}
	o.kick()
}

// Last sends the buffer and a close frame, after which nothing is sent. It needs the right
// to send. The reader notices if the write fails.
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

// Kill ends the outbox: nothing more is sent, and Wait and Post return.
func (o *Outbox) Kill() {
	o.posts.Lock()
	defer o.posts.Unlock()
	o.dead = true
	o.any.Store(true)
	o.makeRoomLocked()
	o.Poke()
}

// Closing reports whether a close frame was posted, after which posts are dropped.
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
