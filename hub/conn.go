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

// Join says how a client comes to a conversation.
type Join struct {
	Conversation session.Ref
	Arrived      time.Time // when its request came: of two connections the later one wins
	Client       uuid.UUID // one per page load; nil: not told
	Again        bool      // the page came back by itself, and takes over from itself only
	After        uuid.UUID // the last message that it has; nil: it has nothing
	Offset       int       // how much it has of that, a reply; negative: all
	Epoch        int64     // in which that was so; 0: the first
	Dialect      Dialect   // nil: ChatHub
	Seat         *Seat     // what was reserved for it; nil: nothing
	From         Caller
	Expires      time.Time // when the client's right to be here ends; zero: never

	before *Conn // the connection that this one took over from
}

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
	refused      int   // messages in a row that came too fast; the reader's

	mu      sync.Mutex // guards what follows
	work    *follow    // nil: no follower is there
	look    bool       // the follower is to look again
	owed    []*answer  // which the follower gives in their place
	leaving CloseCode  // close with this when nothing is left to write; 0: stay
	why     string

	pos session.Position // the follower's
}

// Serve gives a socket to a conversation. It returns at once when that goes
// well: the connection lives on its own goroutines. Otherwise the socket is
// closed with the code that says why.
func (h *Hub) Serve(ctx context.Context, sock Socket, j Join) {
	seat := j.Seat
	if seat != nil {
		j.Conversation = seat.conversation
	} else {
		var err error
		if seat, err = h.sit(ctx, sock, j); err != nil {
			code, why := h.CloseFor(j.Conversation, err)
			Refuse(sock, code, why)
			return
		}
	}
	c := &Conn{
		hub: h, sock: sock, conversation: j.Conversation, dialect: j.Dialect,
		arrived: j.Arrived, client: j.Client, token: seat.token, from: j.From,
	}
	if !j.Expires.IsZero() {
		c.expires = j.Expires.Unix()
	}
	if c.dialect == nil {
		c.dialect = ChatHub{}
	}
	code, why := CloseGoingAway, "the server is going away"
	_ = h.do(func() {
		if h.draining {
			return
		}
		old := h.conns[c.conversation]
		if old != nil {
			if !old.closed.Load() && j.yieldsTo(old) {
				code, why = CloseTakenOver, takenOver
				return
			}
			old.Close(CloseTakenOver, takenOver)
			j.before = old
		} else if j.Seat == nil && h.crowded(j.From) != nil {
			code, why = h.CloseFor(c.conversation, ErrCrowded)
			return
		}
		h.enlist(c)
		h.metrics.connected(1)
		h.running.Add(2)
		code = 0
		c.look, c.work = true, newFollow(c)
		go c.work.join(&j)
	})
	if code != 0 {
		h.Leave(seat)
		Refuse(sock, code, why)
		return
	}
	h.unreserve(seat)
}

// Refuse closes a socket that nobody reads, and returns when it has ended.
func Refuse(sock Socket, code CloseCode, reason string) {
	sock.Close(code, reason)
	for {
		if _, err := sock.Read(); err != nil && !errors.Is(err, ErrBinary) {
			sock.Kill()
			return
		}
	}
}

// yieldsTo tells whether old keeps the conversation: to a page that came back
// by itself it is another's, or it came later, and it is the newcomer that the
// page has given up since.
func (j *Join) yieldsTo(old *Conn) bool {
	return j.Again && j.Client != uuid.Nil && j.Client != old.client || j.Arrived.Before(old.arrived)
}

const takenOver = "another connection has this conversation"

// CloseFor returns how a connection of this conversation ends for which the
// store has err, and logs what nobody foresaw.
func (h *Hub) CloseFor(conversation session.Ref, err error) (CloseCode, string) {
	switch {
	case errors.Is(err, session.ErrNotFound):
		return CloseNotFound, "no such session, or it was deleted or has expired"
	case errors.Is(err, session.ErrTaken):
		return CloseTakenOver, takenOver
	case errors.Is(err, session.ErrGivenUp):
		return CloseTryLater, "no answer came from the client in time"
	case errors.Is(err, session.ErrFull):
		return CloseTryLater, "the server holds as many sessions as it may"
	case errors.Is(err, ErrCrowded):
		return CloseTryLater, "too many connections"
	}
	switch Classify(err).Code {
	case CodeRateLimited:
		return CloseTryLater, "too many sessions in a minute"
	case CodeInternal:
		h.log.Error("a connection failed", "session", ShortID(conversation.ID), "error", err)
		return CloseTryLater, "something went wrong on the server"
	}
	return CloseTryLater, "the session store cannot be reached"
}

// read handles the next message that the client sends, and has another
// goroutine wait for the one behind it: a stack that a message has made grow
// never becomes small again, and an idle connection is little else than its stack.
func (c *Conn) read() {
	c.sock.Await()
	if c.readMessage() {
		go c.read()
		return
	}
	c.hub.detach(c)
}

// readMessage handles one message, or reports that the connection has ended.
func (c *Conn) readMessage() bool {
	frame, err := c.sock.Read()
	switch {
	case errors.Is(err, ErrBinary):
		c.Close(CloseUnsupported, "only text messages are understood")
	case err != nil:
		c.drop()
		c.sock.Kill() // also behind the peer's answer to a close frame
		return false
	case !utf8.Valid(frame):
		c.Close(CloseInvalidUTF8, "a text message must be UTF-8")
	case !c.closed.Load():
		c.handle(frame)
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
		if err != nil {
			c.refuse(err, r.ID)
		}
	case "stop":
		outcome, at, err := c.hub.Stop(ctx, c.conversation, r.ID)
		if err != nil {
			c.refuse(err, r.ID)
			return
		}
		c.owe(&answer{outcome: outcome, behind: at.Seq})
		c.remind()
	case "ping":
		c.write(c.dialect.pong())
	}
}

// admitted tells whether the client may say something now. One that does not
// heed it is sent away.
func (c *Conn) admitted(ctx context.Context, ref uuid.UUID) bool {
	err := c.hub.AdmitMessage(ctx, c.from)
	if err == nil {
		c.refused = 0
		return true
	}
	c.refuse(err, ref)
	if c.refused++; c.refused >= patienceForFlood {
		c.Close(ClosePolicy, "messages kept coming too fast")
	}
	return false
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
		c.refuse(err, ref)
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

// refuse tells why a frame was not obeyed.
func (c *Conn) refuse(err error, ref uuid.UUID) {
	e := Classify(err)
	if e.Code == CodeInternal {
		c.hub.log.Error("a frame failed", "session", ShortID(c.conversation.ID), "error", err)
	}
	c.write(c.dialect.refusal(e, ref))
	if e.Code == CodeNotFound {
		c.leave(c.hub.CloseFor(c.conversation, err))
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
	c.hub.running.Add(1)
	go func() {
		defer c.hub.running.Done()
		c.sock.Close(code, reason)
	}()
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
	c.sock.Kill()
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
	_ = h.do(func() {
		h.delist(c)
		h.checkDrained()
	})
	h.metrics.connected(-1)
	h.log.LogAttrs(context.Background(), slog.LevelInfo, "connection ended", slog.String("session", ShortID(c.conversation.ID)),
		slog.Duration("took", time.Since(c.arrived).Round(time.Millisecond)), slog.String("request_id", c.from.Request))
	h.Leave(&Seat{conversation: c.conversation, token: c.token})
	h.running.Done()
}
