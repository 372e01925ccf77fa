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

// AtEnd is the place of somebody who wants to know of the end alone.
var AtEnd = Offset{N: math.MaxInt}

// End says how a reply ended.
type End struct {
	Message session.Message // as it is stored
	Err     error           // session.ErrNotFound: its session is gone; ErrLost: the store has lost it
}

// Reply is one answer of the model as this node writes or follows it: a Text, and
// those who follow it. Any number follow, each a place in the text and nothing
// else.
type Reply struct {
	*session.Text
	sample sample

	mu        sync.Mutex // guards what follows; no other lock is taken under it
	following int        // how many want text
	parked    []*follower
	spare     []*follower // room for parked
	enders    []*follower // parked until the end
	grew      int64       // when text last came for one follower alone
	outages   int         // how often the followers were sent away
	read      int         // how much of the text one of them has taken
	onEnd     func()      // nil: nothing
	asked     time.Time   // when somebody asked for it who has not followed yet; zero: nobody
	left      time.Time   // when one last left; zero: none has
}

// askedFor is how long somebody who has asked for a reply may take to follow it.
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
	// pushGap is how far apart text must come to be delivered by the writer. What
	// comes faster is left to the follower, which takes it together.
	pushGap = int64(time.Millisecond)
	// maxPush is the longest text that the writer delivers, in bytes.
	maxPush = 1 << 10
)

// Grew implements session.TextWatcher. A single follower that waits is served by
// the caller, as far as that does not block.
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
		_ = Of(next) // whoever follows this one goes on there
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

// Away implements session.TextWatcher: who follows now is sent away, to come again.
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

// Read is how much of the text one of its followers has.
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

// Place returns the place behind what a client has, as far as that is still part of
// the reply; the beginning, if the text has no such place. exact says that all of
// it is.
func (r *Reply) Place(from Offset) (at session.Cursor, exact bool) {
	n := from.N
	if from.TextOnly {
		var ok bool
		if n, ok = r.TextAt(n); !ok {
			n = math.MaxInt // too large to be honoured; ValidPrefix may still find it cut
		}
	}
	kept := session.ValidPrefix(r.Epochs, from.Epoch, n)
	at, ok := r.At(kept)
	return at, ok && kept == n
}

// MayBeShown tells whether somebody can have been shown what comes now: follows the
// text here, or has done so on another node.
func (r *Reply) MayBeShown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.following > 0 || !r.FollowedElsewhere().IsZero()
}

// LastFollowed is when somebody last followed it, on any node; zero: nobody has.
func (r *Reply) LastFollowed() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.following+len(r.enders) > 0 {
		return time.Now()
	}
	if elsewhere := r.FollowedElsewhere(); elsewhere.After(r.left) {
		return elsewhere
	}
	return r.left
}

// follower is somebody's place in a reply. Whoever has the right to send to its
// client may move it.
type follower struct {
	r       *Reply
	enc     Encoder
	out     *Outbox
	at      session.Cursor
	end     *session.TextEnd // it was told
	outages int              // of r, as far as it has heard
	caught  *session.Caught  // its encoder panicked on the reply's writer's goroutine
	since   int64            // when it came to r
	deltas  int              // that it was sent of r
	left    bool
	parked  bool // guarded by r.mu
	endOnly bool
}

// Follow tells out all of the reply from a place on, as enc puts it, until its
// end or an error. A place that the text does not have is its beginning. The
// caller has the right to send. Errors: enc's; ErrCut, where the store is away
// for too long; the Out's; ErrClosed; ctx's cause.
func (r *Reply) Follow(ctx context.Context, enc Encoder, out *Outbox, from Offset) (*End, error) {
	f := &follower{r: r, enc: enc, out: out, endOnly: from == AtEnd, left: true}
	defer func() {
		if !f.left { // it panicked
			f.leave()
		}
	}()
	for again := false; ; again = true {
		f.join(from)
		if again {
			f.outages = 0 // an Away before this follower arrived counts too
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
			return f.ending(), err
		}
		from = Offset{Epoch: f.end.Next.Epoch(), N: min(f.at.Off(), f.end.Keep)}
		if f.endOnly {
			from = AtEnd
		}
		f.r, f.end = Of(f.end.Next), nil
	}
}

func (f *follower) ending() *End {
	if f.end == nil {
		return nil
	}
	e := &End{Err: f.end.Err}
	if f.end.Message != nil {
		e.Message = *f.end.Message
	}
	return e
}

// step is the way of all text: it encodes what lies behind f's place and sends
// it. Without block it does so only for a little text, and reports false when the
// follower has to go on itself.
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
		return false, ErrCut // it came too late to keep the text
	}
	if f.end = end; end != nil && end.Next == nil {
		if err := f.enc.End(f.out, f.r, f.ending()); err != nil {
			return false, err
		}
	}
	if sent, err = f.out.Flush(block); sent {
		f.delivered()
	}
	return sent, err
}

// push is a step of the writer's, if the follower waits. Its panic is the follower's.
func (f *follower) push() (sent bool) {
	if !f.out.right.TryLock() {
		return false
	}
	defer f.out.right.Unlock()
	if f.left {
		return true
	}
	f.caught = session.Catch(func() {
		sent, _ = f.step(false) // the outbox tells the follower of an error
	})
	return sent
}

func (f *follower) join(from Offset) {
	r := f.r
	f.left, f.since, f.deltas = false, monotonic(), 0
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

// isCut tells whether the followers were sent away since f came.
func (f *follower) isCut() bool {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.read = max(f.r.read, f.at.Off())
	return f.outages != f.r.outages
}

// park notes that f waits, unless there is more by now.
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
	f.left = true
	if f.deltas > 0 && f.out.Meter != nil {
		f.out.Meter.Sent(f.deltas)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = time.Now()
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
