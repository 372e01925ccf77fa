package session

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

const (
	// followFor is how long a node counts as following unless it looks again.
	followFor = 30 * time.Second
	// maxLook is the most text that one look returns, in bytes.
	maxLook = 256 << 10
	// adoptWithin spreads the nodes that would adopt a reply whose writer may
	// yet come back.
	adoptWithin = 500 * time.Millisecond
)

// follow is a reply that another node writes and that is followed here.
type follow struct {
	ref   Ref
	reply uuid.UUID
	ln    lane

	mu     sync.Mutex // guards what follows, and is held while copy is called
	copy   Copy
	have   int   // what copy has, in bytes
	epoch  int64 // as of which
	asked  int   // what it had when the look under way was built
	orphan *time.Timer
	outage outage
	done   bool
}

func (f *follow) lane() *lane { return &f.ln }

// Follow implements Log.
func (r *Redis) Follow(ref Ref, reply uuid.UUID, have int, epoch int64, c Copy) {
	f := &follow{ref: ref, reply: reply, copy: c, have: have, epoch: epoch}
	r.mu.Lock()
	old := r.follows[reply]
	r.follows[reply] = f
	r.mu.Unlock()
	if old != nil {
		r.leave(old)
	}
	r.looks.wake(f)
}

// Unfollow implements Log.
func (r *Redis) Unfollow(reply uuid.UUID) {
	r.mu.Lock()
	f := r.follows[reply]
	delete(r.follows, reply)
	r.mu.Unlock()
	if f != nil {
		r.leave(f)
	}
}

// leave feeds f's copy no more. When it returns nothing is being told to it.
func (r *Redis) leave(f *follow) {
	r.looks.shut(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = true
	if f.orphan != nil {
		f.orphan.Stop()
	}
}

// followed returns the follow of a reply, or nil.
func (r *Redis) followed(reply uuid.UUID) *follow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.follows[reply]
}

// sendLooks is the pipe's send for what is followed. A look registers this
// node as one that follows and reads what the copy lacks, in this order, so
// that nothing falls between the two.
func (r *Redis) sendLooks(ctx context.Context, c rueidis.CoreClient, batch []*follow, settle func(*follow, verdict)) error {
	if c == nil {
		for _, f := range batch {
			settle(f, f.missed())
		}
		return nil
	}
	commands := make([]rueidis.Completed, len(batch))
	for i, f := range batch {
		f.mu.Lock()
		f.asked = f.have
		f.mu.Unlock()
		commands[i] = r.command(c, lookScript, f.ref, []string{
			f.reply.String(), strconv.Itoa(f.asked), millis(followFor), strconv.Itoa(maxLook),
		})
	}
	for i, result := range r.doAll(ctx, c, commands) {
		settle(batch[i], r.looked(batch[i], result))
	}
	return nil
}

// looked handles the answer to a look.
func (r *Redis) looked(f *follow, result rueidis.RedisResult) verdict {
	list, err := result.ToArray()
	if err != nil {
		return f.missed()
	}
	a := &answer{rest: list}
	if a.string() != "ok" {
		if !f.left() { // otherwise it is written here, and may have ended here
			r.ended(f.reply)
		}
		return dropped
	}
	epochs, holder, free, text := a.epochs(a.string()), a.string(), a.string() != "", a.string()
	if a.err != nil {
		return later
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return dropped
	}
	f.outage = outage{}
	f.rewrite(epochs, f.have)
	full := len(text) == maxLook
	if f.take(f.asked, []byte(text)) || full {
		return more
	}
	if f.orphan == nil && !r.isWritten(f.reply, holder) {
		wait := rand.N(adoptWithin)
		if free {
			wait = 0
		}
		f.orphan = time.AfterFunc(wait, f.orphaned)
	}
	return rest
}

// missed notes that a look got no answer.
func (f *follow) missed() verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, tell := f.outage.lasts(); tell && !f.done {
		f.copy.Away()
	}
	return later
}

// left tells whether the copy is fed no more.
func (f *follow) left() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// rewrite tells the copy of another writer, and takes back what that one has
// not, or what is behind the first most bytes. f.mu is held.
func (f *follow) rewrite(epochs []Epoch, most int) {
	last := (&Running{Epochs: epochs}).Epoch()
	kept := min(honour(epochs, f.epoch, f.have), most)
	if last == f.epoch && kept == f.have {
		return
	}
	f.epoch, f.have = last, kept
	f.copy.Rewritten(kept, epochs)
}

// isWritten tells whether somebody writes a reply: the holder of its lease,
// which may be this node, and then it must know of it.
func (r *Redis) isWritten(reply uuid.UUID, holder string) bool {
	node, _, _ := strings.Cut(holder, " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writers[reply] != nil || node != "" && node != r.node
}

func (f *follow) orphaned() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orphan = nil
	if !f.done {
		f.copy.Orphaned()
	}
}

// take gives the copy what it lacks of text, which follows the reply's first
// at bytes. It reports a gap. f.mu is held.
func (f *follow) take(at int, text []byte) (gap bool) {
	if at > f.have {
		return true
	}
	if at+len(text) <= f.have {
		return false
	}
	text = text[f.have-at:]
	text = text[:wholeRunes(text)] // a failover can have cut inside a character
	if len(text) > 0 {
		f.have += len(text)
		f.copy.Append(text)
	}
	return false
}

// wholeRunes returns how much of b is whole characters.
func wholeRunes(b []byte) int {
	for i := 1; i <= min(len(b), utf8.UTFMax-1); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// hear handles text that the writer's node sent.
func (r *Redis) hear(reply uuid.UUID, epoch int64, at int, text string) {
	f := r.followed(reply)
	if f == nil {
		return
	}
	if f.hear(epoch, at, text) {
		r.looks.wake(f)
	}
}

// hear takes text that was sent, and tells whether a look is wanted.
func (f *follow) hear(epoch int64, at int, text string) (look bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.epoch {
		return true
	}
	return !f.done && f.take(at, []byte(text))
}

// ended tells whoever is here that a reply has ended, or has another writer.
func (r *Redis) ended(reply uuid.UUID) {
	r.mu.Lock()
	f, w := r.follows[reply], r.writers[reply]
	delete(r.follows, reply)
	r.mu.Unlock()
	if w != nil {
		r.lose(w)
	}
	if f == nil {
		return
	}
	r.leave(f)
	f.copy.Ended()
}

// pollFollowed looks at all that is followed, for hints get lost.
func (r *Redis) pollFollowed(ctx context.Context) {
	r.every(ctx, pollEvery, r.lookAtAll)
}

func (r *Redis) lookAtAll() {
	r.mu.Lock()
	all := make([]*follow, 0, len(r.follows))
	for _, f := range r.follows {
		all = append(all, f)
	}
	r.mu.Unlock()
	for _, f := range all {
		r.looks.wake(f)
	}
}
