package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// AwayAfter is how long the store may be away before followers are sent away.
const AwayAfter = 30 * time.Second

// ownText returns the text in which this node writes the running reply under fence. The
// cell is locked.
func (m *Manager) ownText(e *cell, fence string) *Text {
	if e.text == nil || e.text.Fence != fence || !e.text.own {
		m.replace(e, m.newText(e.ref(), e.c.Running, true))
	}
	return e.text
}

// replace makes t the cell's text. The cell is locked.
func (m *Manager) replace(e *cell, t *Text) {
	if old := e.text; old != nil {
		if drained := old.to.shut(old); !old.own {
			<-drained // no read appends to it any more
			if !m.kind.Alone {
				e.use() // so that the next poll tells the store that this node follows no more
			}
		}
	}
	e.text = t
	m.mu.Lock()
	defer m.mu.Unlock()
	if t == nil {
		delete(m.texts, e.id)
	} else {
		m.texts[e.id] = t
	}
}

// afterSend is what the queues call for each text that was appended or read.
func (m *Manager) afterSend(t *Text) verdict {
	switch {
	case t.end.Load() != nil:
		return done
	case t.moved.Swap(false): // reset, since a failover can bring the fence back
		m.refreshLater(t) // ends the text if the fence is another
		return rest
	case !t.answered.Swap(false):
		m.unanswered(t)
		return later
	case t.changed.Swap(false):
		m.refreshLater(t)
	}
	t.awaySince, t.awayTold = time.Time{}, false
	saved, have := int(t.saved.Load()), t.Appended()
	if t.own && saved < have || !t.own && saved > have {
		return more
	}
	return rest
}

// refreshLater runs refresh in the background.
func (m *Manager) refreshLater(t *Text) {
	m.work.Go(func() {
		m.rescue("a look at a conversation", t.Ref.ID, func() { m.refresh(t.Ref.ID) })
	})
}

// unanswered notes that the store did not answer for a text, and tells the watcher once
// this has lasted for AwayAfter.
func (m *Manager) unanswered(t *Text) {
	now := time.Now()
	if t.awaySince.IsZero() {
		if t.awaySince = now; t.own {
			m.cfg.Logger.Warn("a running reply cannot be stored; trying on", slog.String("session", t.Ref.ID.String()[:8]))
		}
	}
	if t.awayTold || now.Sub(t.awaySince) < AwayAfter {
		return
	}
	t.awayTold = true
	if w := t.watcher.Load(); w != nil {
		(*w).Away()
	}
}

// refresh loads a conversation. Its reply is taken over if nobody writes it (release).
func (m *Manager) refresh(id uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	e, err := m.acquire(ctx, id)
	if err != nil {
		return
	}
	defer m.release(e)
	if !m.kind.Alone {
		_ = m.load(ctx, e) // raises the events; if it fails, the polls try again
	}
}

// stepTimeout bounds a step of the store that nobody waits for.
const stepTimeout = 5 * time.Second

// reconcile brings the cell's text in line with the conversation: the text ends, continues
// in another one, or its turn is told to stop. The cell is locked.
func (m *Manager) reconcile(e *cell) {
	t := e.text
	if t == nil {
		return
	}
	if !e.is(t.Ref) {
		m.endText(e, &TextEnd{Err: ErrNotFound})
		return
	}
	switch r := e.c.Running; {
	case r == nil || r.Reply != t.Reply:
		if end := e.c.reply(t.Reply); end != nil {
			m.endText(e, &TextEnd{Message: end})
		} else {
			m.endText(e, &TextEnd{Err: ErrLost})
		}
	case r.Fence != t.Fence:
		m.moveOn(e, r)
	case r.Stopping && t.own:
		m.events.Stopping(t.Ref, t.Reply)
	}
}

// endText ends the cell's text. A followed text is completed from the stored message, and
// an own text shows what was stored with its end. If the text differs from the message,
// followers continue in a text of the message.
func (m *Manager) endText(e *cell, end *TextEnd) {
	t := e.text
	m.replace(e, nil)
	e.tooOld = false
	if end.Message != nil {
		content, have, safe := end.Message.Content, t.Appended(), t.Safe()
		keep := t.commonPrefix(content, have)
		switch {
		case t.own && len(content) == safe && keep >= safe:
		case t.own && len(content) == have && keep == have && m.appends.isDrained(t):
			t.show(len(content), false)
		case t.own || keep < have:
			next := StoredText(t.Ref, end.Message)
			next.User = t.User
			t.finish(&TextEnd{Next: next, Keep: t.commonPrefix(content, safe)})
			return
		default:
			t.append(bytesOf(content)[have:])
			t.show(t.Appended(), false)
		}
		t.share(content)
	}
	t.finish(end)
}

