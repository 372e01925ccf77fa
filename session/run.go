package session

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// pollEvery is the period of poll, which finds what lost hints did not tell.
	pollEvery = time.Second
	// watchEvery is how often Backend.Alive is asked about the nodes that write what is
	// followed here.
	watchEvery = 50 * time.Millisecond
	// keepFor is how long a conversation that nobody here uses is kept in memory. The
	// store has it, too.
	keepFor = time.Minute
)

// Run does the Manager's and its backend's work in the background until ctx ends,
// and returns when all of it has.
func (m *Manager) Run(ctx context.Context) error {
	var group sync.WaitGroup
	var failed error
	group.Go(func() {
		failed = m.b.Run(ctx, func(h Hint) { m.rescue("a hint", h.ID, func() { m.heard(h) }) })
	})
	group.Go(func() { m.appends.run(ctx) })
	if m.kind.Alone {
		group.Go(func() { m.sweep(ctx) }) // raises Orphaned for replies of the process before
		m.every(ctx, &group, max(min(m.cfg.TTL/10, time.Minute), time.Millisecond), m.sweep)
	} else {
		group.Go(func() { m.reads.run(ctx) })
		m.every(ctx, &group, pollEvery, m.poll)
		m.every(ctx, &group, watchEvery, m.watchWriters)
	}
	group.Wait()
	m.work.Wait()
	return failed
}

// rescue is Rescue with the Manager's log. It reports whether f did not panic.
func (m *Manager) rescue(step string, id uuid.UUID, f func()) (ok bool) {
	return Rescue(m.cfg.Logger, step, id, func() error { f(); return nil }) == nil
}

// safely wraps a queue's send. If a batch panics, its texts are sent again one by one; the
// text whose send panics got no answer.
func (m *Manager) safely(step string, send func(context.Context, []*Text)) func(context.Context, []*Text) {
	return func(ctx context.Context, texts []*Text) {
		try := func(id uuid.UUID, some []*Text) bool {
			return m.rescue(step, id, func() { send(ctx, some) })
		}
		if len(texts) == 1 {
			try(texts[0].Ref.ID, texts)
		} else if !try(uuid.Nil, texts) {
			for i, t := range texts {
				try(t.Ref.ID, texts[i:i+1])
			}
		}
	}
}

// every runs Every in the group. A panic of f ends only that call.
func (m *Manager) every(ctx context.Context, group *sync.WaitGroup, interval time.Duration, f func(context.Context)) {
	group.Go(func() {
		Every(ctx, interval, func(ctx context.Context) {
			m.rescue("a look at the store", uuid.Nil, func() { f(ctx) })
		})
	})
}

// Every calls f once an interval until ctx ends.
func Every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

// sweep deletes expired sessions, and tells the backend which were used or held since the
// last time. It is for a store that is Alone; others have touch.
func (m *Manager) sweep(ctx context.Context) {
	now := time.Now()
	var uses []Use
	m.cells.Range(func(id, _ any) bool {
		e, err := m.acquire(ctx, id.(uuid.UUID)) // deletes it if it has expired
		if err != nil {
			return false
		}
		if e.there() {
			at := e.used
			if e.holds > 0 {
				at = now
			}
			if at.After(e.touched) {
				e.touched = now
				uses = append(uses, Use{ID: e.id, Version: e.c.Version, Claimed: e.c.Conn != nil, At: at})
			}
		}
		m.release(e)
		return true
	})
	m.tellUses(ctx, uses)
}

// tellUses calls Touch with all uses, and loads the conversations that have changed.
func (m *Manager) tellUses(ctx context.Context, uses []Use) {
	for part := range slices.Chunk(uses, maxBatch) {
		changed, _ := m.b.Touch(ctx, part) // after an error, the next use touches it again
		for _, id := range changed {
			m.refresh(id)
		}
	}
}

