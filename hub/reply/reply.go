package reply

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"lumos/backend/session"
)

// Offset is how much of a reply a client has: N bytes, as they were in an epoch
// (0: its first writer's). TextOnly says that they are counted without reasoning.
type Offset struct {
	Epoch    int64
	N        int
	TextOnly bool
}

// AtEnd is the place of a follower that only waits for the end.
var AtEnd = Offset{N: math.MaxInt}

// Reply is one answer of the model as this node writes or follows it: a Text and its
// followers. There may be any number; each is a place in the text, without a queue.
type Reply struct {
	*session.Text
	sample sample

	mu        sync.Mutex  // guards what follows; no other lock is taken under it
	following int         // followers that want text
	parked    []*follower // those of them that wait for text
	spare     []*follower // parked's next memory
	enders    []*follower // followers that wait for the end only
	grew      int64       // when text last came for a single follower, by monotonic
	outages   int         // how often the followers were sent away
	read      int         // bytes that the fastest follower has taken
	onEnd     func()      // nil: nothing
	asked     time.Time   // when Of was last called without a follower joining since; zero: not
	lastLeft  time.Time   // when one last left; zero: none has
}

// askedFor is how long after Of a reply counts as followed.
const askedFor = 10 * time.Second

// Of returns the Reply of a text. Callers on this node share one.
func Of(t *session.Text) *Reply {
	r := t.Watcher(&Reply{Text: t}).(*Reply)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	return r
}

// Stored returns a reply that has ended.
func Stored(ref session.Ref, m *session.Message) *Reply {
	return &Reply{Text: session.StoredText(ref, m)}
}

const (
	// maxDelta is the most text that one delta carries, in bytes.
	maxDelta = 16 << 10
	// pushGap is the least time between two texts, in nanoseconds, for the writer to
	// deliver the second itself. Faster text is left to the follower, which batches it.
	pushGap = int64(time.Millisecond)
	// maxPush is the longest text that the writer delivers, in bytes.
	maxPush = 1 << 10
)

// Grew implements session.TextWatcher. To a single follower that waits, the caller sends
// the text itself, as far as that does not block.
func (r *Reply) Grew(push bool) {
	r.mu.Lock()
	if push && len(r.parked) == 1 && r.following == 1 {
		f, now := r.parked[0], monotonic()
		gap := now - r.grew
		r.grew = now
		r.mu.Unlock()
		if gap < pushGap || !f.push() {
			f.out.Poke()
		}
		return
	}
	woken := r.parked
	for _, f := range woken {
		f.parked = false
	}
	r.parked, r.spare = r.spare[:0], nil
	r.mu.Unlock()
	for _, f := range woken {
		f.out.Poke()
	}
	clear(woken)
	r.mu.Lock()
	r.spare = woken
	r.mu.Unlock()
}

// Ended implements session.TextWatcher.
func (r *Reply) Ended() {
	r.mu.Lock()
	f := r.onEnd
	r.mu.Unlock()
	if next := r.End().Next; next != nil {
		_ = Of(next) // this one's followers continue there
	}
	if f != nil {
		f()
	}
	r.wakeAll()
}

// OnEnd has f called when the text ends, at once if it has. f must not block.
func (r *Reply) OnEnd(f func()) {
	r.mu.Lock()
	r.onEnd = f
	r.mu.Unlock()
	if r.End() != nil {
		f()
	}
}

// Away implements session.TextWatcher: it ends the streams of all followers, whose
// clients reconnect.
func (r *Reply) Away() {
	r.mu.Lock()
	r.outages++
	r.mu.Unlock()
	r.wakeAll()
}

func (r *Reply) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.parked {
		f.out.Poke()
	}
	for _, f := range r.enders {
		f.out.Poke()
	}
}

// Read is how many bytes of the text the fastest follower has taken.
func (r *Reply) Read() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}

// Followed implements session.TextWatcher.
func (r *Reply) Followed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.following+len(r.enders) > 0 || time.Since(r.asked) < askedFor
}

// Place returns the place after what a client has, as far as that is still part of the
// reply; the beginning, if the text has no such place. exact: all of it still is.
func (r *Reply) Place(from Offset) (at session.Cursor, exact bool) {
	n := from.N
	if from.TextOnly {
		var ok bool
		if n, ok = r.TextAt(n); !ok {
			n = math.MaxInt // beyond the text; ValidPrefix may still cut it to an epoch's beginning
		}
	}
	kept := session.ValidPrefix(r.Epochs, from.Epoch, n)
	at, ok := r.At(kept)
	return at, ok && kept == n
}

// MayBeShown reports whether a client may see text as it comes: one follows here now, or
// has ever followed on another node.
func (r *Reply) MayBeShown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.following > 0 || !r.FollowedElsewhere().IsZero()
}

// LastFollowed is when the reply last had a follower, on any node; zero: never.
func (r *Reply) LastFollowed() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.following+len(r.enders) > 0 {
		return time.Now()
	}
	if elsewhere := r.FollowedElsewhere(); elsewhere.After(r.lastLeft) {
		return elsewhere
	}
	return r.lastLeft
}

