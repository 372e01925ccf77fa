package hub

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// turn is a reply that is written here. It belongs to its goroutine; only cancel may be
// called by others.
type turn struct {
	r      *reply.Reply
	said   session.Said
	from   Caller
	ctx    context.Context
	cancel context.CancelCauseFunc
	began  time.Time
	unseen bool // the caller waits for the end, and no connection was in the conversation
}

var (
	// errStopRequested ends a turn's call to the model: the reply is to end as stopped.
	errStopRequested = errors.New("hub: the reply was stopped")
	// errTextEnded ends it where the text has ended: another node writes the reply,
	// or its session is gone.
	errTextEnded = errors.New("hub: the reply is written elsewhere, or gone")
	// errYielding ends it where another node, or the next process, is to go on.
	errYielding = errors.New("hub: the reply is left to another node")
)

// Say stores one turn of a conversation and returns the reply to it, which may be
// running or have ended; nil when said.Done. The reply goes on when ctx ends.
//
// Errors: session's for Say; ErrDraining; *Error for a content that is empty or
// too large, or a caller that has too many replies.
func (h *Hub) Say(ctx context.Context, from Caller, ref session.Ref, t session.Turn) (*reply.Reply, session.Said, error) {
	h.work.Add(1) // before the hub looks whether it drains
	defer h.workDone()
	if err := h.prepare(&t, from); err != nil {
		return nil, session.Said{}, err
	}
	if err := h.countReply(ctx, from, t.Reply); err != nil {
		return nil, session.Said{}, err
	}
	var said session.Said
	err := h.rescue("a message", ref, func() (err error) {
		said, err = h.sessions.Say(context.WithoutCancel(ctx), ref, t)
		return err
	})
	if err == nil && said.Started {
		r := reply.Of(said.Text)
		return r, said, h.start(r, said, from)
	}
	h.uncountReply(from.Client, t.Reply)
	switch {
	case errors.Is(err, session.ErrLong):
		h.metrics.Rejected("session_messages")
		return nil, session.Said{}, err
	case errors.Is(err, session.ErrBusy):
		// Follow the running reply, so that an orphaned one is adopted.
		_, _ = h.Running(ctx, ref)
		return nil, session.Said{}, err
	case err != nil:
		return nil, session.Said{}, err
	case said.Ended != nil:
		if t.Page != nil || t.Behind != nil { // the tip may have moved to it
			_ = h.do(func() { h.pokeAll(ref, nil) })
		}
		return reply.Stored(ref, said.Ended), said, nil
	case said.Done:
		return nil, said, nil
	}
	r, err := h.Running(ctx, ref)
	switch {
	case err != nil:
		return nil, session.Said{}, err
	case r == nil || r.Reply != said.Running.Reply:
		return h.Say(ctx, from, ref, t) // it has ended meanwhile: the second call finds it stored
	}
	return r, said, nil
}

// prepare checks and completes what is said.
func (h *Hub) prepare(t *session.Turn, from Caller) error {
	if h.draining.Load() {
		return ErrDraining
	}
	t.Reply, t.Model, t.Client = uuid.New(), h.cfg.ModelName, from.Client
	t.Most, t.MostBytes = h.cfg.Limits.SessionMessages, int64(h.cfg.Limits.SessionBytes)
	if t.Kind == session.Regenerate {
		return nil
	}
	if err := h.CheckContent(t.User.Content); err != nil {
		return err
	}
	if t.User.ID == uuid.Nil {
		t.User.ID = uuid.New()
	}
	t.User.Timestamp = session.Now()
	return nil
}

// start starts the turn that writes r, and tells the conversation's connections. It is
// the one trip through the loop that a message takes.
func (h *Hub) start(r *reply.Reply, said session.Said, from Caller) error {
	t := &turn{r: r, said: said, from: from, began: time.Now(), unseen: from.Waits}
	t.ctx, t.cancel = context.WithCancelCause(h.turnsCtx)
	h.turns.Store(r.Reply, t)
	r.OnEnd(func() { t.cancel(errTextEnded) })
	err := h.do(func() {
		h.running.Add(1)
		h.work.Add(1)
		t.unseen = t.unseen && len(h.rooms[r.Ref]) == 0
		h.pokeAll(r.Ref, t)
		go h.run(t)
	})
	if err != nil { // the hub has ended: the next process writes the reply, if there is one
		h.turns.Delete(r.Reply)
		h.uncountReply(from.Client, r.Reply)
		h.yield(r)
		return ErrDraining
	}
	return nil
}

// run is the turn's goroutine: it has the model answer and ends the reply. A
// panic of the model's ends the reply, not the process.
func (h *Hub) run(t *turn) {
	defer h.running.Done()
	defer h.workDone()
	defer h.turns.Delete(t.r.Reply)
	defer func() {
		_ = h.rescue("a client's count", t.r.Ref, func() error { h.uncountReply(t.from.Client, t.r.Reply); return nil })
	}()
	defer t.cancel(nil)
	_ = h.rescue("a turn", t.r.Ref, func() error { h.generate(t); return nil })
}

