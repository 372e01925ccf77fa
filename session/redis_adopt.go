package session

import (
	"context"
	"strconv"

	"github.com/google/uuid"
)

// Adopt implements Log.
func (r *Redis) Adopt(ctx context.Context, ref Ref, reply uuid.UUID) (Adoption, error) {
	w := r.newWriter(ref, reply)
	w.expected = true
	r.mu.Lock()
	if r.writers[reply] != nil {
		r.mu.Unlock()
		return Adoption{}, ErrBusy
	}
	r.writers[reply] = w
	r.mu.Unlock()
	defer r.forgetExpected(w) // unless it was begun
	return r.adopt(ctx, w)
}

// adopt takes w's reply over, which nobody here writes.
func (r *Redis) adopt(ctx context.Context, w *writer) (Adoption, error) {
	failed := Message{ID: w.reply, Timestamp: Now(), FinishReason: FinishError, Failure: "internal"}
	status, rest, err := r.step(ctx, adoptScript, w.ref, stamp(Now()), w.reply.String(), w.lease,
		millis(leaseTTL), strconv.Itoa(maxDeaths), headerOf(failed), strconv.Itoa(r.cfg.History))
	switch {
	case err != nil:
		return Adoption{}, err
	case status == "not found":
		return Adoption{}, ErrNotFound
	case status == "written":
		return Adoption{}, ErrBusy
	case status != "ok":
		r.forgetExpected(w)
		r.ended(w.reply)
		return Adoption{}, ErrLost
	}
	a := &answer{rest: rest}
	said := Said{User: a.message(a.string()), Before: a.id(a.string()), Started: true, Running: a.running()}
	text := a.string()
	said.History = a.newestLast()
	if a.err != nil {
		return Adoption{}, a.err
	}
	r.complete(w.reply, said.Running.Epochs, text)
	r.mu.Lock()
	w.stored, w.epoch = len(text), said.Running.Epoch()
	r.mu.Unlock()
	r.begin(w, w.lease)
	return Adoption{Said: said, Text: text}, nil
}

// complete brings the copy that followed a reply to exactly text, and lets go
// of it.
func (r *Redis) complete(reply uuid.UUID, epochs []Epoch, text string) {
	f := r.followed(reply)
	if f == nil {
		return
	}
	f.complete(epochs, text)
	r.Unfollow(reply)
}

func (f *follow) complete(epochs []Epoch, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		f.rewrite(epochs, len(text))
		f.take(0, []byte(text))
	}
	f.done = true
}
