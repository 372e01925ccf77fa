package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Reply is one answer of the model: append-only text, followed by byte offset,
// and an end. One goroutine, the turn's, appends; any number follow. A
// follower holds nothing but an offset, so one that is slow costs no memory
// and simply gets more text at once.
type Reply struct {
	ID           uuid.UUID // these three never change
	Conversation session.Ref
	Model        string

	from     Caller // who asked; as the three above
	sample   sample
	estimate atomic.Int64 // of the prompt's tokens, where it is written; 0: the model was not asked yet

	mu        sync.Mutex // guards what follows
	text      text
	seq       int64 // its place in the conversation, once the store gave it one
	epochs    []session.Epoch
	sealed    bool // nothing is appended any more; whoever sealed it ends it
	end       *End
	followers []*follower
	readers   int                // of the followers, those that bring the text to a client
	read      int                // how much of the text one of them has taken
	unread    int                // how much was there when it ended and nobody was there to take it
	cancel    context.CancelFunc // of the turn; nil before it begins
	grown     int64              // when text last came for the one follower to push to, monotonic
	patience  time.Duration      // how long it goes on with nobody following; 0: for ever
	abandon   *time.Timer        // runs while nobody follows; nil without patience

	shared // with other nodes
}

// End says how a reply ended. It does not change.
type End struct {
	// Message is the reply as the store has it.
	Message session.Message
	// Err, when set, says that the store does not have it: ErrNotFound for a
	// session that was deleted, another error for a store that is away.
	Err error

	failure *Error // of a reply that failed, where it was written
}

// Failure is what clients are told of a reply that ended as FinishError. The
// store keeps no more of it than the code.
func (e *End) Failure() *Error {
	if e.failure != nil {
		return e.failure
	}
	return ErrorOf(e.Message.Failure)
}

func newReply(conversation session.Ref, id uuid.UUID, model string) *Reply {
	return &Reply{ID: id, Conversation: conversation, Model: model}
}

// Stored returns a reply that has ended and is stored as m.
func Stored(conversation session.Ref, m session.Message) *Reply {
	return &Reply{
		ID: m.ID, Conversation: conversation, Model: m.Model,
		text: stored(m.Content), seq: m.Seq, epochs: m.Epochs, sealed: true, end: &End{Message: m},
	}
}

// place notes where in the conversation the reply stands.
func (r *Reply) place(running *session.Running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq, r.epochs = running.Seq, running.Epochs
}

// Epoch names the reply's latest writer, as an offset is told with; 0: its first.
func (r *Reply) Epoch() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return (&session.Running{Epochs: r.epochs}).Epoch()
}

// Place is how much of a reply somebody has: so many bytes, as they were in an
// epoch (0: its first writer's).
type Place struct {
	Epoch  int64
	Offset int
}

// Honours tells whether all that is before a place is still part of the reply.
func (h *Hub) Honours(r *Reply, p Place) bool {
	p = h.known(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.honour(p) == p.Offset
}

// known is p as it counts here: where one node has it all, there are no epochs.
func (h *Hub) known(p Place) Place {
	if h.shared == nil {
		p.Epoch = 0
	}
	return p
}

// honour returns how much of what is before p is still part of r: less where
// another writer went on from an earlier place. r.mu is held.
func (r *Reply) honour(p Place) int {
	return (&session.Running{Epochs: r.epochs}).Honour(p.Epoch, p.Offset)
}

// append adds p, which is whole characters, and brings it to the followers. It
// reports false when the reply was sealed: the turn is over.
func (r *Reply) append(p []byte) bool {
	sole, store, ok := r.add(p)
	sole.serve()
	if store != nil {
		store()
	}
	return ok
}

// add adds p to the text, and returns the follower that is to be served, and what tells
// the Log. False: the reply was sealed.
func (r *Reply) add(p []byte) (sole *follower, store func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return nil, nil, false
	}
	r.text.append(p)
	if !r.gated {
		sole = r.show(len(p), true)
	}
	return sole, r.store, true
}

// breakOff ends the turn's call to the model. The turn ends the reply.
func (r *Reply) breakOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
}

// seal takes the right to write away. Only the first caller gets true, and
// must then end the reply.
func (r *Reply) seal() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sealLocked()
}

// sealForsaken is seal, unless somebody here follows by now.
func (r *Reply) sealForsaken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.followers) == 0 && r.sealLocked()
}

// rest has it looked again, after a while, whether anybody follows.
func (r *Reply) rest(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == nil && len(r.followers) == 0 {
		r.abandon.Reset(d)
	}
}

func (r *Reply) sealLocked() bool {
	if r.sealed {
		return false
	}
	r.sealed = true
	if r.cancel != nil {
		r.cancel()
	}
	return true
}

// begin gives the reply its turn's cancel function, or reports that it was
// sealed before the turn began. When nobody follows for as long as patience
// (0: for ever), giveUp is called.
func (r *Reply) begin(cancel context.CancelFunc, patience time.Duration, giveUp func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = cancel
	if r.sealed {
		return false
	}
	if patience > 0 {
		r.patience = patience
		r.abandon = time.AfterFunc(patience, giveUp)
		if len(r.followers) > 0 {
			r.abandon.Stop()
		}
	}
	return true
}

// finish tells the followers that the reply has ended. Only the first call counts.
func (r *Reply) finish(e End) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		return
	}
	r.sealed = true
	r.end = &e
	if r.readers == 0 {
		r.unread = r.text.size - r.read
	}
	if e.Err == nil {
		r.text, r.gated = stored(e.Message.Content), false // one copy, not two
	}
	if r.abandon != nil {
		r.abandon.Stop()
	}
	r.wake()
}

// wake pokes every follower. r.mu is held.
func (r *Reply) wake() {
	for _, f := range r.followers {
		f.poke()
	}
}

// wakeReaders pokes those who want to know of more text. r.mu is held.
func (r *Reply) wakeReaders() {
	for _, f := range r.followers {
		if !f.endOnly {
			f.poke()
		}
	}
}

// content returns the text so far.
func (r *Reply) content() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// prefix returns the first n bytes of the text. False: there are not that many by
// now, or n is inside a character.
func (r *Reply) prefix(n int) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.text.splits(n) {
		return "", false
	}
	return r.text.String()[:n], true
}

// wait returns when the reply has ended, or with ctx's error.
func (r *Reply) wait(ctx context.Context) (End, error) { return r.await(ctx, true) }

// await is wait, and without patience it returns ErrCut when the store is away
// for too long.
func (r *Reply) await(ctx context.Context, patient bool) (End, error) {
	wake := make(chan struct{}, 1)
	f := r.follow(&follower{wake: wake, endOnly: true}, Place{})
	defer f.close()
	for {
		r.mu.Lock()
		end, away := r.end, f.aways != r.aways
		r.mu.Unlock()
		switch {
		case end != nil:
			return *end, nil
		case away && !patient:
			return End{}, ErrCut
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return End{}, ctx.Err()
		}
	}
}

// reading notes that n more, or fewer, followers bring the text to a client.
func (r *Reply) reading(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers += n
}

// visible is how much of the text may be shown. r.mu is held.
func (r *Reply) visible() int {
	if r.gated {
		return r.shown
	}
	return r.text.size
}

// Len returns how much text the reply has by now, in bytes.
func (r *Reply) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.size
}
