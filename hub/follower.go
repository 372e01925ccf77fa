package hub

import (
	"errors"
	"slices"
)

// follower is somebody's place in a reply. It belongs to one goroutine, which
// lends it to whoever has more text while it waits (push.go).
type follower struct {
	wake    chan struct{} // has room for one
	endOnly bool          // it wants no text
	pusher  pusher        // what it brings the text to, if that can be pushed to
	r       *Reply
	off     int  // in bytes
	left    bool // it has gone; guarded by the pusher

	rewrites, aways int  // of the reply, as far as it has heard of them
	claimed         bool // off is what a client said of a copy that may lack it yet
}

// follow registers f to be poked whenever there is more behind a place, or the
// end. A place that the text cannot have is its beginning.
func (r *Reply) follow(f *follower, from Place) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.r, f.off, f.rewrites, f.aways = r, r.honour(from), len(r.rewrites), r.aways
	f.claimed = r.copied && f.off > 0
	if !f.claimed && !r.text.splits(f.off) {
		f.off = 0
	}
	r.followers = append(r.followers, f)
	if r.abandon != nil {
		r.abandon.Stop()
	}
	return f
}

// poke has the follower look. One that was poked already will look anyway.
func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) close() {
	r := f.r
	f.left = true
	r.mu.Lock()
	if i := slices.Index(r.followers, f); i >= 0 {
		r.followers = slices.Delete(r.followers, i, i+1)
	}
	alone := len(r.followers) == 0 && r.end == nil
	if r.abandon != nil && alone {
		r.abandon.Reset(r.patience)
	}
	release := r.release
	r.mu.Unlock()
	if alone && release != nil {
		release()
	}
}

// next returns what there is behind the follower's offset, and moves it. The
// end comes when no text is left. Neither: there is nothing more for now.
// Errors: errRewritten, errMoved, ErrCut.
func (f *follower) next() ([]byte, *End, error) {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.rewrites < len(r.rewrites) {
		for _, kept := range r.rewrites[f.rewrites:] {
			f.off = min(f.off, kept)
		}
		f.rewrites = len(r.rewrites)
		return nil, nil, errRewritten
	}
	switch {
	case r.end != nil && errors.Is(r.end.Err, errMoved):
		return nil, nil, errMoved
	case f.aways != r.aways:
		return nil, nil, ErrCut
	}
	if f.claimed && (r.text.size >= f.off || r.end != nil) {
		if f.claimed = false; !r.text.splits(f.off) {
			f.off = 0
			return nil, nil, errRewritten
		}
	}
	if delta := f.take(); len(delta) > 0 {
		return delta, nil, nil
	}
	return nil, r.end, nil
}

// newsFirst reports whether there is something else to find out before more
// text. r.mu is held.
func (f *follower) newsFirst() bool {
	return f.rewrites < len(f.r.rewrites) || f.aways != f.r.aways || f.claimed
}

// take returns the next delta, and moves behind it. r.mu is held.
func (f *follower) take() []byte {
	delta := f.r.text.from(f.off, min(maxDelta, f.r.visible()-f.off))
	f.off += len(delta)
	f.r.read = max(f.r.read, f.off)
	return delta
}
