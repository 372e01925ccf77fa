package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// errMoved: the reply goes on elsewhere, or its text is not what it was. Who
// followed looks for it again.
var errMoved = errors.New("hub: the reply has moved")

// errRewritten: the reply has another writer. Who followed begins it again,
// from where what they have is still part of it.
var errRewritten = errors.New("hub: the reply has another writer")

// errUnwritten: the store has a reply as running that nobody writes.
var errUnwritten = errors.New("hub: nobody writes the reply")

// errGone: an edit or a regeneration elsewhere took the reply away before its end
// was told here.
var errGone = fmt.Errorf("hub: the reply is no longer in its conversation: %w", ErrCut)

// shared is what a Reply has when its text is in a Log, which other nodes
// read and write too. Its fields are guarded by Reply.mu.
type shared struct {
	gated    bool   // only the first shown bytes may be shown: those that the Log has
	shown    int    // in bytes
	store    func() // tells the Log that there is more; called without Reply.mu
	copied   bool   // another node writes it; here is a copy
	aways    int    // how often the Log was away for too long
	rewrites []int  // for each further writer that was seen: how much of the text it kept

	adopting bool   // somebody here is taking it over
	release  func() // called when nobody follows a copy any more
}

// find returns the reply that is running: the one that is written here, or a
// copy of what another node writes. It is nil when the reply has ended meanwhile, or
// the hub has. Errors: without a Log, the store's for Finish.
func (h *Hub) find(conversation session.Ref, running *session.Running) (*Reply, error) {
	r := h.reply(running.Reply)
	switch {
	case r != nil:
		return r, nil
	case h.stopped():
		return nil, nil
	case h.shared == nil:
		return nil, h.endUnwritten(conversation, running)
	}
	return h.copyOf(conversation, running), nil
}

// endUnwritten ends a reply that the store has as running, and that is not in the
// registry of the one process that could write it: its end has been stored since, or
// could not be when it came, and would keep the conversation busy for ever.
func (h *Hub) endUnwritten(conversation session.Ref, running *session.Running) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	m := failed(errUnwritten)
	m.ID, m.Model, m.Timestamp = running.Reply, running.Model, session.Now()
	err := h.sessions.Finish(ctx, conversation, m)
	if errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrLost) {
		return nil // the next look finds what is there
	}
	return err
}

// copyOf returns a copy of the reply that is running at another node; nil: the hub has
// stopped.
func (h *Hub) copyOf(conversation session.Ref, running *session.Running) *Reply {
	// What follows and what stops following must not overtake each other.
	h.follows.Lock()
	defer h.follows.Unlock()
	made := newReply(conversation, running.Reply, running.Model)
	made.copied = true
	made.release = func() { h.unfollow(made) }
	made.place(running)
	r := made
	if h.do(func() {
		if other := h.replies[running.Reply]; other != nil && !other.moved() {
			r = other
			return
		}
		h.replies[running.Reply] = made
	}) != nil {
		return nil
	}
	if r == made {
		fed := false
		defer func() {
			if !fed { // Follow panicked: a copy that is not fed must not be found
				h.tell(conversation, func() { h.forget(made) })
			}
		}()
		h.shared.Follow(conversation, running.Reply, 0, running.Epoch(), copying{h, made})
		fed = true
		h.lookForFollowers(made)
	}
	return r
}

func (r *Reply) moved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end != nil && errors.Is(r.end.Err, errMoved)
}

// unfollow lets go of a copy that nobody follows.
func (h *Hub) unfollow(r *Reply) {
	h.follows.Lock()
	defer h.follows.Unlock()
	gone := false
	h.tell(r.Conversation, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.copied || r.adopting || r.end != nil || len(r.followers) > 0 {
			return
		}
		gone, r.sealed, r.end = true, true, &End{Err: errMoved}
		h.forget(r)
	})
	if gone {
		h.shared.Unfollow(r.ID)
	}
}

// endCopy ends a copy as the store says that the reply ended.
func (h *Hub) endCopy(r *Reply) {
	e := End{Err: errMoved}
	defer func() {
		r.finish(e)
		h.tell(r.Conversation, func() { h.forget(r) })
	}()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	s, err := h.sessions.Get(ctx, r.Conversation, r.before())
	if errors.Is(err, session.ErrNotFound) {
		e.Err = err
	}
	for _, m := range s.Messages {
		// What was shown and is no part of it has to be taken back.
		if m.ID == r.ID && common(r, m.Content, r.Len()) == r.Len() {
			e = End{Message: m}
		}
	}
}

