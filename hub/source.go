package hub

import "lumos/backend/session"

// writing is a Reply as the Log sees it that stores its text: a session.Source.
type writing struct {
	h *Hub
	r *Reply
}

// guard runs a step of the Log's goroutine. A panic of it breaks the reply off, which
// then ends as failed with what there is.
func (w writing) guard(f func()) {
	if w.h.rescue("storing a reply", w.r.Conversation, func() error { f(); return nil }) != nil {
		w.r.breakOff()
	}
}

// From implements session.Source.
func (w writing) From(off, limit int) (b []byte) {
	w.guard(func() {
		w.r.mu.Lock()
		defer w.r.mu.Unlock()
		b = w.r.text.from(off, limit)
	})
	return b
}

// Stored implements session.Source.
func (w writing) Stored(n int, push bool) {
	w.guard(func() { w.r.stored(n, push).serve() })
}

// stored notes that the Log has the first n bytes, and returns the follower that is
// to be served.
func (r *Reply) stored(n int, push bool) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := n - r.shown
	if more <= 0 {
		return nil
	}
	r.shown = n
	return r.show(more, push)
}

// Away implements session.Source.
func (w writing) Away() { w.guard(w.r.away) }

// away notes that the Log was away for too long.
func (r *Reply) away() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aways++
	r.wake()
}

// Lost implements session.Source.
func (w writing) Lost() {
	w.guard(func() {
		defer w.r.finish(End{Err: errMoved})
		w.r.seal()
	})
}

// copying is a Reply as the Log sees it that feeds it with what another node
// writes: a session.Copy.
type copying struct {
	h *Hub
	r *Reply
}

// guard runs a step of the Log's goroutine. If it panics, the copy ends, since its text
// can no longer be trusted; its followers look for the reply again.
func (c copying) guard(f func()) {
	err := c.h.rescue("copying a reply", c.r.Conversation, func() error { f(); return nil })
	if err == nil {
		return
	}
	c.h.tell(c.r.Conversation, func() {
		c.h.spawn("a copy's end", c.r.Conversation, func() {
			defer c.h.endCopy(c.r)
			c.h.shared.Unfollow(c.r.ID)
		})
	})
}

// Append implements session.Copy.
func (c copying) Append(b []byte) { c.guard(func() { c.r.append(b) }) }

// Rewritten implements session.Copy.
func (c copying) Rewritten(n int, epochs []session.Epoch) {
	c.guard(func() {
		c.r.mu.Lock()
		defer c.r.mu.Unlock()
		c.r.text.cut(n)
		c.r.epochs, c.r.rewrites = epochs, append(c.r.rewrites, n)
		c.r.wake()
	})
}

// Away implements session.Copy.
func (c copying) Away() { c.guard(c.r.away) }

// Orphaned implements session.Copy: whoever follows a reply that nobody writes
// takes it over.
func (c copying) Orphaned() {
	c.h.tell(c.r.Conversation, func() {
		c.r.mu.Lock()
		defer c.r.mu.Unlock()
		if c.h.draining || c.r.adopting || !c.r.copied || c.r.end != nil || len(c.r.followers) == 0 {
			return
		}
		c.r.adopting = true
		c.h.running.Add(1)
		go c.h.adopt(c.r)
	})
}

// Ended implements session.Copy.
func (c copying) Ended() {
	c.h.tell(c.r.Conversation, func() {
		c.h.spawn("a copy's end", c.r.Conversation, func() { c.h.endCopy(c.r) })
	})
}