// follower is one client's place in a reply. Its fields, but for parked, are guarded by
// the right to send (out.sendMu): the reply's writer moves it, too, by push.
type follower struct {
	r        *Reply
	enc      Encoder
	out      *Outbox
	at       session.Cursor
	end      *session.TextEnd // of r, once it was sent
	outages  int              // r.outages when it joined
	caught   *session.Caught  // a panic in push, to be raised on its own goroutine
	since    int64            // when it joined r, by monotonic
	deltas   int              // that it was sent of r
	detached bool             // it is not in r
	parked   bool             // it is in r.parked or r.enders; guarded by r.mu
	endOnly  bool             // it waits for the end only
}

// Follow sends the reply to out, encoded by enc, from a place to its end. A place that the
// text does not have means its beginning. The caller holds the right to send.
// Errors: enc's; ErrCut, if the store is away for too long; the Out's; ErrClosed; ctx's cause.
func (r *Reply) Follow(ctx context.Context, enc Encoder, out *Outbox, from Offset) (*session.TextEnd, error) {
	f := &follower{r: r, enc: enc, out: out, endOnly: from == AtEnd, detached: true}
	defer func() {
		if !f.detached { // it panicked
			f.leave()
		}
	}()
	for again := false; ; again = true {
		f.join(from)
		if again {
			f.outages = 0 // in the text that follows an earlier one, an Away before it joined counts, too
		}
		err := enc.Start(out, f.r, &f.at)
		for err == nil && f.end == nil {
			if _, err = f.step(true); err == nil && f.end == nil && f.park() {
				err = out.Wait(ctx)
			}
			if err == nil && f.end == nil && f.isCut() {
				err = ErrCut
			}
		}
		f.leave()
		if err == nil && f.end.Next != nil && f.isCut() {
			err = ErrCut
		}
		if err != nil || f.end.Next == nil {
			return f.end, err
		}
		from = Offset{Epoch: f.end.Next.Epoch(), N: min(f.at.Off(), f.end.Keep)}
		f.r, f.end = Of(f.end.Next), nil
	}
}

// step encodes and sends what follows f's place. All text passes here. Without block it
// does so only for up to maxPush bytes, and returns false if the follower must go on itself.
func (f *follower) step(block bool) (sent bool, err error) {
	if f.caught != nil {
		panic(f.caught)
	}
	end := f.r.End() // before the text, all of which is there if this is
	if !block && (end != nil || f.at.Behind() > maxPush) {
		return false, nil
	}
	for !f.endOnly {
		f.out.reserve(f.at.Behind())
		p := f.at.Next(maxDelta)
		if len(p) == 0 {
			break
		}
		f.enc.Text(f.out, f.r, &f.at, p)
		f.deltas++
		if len(f.out.buf) >= flushAt {
			if sent, err := f.out.Flush(block); !sent {
				return false, err
			}
		}
	}
	if end != nil && end.Err == session.ErrUnfollowed {
		return false, ErrCut // the text ended, unfollowed, before f joined
	}
	if f.end = end; end != nil && end.Next == nil {
		if err := f.enc.End(f.out, f.r, end); err != nil {
			return false, err
		}
	}
	if sent, err = f.out.Flush(block); sent {
		f.delivered()
	}
	return sent, err
}

// push is a step on the reply's writer's goroutine, if the follower waits. A panic is
// raised again by the follower's next step.
func (f *follower) push() (sent bool) {
	if !f.out.sendMu.TryLock() {
		return false
	}
	defer f.out.sendMu.Unlock()
	if f.detached {
		return true
	}
	f.caught = session.Catch(func() {
		sent, _ = f.step(false) // the outbox tells the follower of an error
	})
	return sent
}

func (f *follower) join(from Offset) {
	r := f.r
	f.detached, f.since, f.deltas = false, monotonic(), 0
	if !f.endOnly {
		f.at, _ = r.Place(from)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.outages = r.outages
	r.asked = time.Time{}
	if !f.endOnly {
		r.following++
	}
}

// isCut reports whether the followers were sent away since f joined.
func (f *follower) isCut() bool {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.read = max(f.r.read, f.at.Off())
	return f.outages != f.r.outages
}

// park registers f for Grew or Ended. It returns false if there is more to send by now.
func (f *follower) park() bool {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.End() != nil || !f.endOnly && f.at.Behind() > 0 || f.outages != r.outages {
		return false
	}
	if !f.parked {
		f.parked = true
		if f.endOnly {
			r.enders = append(r.enders, f)
		} else {
			r.parked = append(r.parked, f)
		}
	}
	return true
}

func (f *follower) leave() {
	r := f.r
	f.detached = true
	if f.deltas > 0 && f.out.Meter != nil {
		f.out.Meter.Sent(f.deltas)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastLeft = time.Now()
	r.read = max(r.read, f.at.Off())
	is := func(o *follower) bool { return o == f }
	if f.parked {
		r.parked, r.enders = slices.DeleteFunc(r.parked, is), slices.DeleteFunc(r.enders, is)
	}
	f.parked = false
	if !f.endOnly {
		r.following--
	}
}
