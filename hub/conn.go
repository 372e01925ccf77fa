package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// Join says how a client comes to a conversation.
type Join struct {
	Ref     session.Ref
	Arrived time.Time // when its request came: of two connections the later one wins
	Client  uuid.UUID // one per page load; nil: not told
	Again   bool      // the page reconnects by itself: it takes over only from the same Client
	Watch   bool      // it only follows, and does not take the conversation
	After   uuid.UUID // the last message that the client has; nil: none
	Offset  int       // bytes that it has of After, a reply; negative: all
	Epoch   int64     // the reply's epoch in which Offset was told; 0: the first
	Text    bool      // Offset counts text without reasoning
	Dialect Dialect
	Claim   *Claim // from Reserve; nil: Serve claims the conversation
	From    Caller
	Expires time.Time // when the client's token expires; zero: never

	before *Conn // the connection that this one took over from
}

// Conn is one WebSocket in a conversation. Its reader is one goroutine at a time,
// which starts the next after each message. Its writer is a goroutine that lives only
// while there is something to send; between two of them only pos is remembered.
type Conn struct {
	// These do not change.
	hub     *Hub
	sock    Socket
	out     *reply.Outbox
	dialect Dialect
	ref     session.Ref
	id      uuid.UUID // names it to other nodes
	arrived time.Time
	client  uuid.UUID
	watch   bool
	from    Caller
	expires int64 // Unix seconds; 0: never

	// Owned by the reader.
	refused int // messages in a row that came too fast
	outages int // frames in a row that failed because the store was away

	pinged time.Time // owned by the hub's loop: when a ping was sent; zero: it was answered

	// Owned by the writer, while it holds the right to send.
	pos         session.Position // the client has everything up to here
	resume      *resumption      // the part of a reply that the client has; nil: none
	repliesOnly bool             // the dialect has no frames for messages
	unanswered  bool             // the last message's reply was not sent to its end

	mu          sync.Mutex    // guards what follows
	writing     chan struct{} // closed when the writer has returned; nil: there is none
	dirty       bool          // the conversation has changed: the writer calls catchUp
	posted      bool          // the writer flushes what was posted
	ended       bool          // the socket is closed, or about to be
	news        *turn         // the one change, if dirty for a new turn; nil: catchUp reads the store
	lastSentSeq int64         // the writer's copy of pos.Seq
	pending     []*pending    // answers that wait until the writer has reached their place
	closing     *closing      // close when nothing is left to send; nil: stay
}

// closing is what a close frame says.
type closing struct {
	code   CloseCode
	reason string
}

// resumption is the part of a reply that a client has.
type resumption struct {
	reply  uuid.UUID
	offset reply.Offset
}

// Serve joins a socket to a conversation and returns; the connection then lives on its
// own goroutines. If that fails, it closes the socket with the code that says why.
func (h *Hub) Serve(ctx context.Context, sock Socket, j Join) {
	err := h.rescue("a connection's beginning", j.Ref, func() error { return h.serve(ctx, sock, j) })
	if err != nil {
		code, why := h.CloseFor(j.Ref, err)
		Refuse(sock, code, why)
	}
}

