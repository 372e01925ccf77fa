package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"lumos/backend/session"
)

// turn has the model answer and ends the reply. It is r's one writer.
func (h *Hub) turn(r *Reply, said session.Said) {
	defer h.drop(r)
	if err := h.rescue("a turn", r.Conversation, func() error { h.runTurn(r, said); return nil }); err != nil {
		if r.seal() {
			h.end(r, failed(err), nil)
		}
		h.settle(r)
	}
}

// runTurn does the turn. What its panic leaves undone, turn does.
func (h *Hub) runTurn(r *Reply, said session.Said) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !r.begin(cancel, h.cfg.AbandonAfter, func() { h.forsake(r) }) {
		h.settle(r)
		return
	}
	if h.shared != nil && !h.publish(r) {
		r.seal()
		r.finish(End{Err: errMoved})
		return
	}
	h.metrics.writing(1)
	defer h.metrics.writing(-1)
	a := asking{h: h, r: r, began: time.Now()}
	m, err := a.ask(ctx, said.History)
	if r.seal() {
		h.end(r, m, failureOf(m, err))
	}
	a.report(h.settle(r), err)
	if r.Len() >= hugeReply {
		// What it was written in is garbage now, as large as it is and in pieces too
		// small for the next one's text: left to itself the process would hold two
		// copies of every such reply.
		debug.FreeOSMemory()
	}
}

// failureOf is what is told of err, with which the reply m failed; nil: it did not.
func failureOf(m session.Message, err error) *Error {
	if m.FinishReason != session.FinishError {
		return nil
	}
	return Classify(err)
}

// end stores the reply, whose text cannot change any more, and tells the
// followers. The caller has sealed it.
func (h *Hub) end(r *Reply, m session.Message, failure *Error) {
	e := End{Err: session.ErrPanicked, failure: failure}
	defer func() { r.finish(e) }()
	m = r.ended(m)
	err := h.store(r, m)
	if panicked(err) { // maybe at something that only this end has
		m.FinishReason, m.Failure, m.Usage = session.FinishError, CodeInternal, nil
		e.failure = nil
		err = h.store(r, m)
	}
	switch {
	case h.shared == nil, err == nil, errors.Is(err, session.ErrNotFound):
	case errors.Is(err, session.ErrLost):
		err = errMoved
	case h.stopped() && errors.Is(err, session.ErrUnavailable):
	default:
		h.abandon(r) // or it would be held, and never end
	}
	if h.shared != nil && errors.Is(err, session.ErrUnavailable) { // whoever comes when the store is back goes on
		err = fmt.Errorf("%w: %w", errMoved, err)
	}
	e.Message, e.Err = m, err
}

// hugeReply is the length, in bytes, from which on a reply is worth a garbage
// collection of its own: far beyond what MAX_TOKENS allows by default.
const hugeReply = 1 << 20

// ended returns m, which says why the reply ended, with all else that is stored.
func (r *Reply) ended(m session.Message) session.Message {
	m.ID, m.Role, m.Model = r.ID, session.Assistant, r.Model
	m.Content, m.Timestamp, m.Epochs = r.content(), session.Now(), r.writers()
	m.Estimate = int(r.estimate.Load())
	return m
}

// store stores an ended reply. A store that is away is asked again for as long as
// followers wait for it. Errors: the store's for Finish; session.ErrPanicked.
func (h *Hub) store(r *Reply, m session.Message) error {
	const again = 250 * time.Millisecond
	for began := time.Now(); ; {
		err := h.rescue("storing a reply's end", r.Conversation, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
			defer cancel()
			return h.sessions.Finish(ctx, r.Conversation, m)
		})
		switch {
		case err == nil, errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrLost):
			return err
		case !errors.Is(err, session.ErrUnavailable), time.Since(began) > session.AwayAfter:
			return err
		}
		pause := time.NewTimer(again)
		select {
		case <-pause.C:
		case <-h.closing:
			pause.Stop()
			return err
		}
	}
}

// publish gives the reply's text to the Log, or reports that it is another's
// to write.
func (h *Hub) publish(r *Reply) bool {
	wake, ok := h.shared.Write(r.ID, writing{h, r})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = wake
	return ok
}

// abandon lets go of a reply that cannot be stored: another node may go on
// with it when the store is back.
func (h *Hub) abandon(r *Reply) {
	_ = h.rescue("handing over a reply", r.Conversation, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		return h.shared.Yield(ctx, r.Conversation, r.ID)
	})
}

func (r *Reply) writers() []session.Epoch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs
}

// storeTimeout bounds one step of the store.
const storeTimeout = 5 * time.Second

// settle waits until whoever sealed the reply has ended it.
func (h *Hub) settle(r *Reply) End {
	e, _ := r.wait(context.Background())
	if h.shared == nil && (errors.Is(e.Err, session.ErrLost) || errors.Is(e.Err, errStopped)) {
		// It was ended before the store had it. Its conversation would be busy for ever.
		_ = h.store(r, r.ended(session.Message{FinishReason: session.FinishStopped}))
	}
	return e
}

// giveUp stops a reply, whoever follows it.
func (h *Hub) giveUp(r *Reply) {
	if r.seal() {
		h.end(r, session.Message{FinishReason: session.FinishStopped}, nil)
	}
}
