package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

const (
	// takeoverWait is how long a connection waits for the one that it took
	// over from to write its last frame.
	takeoverWait = 250 * time.Millisecond
	// flushAt is how much is held back before it is written.
	flushAt = 32 << 10
)

var (
	errConnClosed = errors.New("hub: connection closed")
	errUnread     = errors.New("hub: reading the conversation")
)

// follow is a connection's follower while it runs: it writes what lies behind
// the connection's place in the conversation, turn by turn, until nothing
// does. It is a Sink for replies, and a pusher.
type follow struct {
	c    *Conn
	wake chan struct{} // one slot
	done chan struct{} // closed when the follower has returned

	acting sync.Mutex // held by its goroutine, except while it waits; before any other; guards all below

	buf  []byte // the frame being made
	held int    // bytes written since the last flush; 0: not corked
	kept []byte // text that the dialect keeps back

	passed int  // how much of the reply the dialect was given, where it counts
	stale  bool // the client has other text than that; all of it is to be sent again

	probe Probe

	after  uuid.UUID // the message before the reply that is being sent
	resume uuid.UUID // the reply of which the client has a part
	offset int       // how much of it
	epoch  int64     // in which that was so
}

func newFollow(c *Conn) *follow {
	f := &follow{c: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	f.acting.Lock()
	return f
}

func (f *follow) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// guard calls g. If g panics, the connection is closed, since nobody knows what it
// did not send; the client comes back and resumes.
func (f *follow) guard(g func() error) error {
	err := f.c.hub.rescue("a connection's follower", f.c.conversation, g)
	if panicked(err) {
		f.c.Close(CloseTryLater, broke)
	}
	return err
}

// join is a new connection's first follower. The reader begins behind ready,
// so that whatever it answers comes later.
func (f *follow) join(j *Join) {
	err := f.guard(func() error { return f.begin(j) })
	go f.c.read()
	if err != nil {
		f.fail(err)
	}
	f.run()
}

// run is the follower's goroutine.
func (f *follow) run() {
	c := f.c
	defer c.hub.running.Done()
	defer close(f.done)
	for {
		c.mu.Lock()
		if c.closed.Load() || !c.look {
			c.work = nil
			leaving, why := c.leaving, c.why
			c.mu.Unlock()
			if leaving != 0 {
				c.Close(leaving, why)
			}
			return
		}
		c.look = false
		c.mu.Unlock()
		if err := f.guard(f.catchUp); err != nil {
			f.fail(err)
		}
	}
}

// fail ends the connection for the reason that err is.
func (f *follow) fail(err error) {
	_ = f.guard(f.flush) // what was written before is true
	f.c.mu.Lock()
	leaving, why := f.c.leaving, f.c.why
	f.c.mu.Unlock()
	switch {
	case errors.Is(err, ErrCut) && leaving != 0:
		f.c.Close(leaving, why)
	case errors.Is(err, errConnClosed), errors.Is(err, errStopped), panicked(err): // it is closed
	case errors.Is(err, ErrDraining):
		f.c.Close(CloseGoingAway, "the server is going away")
	case errors.Is(err, session.ErrNotFound), errors.Is(err, errUnread):
		f.c.Close(f.c.hub.CloseFor(f.c.conversation, err))
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, ErrCut):
		f.c.Close(CloseTryLater, "the session store cannot be reached")
	default:
		f.c.drop()
	}
}

// get reads the conversation behind a place.
func (f *follow) get(after session.Position) (session.Session, error) {
	s, err := f.c.hub.sessions.Get(context.Background(), f.c.conversation, after)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnread, err)
	}
	return s, err
}

// catchUp writes until nothing lies behind the connection's place.
func (f *follow) catchUp() error {
	c := f.c
	for {
		s, err := f.get(c.pos)
		if err != nil {
			return err
		}
		f.at(s.After)
		for _, m := range s.Messages {
			if err := f.message(m); err != nil {
				return err
			}
		}
		if s.Running != nil {
			r, err := c.hub.find(c.conversation, s.Running)
			switch {
			case err != nil:
				return err
			case r != nil:
				err = f.reply(r, s.Running.Position())
			case c.closed.Load() || c.hub.stopped():
				err = errConnClosed
			} // otherwise it ended meanwhile, and the next look finds it stored
			if err != nil {
				return err
			}
			continue
		}
		if len(s.Messages) == 0 {
			break
		}
	}
	if err := f.answer(f.c.pos.Seq); err != nil {
		return err
	}
	return f.flush()
}

