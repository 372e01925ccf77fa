package hub

import (
	"cmp"
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
	Again   bool      // the page came back by itself, and takes over from itself only
	Watch   bool      // it follows, beside the connection that has the conversation, and says nothing
	After   uuid.UUID // the last message that it has; nil: it has nothing
	Offset  int       // how much it has of that, a reply; negative: all
	Epoch   int64     // in which that was so; 0: the first
	Text    bool      // Offset counts text alone
	Dialect Dialect
	Claim   *Claim // what was reserved for it; nil: nothing
	From    Caller
	Expires time.Time // when the client's right to be here ends; zero: never

	before *Conn // the connection that this one took over from
}

// Conn is one WebSocket in a conversation. Its reader is a goroutine that waits
// for what the client sends, and makes a new one for every message; its writer is
// one that lives while there is something to write, and alone writes. Its place
// in the conversation is all that it remembers in between.
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

	refused int       // messages in a row that came too fast; the reader's
	outages int       // frames in a row for which the store was away; the reader's
	pinged  time.Time // when it was pinged; the hub loop's

	// Owned by the writer: it has the right to send.
	pos         session.Position // the client has everything up to here
	resume      resumption       // of which reply it has a part
	repliesOnly bool             // the dialect tells replies and no messages
	unanswered  bool             // the reply to the last message was not told to its end

	mu       sync.Mutex    // guards what follows
	writing  chan struct{} // closed when the writer has returned; nil: there is none
	dirty    bool          // the writer is to look again
	posted   bool          // it is to send what was posted
	news     *turn         // what to look at, if it is only this
	lastSent int64         // Seq that the client has, or has been passed
	pending  []*pending    // answers that wait for their place
	closing  CloseCode     // close with this when nothing is left to write; 0: stay
	why      string
	ended    bool
}

// resumption is the part of a reply that a client has.
type resumption struct {
	reply  uuid.UUID
	offset reply.Offset
}

const takenOver = "another connection has this conversation"

// Serve gives a socket to a conversation. It returns at once when that goes well:
// the connection lives on its own goroutines. Otherwise the socket is closed with
// the code that says why.
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
		c.resume = resumption{j.After, reply.Offset{Epoch: j.Epoch, N: j.Offset, TextOnly: j.Text}}
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
		claim.slot = false // it is c's from now on
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

// mayJoin says whether a connection may be where it wants to be, takes a slot for one
// that has none reserved, and closes the one whose place it takes. It runs on the loop.
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
			_ = h.slots.add(j.From.Client, Limits{}) // for old's, which is about to be free
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

// Refuse closes a socket that nobody reads, and returns when it has ended.
func Refuse(sock Socket, code CloseCode, reason string) {
	defer sock.Kill()
	out := reply.NewOutbox(sock, true, nil)
	sock.Start(out.PostRaw)
	out.Last(sock.CloseFrame(code, reason))
	out.Release()
	for {
		if _, err := sock.Read(); err != nil && !errors.Is(err, ErrBinary) {
			return
		}
	}
}

// CloseFor returns how a connection of this conversation ends for which the store
// has err, and logs what nobody foresaw.
func (h *Hub) CloseFor(ref session.Ref, err error) (CloseCode, string) {
	switch {
	case errors.Is(err, session.ErrTaken):
		return CloseTakenOver, takenOver
	case errors.Is(err, session.ErrGivenUp):
		return CloseTryLater, "no answer came from the client in time"
	case h.draining.Load() && (panicked(err) || errors.Is(err, reply.ErrCut)):
		err = ErrDraining
	case errors.Is(err, context.DeadlineExceeded): // of a step of the store's, not of the model's
		err = session.ErrUnavailable
	}
	e := Classify(err)
	if e.Code == CodeInternal && !panicked(err) {
		h.log.Error("a connection failed", "session", ShortID(ref.ID), "error", err)
	}
	return cmp.Or(closeCodes[e.Code], CloseTryLater), e.Text
}

// closeCodes has the close code for each error code that does not mean CloseTryLater.
var closeCodes = map[string]CloseCode{
	CodeNotFound: CloseNotFound, CodeUnauthorized: CloseUnauthorized, CodeDraining: CloseGoingAway,
}

// read handles the next message that the client sends, and has another goroutine
// wait for the one behind it. A grown stack stays grown, and an idle connection is
// little else than its stack.
func (c *Conn) read() {
	goesOn := false
	defer func() {
		if p := recover(); p != nil { // of the socket, whose state is not known
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

// guard calls f. A panic of f ends this connection, not the process, and guard
// returns false then. Whoever has the right to send must not call it.
func (c *Conn) guard(f func()) bool {
	err := c.hub.rescue("a connection", c.ref, func() error { f(); return nil })
	if err != nil {
		c.Close(CloseTryLater, sentences[CodeInternal])
	}
	return err == nil
}

// guardedOut is the connection's socket. A panic of a write may leave half a frame
// behind, so the socket is killed without a close frame.
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
	case !c.over() && !c.out.Closing(): // what is not answered is not done either
		c.guard(func() { c.handle(frame) })
	}
	return true
}

// Close ends the connection behind what is being written.
func (c *Conn) Close(code CloseCode, reason string) {
	c.sendClose(code, reason, func(frame []byte) { c.out.PostRaw(frame, true) })
}

// sendClose has send take a close frame of the socket's, whose panic ends the
// connection without one. The writer's send is the outbox's Last.
func (c *Conn) sendClose(code CloseCode, reason string, send func(frame []byte)) {
	if c.hub.rescue("closing a connection", c.ref, func() error { send(c.sock.CloseFrame(code, reason)); return nil }) != nil {
		c.end()
	}
}

// closeWhenIdle ends the connection when nothing is left to write.
func (c *Conn) closeWhenIdle(code CloseCode, reason string) {
	c.mu.Lock()
	if c.closing == 0 {
		c.closing, c.why = code, reason
	}
	idle := c.writing == nil
	c.mu.Unlock()
	if idle {
		c.Close(code, reason)
	}
}

// drop ends the connection: the peer does not listen, or has left. A close frame
// that waits is written first, if the peer takes it.
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

// end frees whoever waits for the connection, and its socket.
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