func (h *Hub) serve(ctx context.Context, sock Socket, j Join) (err error) {
	claim := j.Claim
	if claim == nil {
		if h.draining.Load() { // checked before claiming, which would close the current connection
			return ErrDraining
		}
		if claim, err = h.claim(ctx, sock, j); err != nil {
			return err
		}
	}
	served := false
	defer func() {
		if !served {
			h.Leave(claim)
		}
	}()
	c := &Conn{
		hub: h, sock: sock, dialect: j.Dialect, ref: j.Ref, id: claim.id,
		arrived: j.Arrived, client: j.Client, watch: j.Watch, from: j.From,
	}
	if !j.Expires.IsZero() {
		c.expires = j.Expires.Unix()
	}
	if j.Offset >= 0 {
		c.resume = &resumption{j.After, reply.Offset{Epoch: j.Epoch, N: j.Offset, TextOnly: j.Text}}
	}
	c.out = reply.NewOutbox(guardedOut{c}, true, c.kick)
	c.out.Meter = h.metrics
	sock.Start(c.out.PostRaw)
	var refused error
	err = h.do(func() {
		if refused = h.mayJoin(c, &j); refused != nil {
			return
		}
		if j.before != nil {
			h.delist(j.before)
		}
		h.rooms[c.ref] = append(h.rooms[c.ref], c)
		claim.slot = false // delist(c) frees it
		h.metrics.connections.Inc()
		h.running.Add(1)
		c.writing = make(chan struct{})
		go c.join(&j)
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	served = true
	return nil
}

// mayJoin checks whether c may join, takes a slot unless one is reserved, and closes
// the connection that c takes over from, in j.before. It runs on the loop.
func (h *Hub) mayJoin(c *Conn, j *Join) error {
	if h.draining.Load() {
		return ErrDraining
	}
	var old *Conn
	if !c.watch {
		old = h.owner(c.ref)
	}
	switch {
	case old != nil && !old.over() && old.keepsPlace(j):
		return session.ErrTaken
	case old != nil:
		old.Close(CloseTakenOver, takenOver)
		j.before = old
		if j.Claim == nil {
			_ = h.slots.add(j.From.Client, Limits{}) // never refused: delist(old) frees one
		}
	case j.Claim == nil:
		return h.occupy(j.From)
	}
	return nil
}

// keepsPlace reports whether c keeps its conversation: the newcomer reconnected by
// itself, and c is another page's, or c's request arrived later.
func (c *Conn) keepsPlace(j *Join) bool {
	return j.Again && j.Client != uuid.Nil && j.Client != c.client || j.Arrived.Before(c.arrived)
}

// read handles the client's next message, and starts a fresh goroutine for the one after
// it: a grown stack stays grown, and would be most of what an idle connection costs.
func (c *Conn) read() {
	goesOn := false
	defer func() {
		if p := recover(); p != nil { // the socket panicked, so it cannot be used any more
			_ = session.Panicked(c.hub.log, "a connection's reader", c.ref.ID, p)
			c.end()
		}
		if goesOn {
			go c.read()
		} else {
			c.hub.detach(c)
		}
	}()
	c.sock.Await()
	goesOn = c.readMessage()
}

// guard calls f. If f panics, guard ends this connection, not the process, and returns
// false. Do not call it while holding the right to send.
func (c *Conn) guard(f func()) bool {
	err := c.hub.rescue("a connection", c.ref, func() error { f(); return nil })
	if err != nil {
		c.Close(CloseTryLater, sentences[CodeInternal])
	}
	return err == nil
}

// guardedOut is the connection's socket as a reply.Out. A write that panics may have sent
// half a frame, so the socket is killed without a close frame.
type guardedOut struct{ c *Conn }

// Write implements reply.Out.
func (o guardedOut) Write(p []byte, block bool) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = session.Panicked(o.c.hub.log, "a connection's write", o.c.ref.ID, v)
			o.c.sock.Kill()
		}
	}()
	return o.c.sock.Write(p, block)
}

// readMessage handles one message, or reports that the connection has ended.
func (c *Conn) readMessage() bool {
	frame, err := c.sock.Read()
	switch {
	case errors.Is(err, ErrBinary):
		c.Close(CloseUnsupported, "only text messages are understood")
	case err != nil:
		c.drop()
		return false
	case !utf8.Valid(frame):
		c.Close(CloseInvalidUTF8, "a text message must be UTF-8")
	case !c.over() && !c.out.Closing(): // a closing connection gets no answers, so nothing is done for it
		c.guard(func() { c.handle(frame) })
	}
	return true
}

// Close sends a close frame after the frame that is being sent, and drops what follows.
func (c *Conn) Close(code CloseCode, reason string) {
	c.sendClose(code, reason, func(frame []byte) { c.out.PostRaw(frame, true) })
}

// sendClose passes a close frame to send: Outbox.Last for the writer, PostRaw for others.
// If that panics, the connection ends without a close frame.
func (c *Conn) sendClose(code CloseCode, reason string, send func(frame []byte)) {
	if c.hub.rescue("closing a connection", c.ref, func() error { send(c.sock.CloseFrame(code, reason)); return nil }) != nil {
		c.end()
	}
}

// closeWhenIdle closes the connection once nothing is left to send.
func (c *Conn) closeWhenIdle(code CloseCode, reason string) {
	c.mu.Lock()
	if c.closing == nil {
		c.closing = &closing{code, reason}
	}
	idle := c.writing == nil
	c.mu.Unlock()
	if idle {
		c.Close(code, reason)
	}
}

// drop ends the connection after a failed read. It first flushes a pending close frame,
// waiting at most closeWait.
func (c *Conn) drop() {
	limit := time.AfterFunc(closeWait, c.sock.Kill)
	c.out.Acquire()
	_, _ = c.out.Flush(true)
	c.out.Release()
	limit.Stop()
	c.end()
}

// closeWait is how long the peer may take to read a close frame.
const closeWait = 2 * time.Second

// end closes the socket at once, and unblocks all who wait for the connection.
func (c *Conn) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.out.Kill()
	c.sock.Kill()
}

func (c *Conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// detach takes a connection that has ended out of the registry.
func (h *Hub) detach(c *Conn) {
	defer h.running.Done()
	_ = h.rescue("a connection's end", c.ref, func() error {
		return h.do(func() {
			h.delist(c)
			h.checkDrained()
		})
	})
	h.metrics.connections.Dec()
	h.log.LogAttrs(context.Background(), slog.LevelInfo, "connection ended", slog.String("session", ShortID(c.ref.ID)),
		slog.Float64("took_s", time.Since(c.arrived).Round(time.Millisecond).Seconds()), slog.String("request_id", c.from.Request))
	h.Leave(&Claim{ref: c.ref, id: c.id, watch: c.watch})
}
