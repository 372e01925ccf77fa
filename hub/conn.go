package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Conn is one WebSocket in a conversation. Its reader is a goroutine that waits
// for what the client sends, and hands over to a new one with every message; its
// follower is one that lives while there is something to write. Its place in the
// conversation is all that it remembers between the two.
type Conn struct {
	hub          *Hub
	sock         Socket
	conversation session.Ref
	arrived      time.Time
	client       uuid.UUID
	token        uuid.UUID // names it to other nodes
	closed       atomic.Bool
	asked        time.Time // when it was pinged; the hub loop's
	dialect      Dialect
	told         atomic.Int64 // Seq of the newest message that the client was told of
	from         Caller
	expires      int64 // Unix seconds; 0: never
	excess       int   // messages in a row that came too fast; the reader's
	outages      int   // frames in a row for which the store was away; the reader's

	mu      sync.Mutex // guards what follows
	work    *follow    // nil: no follower is there
	look    bool       // the follower is to look again
	owed    []*answer  // which the follower gives in their place
	leaving CloseCode  // close with this when nothing is left to write; 0: stay
	why     string

	pos session.Position // the follower's
}

// read handles the next message that the client sends, and has another
// goroutine wait for the one behind it: a stack that a message has made grow
// never becomes small again, and an idle connection is little else than its stack.
func (c *Conn) read() {
	goesOn := false
	err := c.hub.rescue("a connection's reader", c.conversation, func() error {
		c.sock.Await()
		goesOn = c.readMessage()
		return nil
	})
	if goesOn {
		go c.read()
		return
	}
	if err != nil { // the socket's state is unknown
		c.drop()
		c.kill()
	}
	_ = c.hub.rescue("a connection's end", c.conversation, func() error { c.hub.detach(c); return nil })
}

// readMessage handles one message, or reports that the connection has ended.
func (c *Conn) readMessage() bool {
	frame, err := c.sock.Read()
	switch {
	case errors.Is(err, ErrBinary):
		c.Close(CloseUnsupported, "only text messages are understood")
	case err != nil:
		c.drop()
		c.kill() // also behind the peer's answer to a close frame
		return false
	case !utf8.Valid(frame):
		c.Close(CloseInvalidUTF8, "a text message must be UTF-8")
	case !c.closed.Load():
		if c.hub.rescue("a frame", c.conversation, func() error { c.handle(frame); return nil }) != nil {
			c.Close(CloseTryLater, broke)
		}
	}
	return true
}

// handle does what one frame asks for.
func (c *Conn) handle(frame []byte) {
	r, err := c.dialect.request(frame)
	if err != nil {
		c.refuse(err, r.ID)
		return
	}
	ctx := context.Background()
	switch r.Type {
	case "message":
		c.say(ctx, session.Turn{User: session.Message{ID: r.ID, Content: *r.Content}})
	case "regenerate":
		if !c.admitted(ctx, r.ID) {
			return
		}
		_, _, err := c.hub.Say(ctx, c.from, c.conversation, session.Turn{Kind: session.Regenerate, Of: r.Of})
		c.done(err, r.ID)
	case "stop":
		outcome, at, err := c.hub.Stop(ctx, c.conversation, r.ID)
		if !c.done(err, r.ID) {
			return
		}
		c.owe(&answer{outcome: outcome, behind: at.Seq})
		c.remind()
	case "ping":
		c.write(c.dialect.pong())
	}
}

// admitted tells whether the client may say something now. One that does not
// heed it is sent away. A refusal for another reason, such as a
// counter that is away, neither counts as one nor begins the count anew.
func (c *Conn) admitted(ctx context.Context, ref uuid.UUID) bool {
	err := c.hub.AdmitMessage(ctx, c.from)
	if err == nil {
		c.excess = 0
		return true
	}
	c.refuse(err, ref)
	if Classify(err).Code == CodeRateLimited {
		if c.excess++; c.excess >= patienceForFlood {
			c.Close(ClosePolicy, "messages kept coming too fast")
		}
	}
	return false
}

// done tells whether a step of the store has succeeded; otherwise the frame is refused.
func (c *Conn) done(err error, ref uuid.UUID) bool {
	if err != nil {
		c.refuse(err, ref)
		return false
	}
	c.outages = 0
	return true
}