// before is the place before the reply.
func (r *Reply) before() session.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return session.Position{Seq: r.seq - 1}
}

// adopt takes over a reply that nobody writes, and goes on with it.
func (h *Hub) adopt(r *Reply) {
	var a session.Adoption
	err := h.rescue("a take-over", r.Conversation, func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		a, err = h.shared.Adopt(ctx, r.Conversation, r.ID)
		return err
	})
	if alone := r.adopted(err == nil); err != nil {
		defer h.running.Done()
		_ = h.rescue("a copy's end", r.Conversation, func() error {
			switch {
			case panicked(err): // the lease may be ours: it is given up, and the followers look again
				h.abandon(r)
				defer h.endCopy(r)
				h.shared.Unfollow(r.ID)
			case alone:
				h.unfollow(r)
			} // otherwise somebody else writes it, or it has ended: the Log tells the copy
			return nil
		})
		return
	}
	h.metrics.adopted()
	h.log.Info("reply taken over", slog.String("session", ShortID(r.Conversation.ID)), slog.Int("at", len(a.Text)))
	h.turn(r, a.Said)
}

// adopted notes that a take-over has ended, and whether the reply is written here now.
// It tells whether nobody follows.
func (r *Reply) adopted(here bool) (alone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopting = false
	if here {
		r.copied, r.gated, r.shown, r.release = false, true, r.text.size, nil
	}
	return len(r.followers) == 0
}

// relocate finds a reply again that has moved, and the place in it up to which
// it has what the follower of r has, off bytes. Errors: errGone, ErrCut; the
// store's.
func (h *Hub) relocate(ctx context.Context, r *Reply, off int) (*Reply, Place, error) {
	s, err := h.sessions.Get(ctx, r.Conversation, r.before())
	if err != nil {
		return nil, Place{}, err
	}
	for _, m := range s.Messages {
		if m.ID == r.ID {
			found := Stored(r.Conversation, m)
			return found, Place{found.Epoch(), common(r, m.Content, off)}, nil
		}
	}
	if s.Running != nil && s.Running.Reply == r.ID {
		found, err := h.find(r.Conversation, s.Running)
		if found != nil || err != nil {
			return found, Place{r.Epoch(), off}, err
		}
		return nil, Place{}, ErrCut
	}
	return nil, Place{}, errGone
}

// common returns how much of r's first off bytes content begins with, in whole
// characters.
func common(r *Reply, content string, off int) int {
	had, n := r.content(), 0
	for n < min(off, len(had), len(content)) && had[n] == content[n] {
		n++
	}
	for n > 0 && n < len(content) && !utf8.RuneStart(content[n]) {
		n--
	}
	return n
}

// yield gives up the right to write a reply, so that another node goes on.
func (h *Hub) yield(ctx context.Context, r *Reply) {
	if !r.seal() {
		return
	}
	defer r.finish(End{Err: ErrDraining})
	if err := h.shared.Yield(ctx, r.Conversation, r.ID); err != nil {
		h.log.Warn("a reply could not be handed over at once", slog.String("session", ShortID(r.Conversation.ID)), slog.Any("error", err))
	}
}

// stopShared ends a reply with what the Log has of it, whoever writes it.
func (h *Hub) stopShared(ctx context.Context, conversation session.Ref, running *session.Running) (string, error) {
	r := h.reply(running.Reply)
	if r != nil && !r.isCopy() && r.seal() {
		defer func() { r.finish(End{Err: errMoved}) }() // unless the Log has said so
	}
	var m session.Message
	err := h.rescue("stopping a reply", conversation, func() (err error) {
		m, err = h.shared.Stop(ctx, conversation, session.Message{
			ID: running.Reply, Timestamp: session.Now(), FinishReason: session.FinishStopped,
			Model: running.Model, Epochs: running.Epochs,
		})
		return err
	})
	switch {
	case errors.Is(err, session.ErrLost):
		return OutcomeNothingRunning, nil
	case err != nil:
		if r != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = h.shared.Yield(ctx, conversation, running.Reply) // what is sealed here must not be held
		}
		return "", err
	case m.FinishReason == session.FinishStopped:
		return OutcomeStopped, nil
	}
	return OutcomeNothingRunning, nil
}

func (r *Reply) isCopy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copied
}

// Taken implements session.Events.
func (h *Hub) Taken(conversation session.Ref, connection uuid.UUID) {
	h.tell(conversation, func() {
		if c := h.conns[conversation]; c != nil && c.token == connection {
			c.Close(CloseTakenOver, takenOver)
		}
	})
}
