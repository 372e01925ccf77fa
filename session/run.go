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
	// pollEvery is how often what hints may have missed is looked at.
	pollEvery = time.Second
	// watchEvery is how often the writers of what is followed here are looked at:
	// whether a node is dead is the backend's to find out.
	watchEvery = 50 * time.Millisecond
	// keepFor is how long a conversation that nobody here needs is kept in memory,
	// where the store has it.
	keepFor = time.Minute
)

// Run does the Manager's and its backend's work in the background until ctx ends,
// and returns when all of it has.
func (m *Manager) Run(ctx context.Context) error {
	var group sync.WaitGroup
	var failed error
	group.Go(func() {
		failed = m.b.Run(ctx, func(h Hint) { _ = m.rescue("a hint", h.ID, func() error { m.heard(h); return nil }) })
	})
	group.Go(func() { m.appends.run(ctx) })
	if m.kind.Alone {
		group.Go(func() { m.sweep(ctx) }) // has what ran before taken over
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

// rescue is Rescue with the Manager's log.
func (m *Manager) rescue(step string, id uuid.UUID, f func() error) error {
	return Rescue(m.log, step, id, f)
}

// safely is send for a queue. A panic counts for the text at which it happens as no
// answer; the other texts are sent again, one by one.
func (m *Manager) safely(step string, send func(context.Context, []*Text)) func(context.Context, []*Text) {
	return func(ctx context.Context, texts []*Text) {
		try := func(id uuid.UUID, some []*Text) error {
			return m.rescue(step, id, func() error { send(ctx, some); return nil })
		}
		if len(texts) == 1 {
			_ = try(texts[0].Ref.ID, texts)
		} else if try(uuid.Nil, texts) != nil {
			for i, t := range texts {
				_ = try(t.Ref.ID, texts[i:i+1])
			}
		}
	}
}

// every has Every run f in the group, and a panic of f end that call alone.
func (m *Manager) every(ctx context.Context, group *sync.WaitGroup, interval time.Duration, f func(context.Context)) {
	group.Go(func() {
		Every(ctx, interval, func(ctx context.Context) {
			_ = m.rescue("a look at the store", uuid.Nil, func() error { f(ctx); return nil })
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

// sweep forgets what has expired, and tells the backend what was used, or held,
// since the last time.
func (m *Manager) sweep(ctx context.Context) {
	now := time.Now()
	var uses []Use
	m.cells.Range(func(id, _ any) bool {
		e, err := m.acquire(ctx, id.(uuid.UUID)) // looking at it is enough to forget it
		if err != nil {
			return false
		}
		if e.there() {
			at := e.used
			if e.holds > 0 {
				at = now
			}
			if at.After(e.told) {
				e.told = now
				uses = append(uses, Use{ID: e.id, Version: e.c.Version, Claimed: e.c.Conn != nil, At: at})
			}
		}
		m.release(e)
		return true
	})
	m.tellUses(ctx, uses)
}

// tellUses tells the backend of uses, and loads what it says has changed.
func (m *Manager) tellUses(ctx context.Context, uses []Use) {
	for part := range slices.Chunk(uses, maxBatch) {
		changed, _ := m.b.Touch(ctx, part) // what failed is told with the next use
		for _, id := range changed {
			m.refresh(id)
		}
	}
}

// heard takes a hint of another node's.
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
	m.mu.Lock()
	t := m.texts[h.ID]
	m.mu.Unlock()
	switch here := t != nil && t.Fence == h.Fence; {
	case here && t.own:
		now := time.Now()
		t.elsewhere.Store(&now)
	case here:
		m.feed(t, h)
	case !here && FenceNode(h.Fence) == m.kind.Node:
		m.refresh(h.ID) // somebody follows a reply of ours without a text: the answer to its Say was lost
	}
}

// feed gives a followed text what a hint brings of it. One that has a gap, or is
// being read, is read.
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
	m.reads.land(t, m.sent(t))
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

// poll looks at all that is followed and written here, for hints get lost, and
// slides the time to live of what is used.
func (m *Manager) poll(ctx context.Context) {
	for _, t := range m.tracked() {
		if t.own || t.followed() {
			t.to.wake(t)
		} else {
			m.work.Go(func() { // it waits for what is under way
				_ = m.rescue("leaving a text", t.Ref.ID, func() error { m.unfollow(ctx, t); return nil })
			})
		}
	}
	m.touch(ctx)
	m.vacateLeft()
}

// touch slides the time to live of what was used, or is held, since the last time.
func (m *Manager) touch(ctx context.Context) {
	now := time.Now()
	every := min(m.cfg.TTL/3, 20*time.Second)
	missed := m.missed.Swap(false)
	var uses []Use
	m.cells.Range(func(_, v any) bool {
		e := v.(*cell)
		select {
		case e.lock <- struct{}{}:
		default:
			return true
		}
		held := e.holds > 0 || e.text != nil && !e.text.own
		needed := held || e.text != nil
		switch {
		case e.gone || !e.there():
		case !e.used.IsZero() && !e.used.Before(e.told), needed && (missed || now.Sub(e.told) > every-rand.N(every/8+1)):
			e.told = now
			uses = append(uses, Use{ID: e.id, Version: e.c.Version, Held: held, Claimed: e.c.Conn != nil && e.c.Conn.Node == m.kind.Node})
		case e.holds == 0 && e.text == nil && now.Sub(e.told) > keepFor:
			e.c = nil
			m.weigh(e)
		}
		m.release(e)
		return ctx.Err() == nil
	})
	m.tellUses(ctx, uses)
}

// watchWriters looks whether the nodes live that write what is followed here.
func (m *Manager) watchWriters(ctx context.Context) {
	for _, t := range m.tracked() {
		node := FenceNode(t.Fence)
		if t.own || node != "" && (node == m.kind.Node || m.b.Alive(node)) {
			continue
		}
		if e, err := m.acquire(ctx, t.Ref.ID); err == nil {
			m.release(e) // which looks
		}
	}
}