// at notes that the client has everything up to p.
func (f *follow) at(p session.Position) {
	f.c.pos = p
	f.c.told.Store(p.Seq)
}

// message sends one stored message.
func (f *follow) message(m session.Message) error {
	if m.Role == session.Assistant {
		return f.reply(Stored(f.c.conversation, m), m.Position())
	}
	if err := f.c.dialect.said(f, saidFrame(m, f.c.pos.ID)); err != nil {
		return err
	}
	f.at(m.Position())
	f.c.acknowledged(m.ID) // behind at, where one that is sent again finds it told
	return f.answer(f.c.pos.Seq)
}

// reply sends one reply to its end, or as far as it is part of the conversation.
func (f *follow) reply(r *Reply, p session.Position) error {
	var from Place
	if f.resume == r.ID {
		from = Place{f.epoch, f.offset}
		f.c.hub.metrics.Resumed(f.c.hub.Honours(r, from))
	}
	f.resume = uuid.Nil
	if err := f.answer(p.Seq - 1); err != nil {
		return err
	}
	f.after = f.c.pos.ID
	f.probe.Begin()
	err := f.c.hub.stream(context.Background(), r, f, f.wake, from)
	f.probe.End(f.c.hub.metrics)
	if errors.Is(err, errGone) {
		return nil // what took its place comes next, and says so
	}
	if err != nil {
		return err
	}
	f.at(p)
	return f.answer(f.c.pos.Seq)
}

// Start implements Sink.
func (f *follow) Start(r *Reply, offset int) error { return f.c.dialect.start(f, r, offset) }

// Delta implements Sink.
func (f *follow) Delta(r *Reply, delta []byte, offset int) error {
	return f.guard(func() error {
		f.probe.Delta(r, offset)
		return f.c.dialect.delta(f, r, delta, offset)
	})
}

// End implements Sink.
func (f *follow) End(r *Reply, e *End) error {
	switch {
	case errors.Is(e.Err, ErrDraining):
		return ErrDraining
	case e.Err != nil && !errors.Is(e.Err, session.ErrNotFound):
		return ErrCut
	}
	return f.c.dialect.end(f, r, e)
}

// Wait implements Sink.
func (f *follow) Wait(wake <-chan struct{}) error {
	if err := f.flush(); err != nil {
		return err
	}
	f.acting.Unlock()
	<-wake
	f.acting.Lock()
	if f.c.closed.Load() {
		return errConnClosed
	}
	return f.answer(f.c.pos.Seq)
}

// send writes v as a frame.
func (f *follow) send(v any) error {
	f.buf = appendJSON(f.buf[:0], v)
	return f.write()
}

// write passes f.buf on as a frame, which leaves with the next flush.
func (f *follow) write() error {
	if f.c.closed.Load() {
		return errConnClosed
	}
	if f.held == 0 {
		f.c.sock.Cork()
	}
	f.held += len(f.buf)
	if err := f.c.sock.Write(f.buf); err != nil {
		return err
	}
	if f.held >= flushAt {
		return f.flush()
	}
	return nil
}

// enter implements pusher.
func (f *follow) enter() bool {
	if !f.acting.TryLock() {
		return false
	}
	if f.held > 0 {
		f.acting.Unlock()
		return false
	}
	return true
}

// leave implements pusher.
func (f *follow) leave() { f.acting.Unlock() }

// flushNow implements pusher.
func (f *follow) flushNow() (sent bool) {
	_ = f.guard(func() error {
		if f.held > 0 && !f.c.sock.FlushNow() {
			return nil
		}
		f.held = 0
		f.probe.Flushed(f.c.hub.metrics)
		sent = true
		return nil
	})
	return sent
}

func (f *follow) flush() error {
	if f.held == 0 {
		return nil
	}
	f.held = 0
	err := f.c.sock.Flush()
	f.probe.Flushed(f.c.hub.metrics)
	return err
}

// yield waits, for a moment, until the follower of a connection that was taken
// over has returned.
func (c *Conn) yield() {
	c.mu.Lock()
	work := c.work
	c.mu.Unlock()
	if work == nil {
		return
	}
	limit := time.NewTimer(takeoverWait)
	defer limit.Stop()
	select {
	case <-work.done:
	case <-limit.C:
	}
}