func (c *Conn) say(ctx context.Context, t session.Turn) {
	ref := t.User.ID
	if !c.admitted(ctx, ref) {
		return
	}
	if ref == uuid.Nil {
		t.User.ID = uuid.New()
	}
	a := &answer{behind: unstored, said: t.User.ID, ref: ref}
	c.owe(a)
	seen := c.told.Load()
	_, said, err := c.hub.Say(ctx, c.from, c.conversation, t)
	if err != nil {
		c.settle(a)
	}
	if !c.done(err, ref) {
		return
	}
	if !said.Started {
		seen = c.told.Load()
	}
	// One that is new is told by the follower, in its order. One that is known
	// is acknowledged here, also when it is asked anew because its reply failed.
	if said.User.Seq <= seen {
		c.settle(a)
		c.write(appendJSON(nil, saidFrame(said.User, said.Before)))
		return
	}
	c.locate(a, said.User.Seq)
}

// refuse tells why a frame was not obeyed. A connection for which the store is away
// again and again is sent away, to come back where it can be reached.
func (c *Conn) refuse(err error, ref uuid.UUID) {
	e := Classify(err)
	if e.Code == CodeInternal && !panicked(err) {
		c.hub.log.Error("a frame failed", "session", ShortID(c.conversation.ID), "error", err)
	}
	c.write(c.dialect.refusal(e, ref))
	switch e.Code {
	case CodeNotFound:
		c.leave(c.hub.CloseFor(c.conversation, err))
	case CodeStoreUnavailable:
		if c.outages++; c.outages >= patienceForOutage {
			c.Close(c.hub.CloseFor(c.conversation, err))
		}
	case CodeRateLimited: // no outage, and no proof that the store is back
	default:
		c.outages = 0
	}
}

// write sends a frame of the reader's. The follower's frames go another way,
// but no frame is ever inside another.
func (c *Conn) write(frame []byte) {
	if err := c.sock.Write(frame); err != nil {
		c.drop()
	}
}

// poke has the follower look at what there is to write. It does not block.
func (c *Conn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return
	}
	c.look = true
	if c.work == nil {
		c.work = newFollow(c)
		c.hub.running.Add(1)
		go c.work.run()
	}
}

// Close ends the connection now, whatever there is left to write.
func (c *Conn) Close(code CloseCode, reason string) {
	if c.closed.Swap(true) {
		return
	}
	c.wakeFollower()
	c.hub.spawn("closing a connection", c.conversation, func() {
		closed := false
		defer func() {
			if !closed {
				c.kill()
			}
		}()
		c.sock.Close(code, reason)
		closed = true
	})
}

// leave ends the connection when nothing is left to write.
func (c *Conn) leave(code CloseCode, reason string) {
	c.mu.Lock()
	if c.leaving == 0 {
		c.leaving, c.why = code, reason
	}
	idle := c.work == nil
	c.mu.Unlock()
	if idle {
		c.Close(code, reason)
	}
}

// drop ends the connection without a word: the peer does not listen.
func (c *Conn) drop() {
	if c.closed.Swap(true) {
		return // a close frame is on its way, which must reach the peer
	}
	c.wakeFollower()
	c.kill()
}

// kill ends the socket.
func (c *Conn) kill() {
	_ = c.hub.rescue("ending a connection", c.conversation, func() error { c.sock.Kill(); return nil })
}

func (c *Conn) wakeFollower() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.work != nil {
		c.work.poke()
	}
}

// detach takes a connection that has ended out of the registry.
func (h *Hub) detach(c *Conn) {
	defer h.running.Done()
	defer h.Leave(&Seat{conversation: c.conversation, token: c.token})
	h.tell(c.conversation, func() {
		h.delist(c)
		h.checkDrained()
	})
	h.metrics.connected(-1)
	h.log.LogAttrs(context.Background(), slog.LevelInfo, "connection ended", slog.String("session", ShortID(c.conversation.ID)),
		slog.Duration("took", time.Since(c.arrived).Round(time.Millisecond)), slog.String("request_id", c.from.Request))
}