// Finish ends the running reply and stores it with the text as its content. Of reply, only
// FinishReason, Usage, Estimate, Failure and Retry are used. The turn calls it after its
// last Append; repeating it succeeds. Errors: ErrNotFound; ErrLost, if the reply has another
// writer or end; ErrUnavailable, after which it may be called again.
func (m *Manager) Finish(ctx context.Context, t *Text, reply Message) error {
	select {
	case <-m.appends.shut(t): // an append that comes late would make the text longer
	case <-ctx.Done():
		return ctx.Err()
	}
	t.finishing.Lock()
	defer t.finishing.Unlock()
	reply.ID, reply.Model, reply.Content, reply.Timestamp = t.Reply, t.Model, t.String(t.Appended()), Now()
	for tries := 1; ; tries++ {
		err := m.step(ctx, t.Ref, func(e *cell) (*Change, error) {
			return e.c.finish(reply, t.Fence, int(t.saved.Load()))
		})
		if errors.Is(err, ErrUnavailable) {
			m.unanswered(t) // there are no appends any more that would do so
		}
		if !errors.Is(err, errStale) {
			return err
		}
		if tries == maxStale {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err := insist(ctx, t, m.b.Append); err != nil {
			return fmt.Errorf("failed to store the end of a text: %w", err)
		}
	}
}

// insistFor is how long insist tries.
const insistFor = 2 * time.Second

// insist calls do, Append or Read, for a text that is shut in its queue, until the store
// has answered. Errors: ErrUnavailable, ctx's.
func insist(ctx context.Context, t *Text, do func(context.Context, []*Text)) error {
	limit := time.NewTimer(insistFor)
	defer limit.Stop()
	pause := time.NewTicker(retryAfter)
	defer pause.Stop()
	for {
		if do(ctx, []*Text{t}); t.answered.Swap(false) || t.moved.Load() {
			return nil
		}
		select {
		case <-pause.C:
		case <-limit.C:
			return ErrUnavailable
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Yield stores what was appended and gives up the right to write the reply, so that another
// node takes it over at once. The text ends even if the store cannot be reached; then the
// reply counts as orphaned (see adoptIfOrphaned).
func (m *Manager) Yield(ctx context.Context, t *Text) error {
	defer m.letGo(t)
	select {
	case <-m.appends.shut(t):
	case <-ctx.Done():
		return ctx.Err()
	}
	t.finishing.Lock()
	defer t.finishing.Unlock()
	for int(t.saved.Load()) < t.Appended() && t.End() == nil && !t.moved.Load() {
		if err := insist(ctx, t, m.b.Append); err != nil {
			return fmt.Errorf("failed to store the rest of a text: %w", err)
		}
	}
	return m.step(ctx, t.Ref, func(e *cell) (*Change, error) { return e.c.yield(t.Reply, t.Fence), nil })
}

// letGo ends an own text, if it has not ended. Followers continue in a followed text.
func (m *Manager) letGo(t *Text) {
	e, err := m.acquire(context.Background(), t.Ref.ID)
	if err != nil {
		return
	}
	defer m.release(e)
	if e.text == t && t.End() == nil {
		m.moveOn(e, e.c.Running)
	}
}

// moveOn ends the cell's text. Followers continue in one that reads the same reply from
// the store. The cell is locked.
func (m *Manager) moveOn(e *cell, r *Running) {
	t, next := e.text, m.newText(e.ref(), r, false)
	keep := ValidPrefix(r.Epochs, t.Epoch(), t.Safe())
	next.append([]byte(t.String(keep)))
	next.saved.Store(int64(keep))
	next.safe.Store(int64(keep))
	m.replace(e, next)
	t.finish(&TextEnd{Next: next, Keep: keep})
	m.reads.wake(next)
}

// Follow returns the text of the running reply, on whatever node it is written; nil: none
// runs. A text that is written elsewhere ends as ErrUnfollowed once its watcher says that
// nobody follows it.
// Errors: ErrNotFound, ErrUnavailable.
func (m *Manager) Follow(ctx context.Context, ref Ref) (t *Text, err error) {
	err = m.step(ctx, ref, func(e *cell) (*Change, error) {
		if t = nil; e.c.Running == nil {
			return nil, nil
		}
		if e.text == nil {
			m.replace(e, m.newText(ref, e.c.Running, false))
			m.reads.wake(e.text)
		}
		t = e.text
		return nil, nil
	})
	return t, err
}

// unfollow ends a text that another node writes and that nobody here follows, so that this
// node gets no more hints of it.
func (m *Manager) unfollow(ctx context.Context, t *Text) {
	e, err := m.acquire(ctx, t.Ref.ID)
	if err != nil {
		return
	}
	defer m.release(e)
	if e.text == t && !t.followed() {
		m.replace(e, nil)
		t.finish(&TextEnd{Err: ErrUnfollowed})
	}
}