// generate has the model answer, and stores the reply's end or yields it. It is run
// without what run undoes.
func (h *Hub) generate(t *turn) {
	h.metrics.running.Inc()
	defer h.metrics.running.Dec()
	g := generation{h: h, t: t, r: t.r}
	var m session.Message
	err := h.rescue("a turn", t.r.Ref, func() (err error) {
		m, err = g.ask(t.ctx, t.said.History)
		return err
	})
	if panicked(err) { // the model's panic is its failure
		m = failedReply(err)
	}
	switch cause := context.Cause(t.ctx); {
	case t.r.End() != nil:
	case errors.Is(cause, errYielding):
		h.yield(t.r)
	case errors.Is(cause, errStopRequested), errors.Is(cause, errStopped):
		m = session.Message{FinishReason: session.FinishStopped}
		fallthrough
	default:
		g.flushHeld()
		m.Estimate = g.estimate
		if failed := h.finish(t.r, m); failed != nil {
			err = failed
		}
	}
	g.report(m, err)
	if t.r.Appended() >= hugeReply {
		// The blocks that it was written in are garbage now: without this the process
		// would hold two copies of every such reply.
		debug.FreeOSMemory()
	}
}

// hugeReply is a length, in bytes, far beyond what MAX_TOKENS allows by default. Replies
// of this size trigger a garbage collection when they end.
const hugeReply = 1 << 20

// StoreTimeout bounds one step of the store.
const StoreTimeout = 5 * time.Second

// finish stores the end of a reply. It retries a store that is away for AwayAfter, then
// hands the reply over. If storing panics once, the reply is stored as failed.
func (h *Hub) finish(r *reply.Reply, m session.Message) error {
	const again = 250 * time.Millisecond
	for began, broken := time.Now(), false; ; {
		err := h.rescue("storing a reply's end", r.Ref, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), StoreTimeout)
			defer cancel()
			return h.sessions.Finish(ctx, r.Text, m)
		})
		switch {
		case err == nil, errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrLost):
			return err
		case panicked(err) && !broken:
			broken, m = true, session.Message{FinishReason: session.FinishError, Failure: CodeInternal}
			continue
		case !errors.Is(err, session.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded), time.Since(began) > session.AwayAfter:
			h.yield(r)
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

// yield gives up the right to write a reply.
func (h *Hub) yield(r *reply.Reply) {
	err := h.rescue("handing over a reply", r.Ref, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), StoreTimeout)
		defer cancel()
		return h.sessions.Yield(ctx, r.Text)
	})
	if err != nil && !panicked(err) {
		h.log.Warn("a reply could not be handed over at once", "session", ShortID(r.Ref.ID), "error", err)
	}
}

// Running returns a conversation's running reply, on whatever node it is written, or
// nil. Follow it at once: after 10 s without followers it may end as unfollowed.
func (h *Hub) Running(ctx context.Context, ref session.Ref) (*reply.Reply, error) {
	text, err := h.sessions.Follow(ctx, ref)
	if err != nil || text == nil {
		return nil, err
	}
	return reply.Of(text), nil
}

// Wait returns when the reply has ended, wherever it is written.
// Errors: ctx's; reply.ErrCut, where the store is away for too long; ErrDraining.
func (h *Hub) Wait(ctx context.Context, r *reply.Reply) (*session.TextEnd, error) {
	ctx, cancel := h.Staying(ctx)
	defer cancel()
	return r.Follow(ctx, reply.Discard{}, reply.NewOutbox(reply.Discard{}, false, nil), reply.AtEnd)
}

// Stop ends the running reply, if only is nil or names it or the message that it
// answers. It returns outcomeStopped when the reply ended as stopped and is
// stored, and the place of the reply, if one was running.
// Errors: session.ErrNotFound, session.ErrUnavailable; as for Wait.
func (h *Hub) Stop(ctx context.Context, ref session.Ref, only uuid.UUID) (outcome string, at session.Position, err error) {
	err = h.rescue("stopping a reply", ref, func() (err error) {
		outcome, at, err = h.stop(ctx, ref, only)
		return err
	})
	return outcome, at, err
}

func (h *Hub) stop(ctx context.Context, ref session.Ref, only uuid.UUID) (string, session.Position, error) {
	began := time.Now()
	r, err := h.Running(ctx, ref)
	if err != nil {
		return "", session.Position{}, err
	}
	if r == nil || only != uuid.Nil && only != r.Reply && only != r.User.ID {
		return outcomeNothingRunning, session.Position{}, nil
	}
	at := session.Position{ID: r.Reply, Seq: r.Seq}
	if err := h.sessions.Stop(ctx, ref, r.Reply); err != nil {
		return "", at, err
	}
	end, err := h.Wait(ctx, r)
	switch {
	case err != nil:
		return "", at, err
	case end.Err == nil && end.Message.FinishReason == session.FinishStopped:
		h.metrics.stopTime.Observe(time.Since(began).Seconds())
		return outcomeStopped, at, nil
	}
	return outcomeNothingRunning, at, nil
}

// stopAbandoned stops the replies that nobody has followed for AbandonAfter. It
// runs on the loop.
func (h *Hub) stopAbandoned() {
	if h.cfg.AbandonAfter == 0 {
		return
	}
	now := time.Now()
	h.turns.Range(func(_, v any) bool {
		t := v.(*turn)
		if min(now.Sub(t.began), now.Sub(t.r.LastFollowed())) >= h.cfg.AbandonAfter {
			t.cancel(errStopRequested)
		}
		return true
	})
}
