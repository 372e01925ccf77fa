package hub

import "time"

// A token that comes at a model's own pace costs little but the system calls
// that read and write it, and the waking of the goroutine that writes it. The
// latter is saved where whoever has the text in hand brings it to the socket of
// a follower that is waiting for just that: the writer of a reply, or, where a
// Log keeps it, the goroutine that hears that it does.

const (
	// pushGap is how far apart parts of a text must come to be pushed. What comes
	// faster is left to the follower, which takes together what has come meanwhile.
	pushGap = time.Millisecond
	// maxPush is the longest text that is pushed, in bytes.
	maxPush = 1 << 10
)

// pusher is a Sink that another goroutine can use while the Sink's own waits. No
// method of it panics: that would end the reply with the connection.
type pusher interface {
	Sink
	// enter reports whether that goroutine waits and nothing is held back, and
	// keeps it from going on until leave.
	enter() bool
	leave()
	// flushNow sends what was held back, if the peer takes it at once; otherwise
	// it leaves it to be flushed.
	flushNow() bool
}

// show brings n bytes more, which may be shown now, to the followers: it wakes
// them, or returns the one that the caller, if it can push, is to serve without
// r.mu. r.mu is held.
func (r *Reply) show(n int, push bool) *follower {
	// What feeds a copy holds a lock of the Log's, and must not write to sockets.
	if push && len(r.followers) == 1 && r.followers[0].pusher != nil && !r.copied {
		now := monotonic()
		gap := now - r.grown
		r.grown = now
		if gap >= int64(pushGap) && n <= maxPush {
			return r.followers[0]
		}
	}
	r.wakeReaders()
	return nil
}

// serve brings a follower what there is, or has it look itself. Nil: nobody.
func (f *follower) serve() {
	if f != nil && !f.push() {
		f.poke()
	}
}

// push brings a follower what there is behind its place, without waiting for
// anybody. False: the follower has to look itself.
func (f *follower) push() bool {
	if !f.pusher.enter() {
		return false
	}
	defer f.pusher.leave()
	if f.left {
		return true
	}
	delta, behind := f.takeShort()
	if len(delta) == 0 {
		return behind <= 0
	}
	return f.pusher.Delta(f.r, delta, f.off) == nil && len(delta) == behind && f.pusher.flushNow()
}

// takeShort is take, unless there is much or something else comes first: then it takes
// nothing. It returns how much there was behind the follower.
func (f *follower) takeShort() (delta []byte, behind int) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	behind = f.r.visible() - f.off
	if behind > maxPush || f.newsFirst() {
		return nil, max(behind, 1)
	}
	return f.take(), behind
}