// heard handles a hint of another node's.
func (m *Manager) heard(h Hint) {
	if h.ID == uuid.Nil {
		m.missed.Store(true)
		for _, t := range m.tracked() {
			t.to.wake(t)
		}
		return
	}
	if h.Fence == "" {
		if _, here := m.cells.Load(h.ID); here {
			m.refresh(h.ID)
		}
		return
	}
	t := m.textUnder(h)
	if t == nil && FenceNode(h.Fence) == m.kind.Node {
		// A reply of ours is followed but has no text here: the answer to its Say is on its
		// way, or was lost.
		m.refresh(h.ID)
		t = m.textUnder(h)
	}
	switch {
	case t == nil:
	case !t.own:
		m.feed(t, h)
	case t.hearFollower():
		t.to.wake(t) // what was stored meanwhile was not published
	}
}

// textUnder returns the text here that a hint is about; nil: none has its fence.
func (m *Manager) textUnder(h Hint) *Text {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.texts[h.ID]; t != nil && t.Fence == h.Fence {
		return t
	}
	return nil
}

// feed appends a hint's bytes to a followed text. If there would be a gap, or the text is
// being read, it has the text read instead.
func (m *Manager) feed(t *Text, h Hint) {
	m.reads.mu.Lock()
	free := t.queue.state == atRest && !t.queue.shut && h.At <= t.Appended()
	if free {
		t.queue.state = inFlight
	}
	m.reads.mu.Unlock()
	if !free {
		m.reads.wake(t)
		return
	}
	t.Stored(h.At, h.Text, h.At+len(h.Text))
	m.reads.land(t, m.afterSend(t))
}

func (m *Manager) tracked() []*Text {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*Text, 0, len(m.texts))
	for _, t := range m.texts {
		all = append(all, t)
	}
	return all
}

// poll wakes all texts that are written or followed here, since hints get lost, and slides
// the time to live of what is used.
func (m *Manager) poll(ctx context.Context) {
	for _, t := range m.tracked() {
		if t.own || t.followed() {
			t.to.wake(t)
		} else {
			m.work.Go(func() { // unfollow waits for a read that is under way
				m.rescue("leaving a text", t.Ref.ID, func() { m.unfollow(ctx, t) })
			})
		}
	}
	m.touch(ctx)
	m.vacateLeft()
}

// touch tells the backend what was used since the last time, or is held, and forgets what
// nobody here has used for keepFor.
func (m *Manager) touch(ctx context.Context) {
	now := time.Now()
	every := min(m.cfg.TTL/3, 20*time.Second)
	missed := m.missed.Swap(false)
	var uses []Use
	m.cells.Range(func(_, v any) bool {
		e := v.(*cell)
		if !e.lock.TryLock() {
			return true
		}
		held := e.holds > 0 || e.text != nil && !e.text.own
		needed := held || e.text != nil
		switch {
		case e.gone || !e.there():
		case !e.used.IsZero() && !e.used.Before(e.touched), needed && (missed || now.Sub(e.touched) > every-rand.N(every/8+1)):
			e.touched = now
			uses = append(uses, Use{ID: e.id, Version: e.c.Version, Held: held, Claimed: e.c.Conn != nil && e.c.Conn.Node == m.kind.Node})
		case e.holds == 0 && e.text == nil && now.Sub(e.touched) > keepFor:
			e.c = nil
			m.weigh(e)
		}
		m.release(e)
		return ctx.Err() == nil
	})
	m.tellUses(ctx, uses)
}

// watchWriters raises Orphaned for replies that are followed here if their node is dead.
func (m *Manager) watchWriters(ctx context.Context) {
	for _, t := range m.tracked() {
		node := FenceNode(t.Fence)
		if t.own || node != "" && (node == m.kind.Node || m.b.Alive(node)) {
			continue
		}
		if e, err := m.acquire(ctx, t.Ref.ID); err == nil {
			m.release(e) // calls adoptIfOrphaned
		}
	}
}
