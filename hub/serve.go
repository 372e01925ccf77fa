package hub

import (
	"context"
	"errors"
	"time"

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

// Serve gives a socket to a conversation. It returns at once when that goes
// well: the connection lives on its own goroutines. Otherwise the socket is
// closed with the code that says why.
func (h *Hub) Serve(ctx context.Context, sock Socket, j Join) {
	var code CloseCode
	var why string
	err := h.rescue("a connection's beginning", j.Conversation, func() error {
		code, why = h.connect(ctx, sock, j)
		return nil
	})
	if err != nil {
		code, why = CloseTryLater, broke
	}
	if code != 0 {
		Refuse(sock, code, why)
	}
}

// connect makes the connection and registers it. It returns the code with which the
// socket is to be closed; 0: the connection lives.
func (h *Hub) connect(ctx context.Context, sock Socket, j Join) (code CloseCode, why string) {
	seat := j.Seat
	if seat != nil {
		j.Conversation = seat.conversation
	} else {
		var err error
		if seat, err = h.sit(ctx, sock, j); err != nil {
			return h.CloseFor(j.Conversation, err)
		}
	}
	lives := false
	defer func() {
		if !lives {
			h.Leave(seat)
		}
	}()
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
	code, why = CloseGoingAway, "the server is going away"
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
		h.metrics.connected(1)
		h.enlist(c)
		h.running.Add(2)
		code, lives = 0, true
		c.look, c.work = true, newFollow(c)
		go c.work.join(&j)
	})
	if lives {
		h.unreserve(seat)
	}
	return code, why
}

// Refuse closes a socket that nobody reads, and returns when it has ended.
func Refuse(sock Socket, code CloseCode, reason string) {
	defer sock.Kill()
	sock.Close(code, reason)
	for {
		if _, err := sock.Read(); err != nil && !errors.Is(err, ErrBinary) {
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
		if !panicked(err) {
			h.log.Error("a connection failed", "session", ShortID(conversation.ID), "error", err)
		}
		return CloseTryLater, broke
	}
	return CloseTryLater, "the session store cannot be reached"
}
