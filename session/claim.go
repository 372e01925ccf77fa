package session

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/google/uuid"
)

// Claim asks for a conversation on behalf of a connection (Manager.Connect). It has nothing
// to do with Backend.Claim, which is about idempotency keys.
type Claim struct {
	Connection uuid.UUID
	Client     uuid.UUID // one per page load; nil: not told
	Arrived    time.Time // of two connections at one node the later one wins
	Mode       ClaimMode
	// Responds pings the connection's peer, and returns an error if it does not answer. It
	// is called before a Client takes over from itself at another node, maybe more than
	// once: the page does not answer on an attempt that it has given up. Nil: it answers.
	Responds func(context.Context) error
}

// ClaimMode says from whom a Claim takes the conversation.
type ClaimMode int

const (
	FromAnybody ClaimMode = iota // the newest wins
	FromItself                   // only from the same Client
	FromNobody                   // only where there is none
)

// claim makes mine the conversation's connection, if mode allows that. vacant: the node of
// the connection that has it is dead.
// Errors: ErrTaken.
func (c *Conversation) claim(mine Claimed, mode ClaimMode, vacant bool) (*Change, error) {
	had := c.Conn
	switch {
	case had != nil && *had == mine:
		return nil, nil
	case had == nil || vacant:
	case had.Node == mine.Node && mine.Arrived < had.Arrived:
		return nil, ErrTaken
	case mode == FromNobody, mode == FromItself && mine.Client != uuid.Nil && had.Client != mine.Client:
		return nil, ErrTaken
	}
	ch := c.change()
	ch.Conn = &mine
	return ch, nil
}

// vacate removes the conversation's connection, if it is still this one.
func (c *Conversation) vacate(connection uuid.UUID) *Change {
	if c.Conn == nil || c.Conn.Connection != connection {
		return nil
	}
	ch := c.change()
	ch.Conn = nil
	return ch
}

// errAsk ends a step that needs Claim.Responds first.
var errAsk = errors.New("session: the peer is to be asked")

// Connect makes a connection the one that the conversation has, until Disconnect.
// The one that had it, here or at another node, is told by Events.Taken.
// Errors: ErrNotFound, ErrTaken, ErrGivenUp, ErrUnavailable.
func (m *Manager) Connect(ctx context.Context, ref Ref, c Claim) error {
	mine := Claimed{Node: m.kind.Node, Connection: c.Connection, Client: c.Client}
	if !c.Arrived.IsZero() {
		mine.Arrived = m.began.UnixNano() + int64(c.Arrived.Sub(m.began)) // by the clock that nobody sets
	}
	var seen *Claimed // the connection that had the conversation when the peer last responded
	for {
		var asking, from *Claimed
		err := m.step(ctx, ref, func(e *cell) (*Change, error) {
			had := e.c.Conn
			vacant := had != nil && had.Node != m.kind.Node && !m.b.Alive(had.Node)
			// On this node the hub knows which of the two came first.
			itself := had != nil && had.Node != m.kind.Node && !vacant && c.Client != uuid.Nil && had.Client == c.Client
			if itself && c.Mode != FromNobody && c.Responds != nil && (seen == nil || *seen != *had) {
				asking = had
				return nil, errAsk // returned only if it is still so after a load
			}
			ch, err := e.c.claim(mine, c.Mode, vacant)
			if ch != nil {
				from = had
			}
			return ch, err
		})
		// Only once it is stored: otherwise nobody would have the conversation.
		if err == nil && from != nil && from.Node == m.kind.Node {
			m.events.Taken(ref, from.Connection)
		}
		if !errors.Is(err, errAsk) {
			if err != nil && !errors.Is(err, ErrTaken) && !errors.Is(err, ErrNotFound) {
				m.vacateLater(ref, c.Connection) // it may be made all the same
			}
			return err
		}
		if c.Responds(ctx) != nil {
			return ErrGivenUp
		}
		seen = asking
	}
}

// Disconnect removes the claim of a connection that has closed, taken over or not. If the
// store is away, that is done as soon as it is back.
func (m *Manager) Disconnect(ref Ref, connection uuid.UUID) {
	if m.vacate(ref, connection) != nil {
		m.vacateLater(ref, connection)
	}
}

func (m *Manager) vacate(ref Ref, connection uuid.UUID) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	err := m.step(ctx, ref, func(e *cell) (*Change, error) { return e.c.vacate(connection), nil })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// vacateLater has the polls end a claim of which the store could not be told: nobody
// else would, as long as this node lives.
func (m *Manager) vacateLater(ref Ref, connection uuid.UUID) {
	if m.kind.Alone {
		return // it ends with this process
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[connection] = ref
}

// vacateLeft ends the claims of vacateLater, as far as the store answers.
func (m *Manager) vacateLeft() {
	m.mu.Lock()
	left := maps.Clone(m.left)
	m.mu.Unlock()
	for connection, ref := range left {
		if m.vacate(ref, connection) != nil {
			return
		}
		m.mu.Lock()
		delete(m.left, connection)
		m.mu.Unlock()
	}
}

// claimChanged raises Taken if another node has taken the conversation from a connection of
// this node since before. The cell is locked.
func (m *Manager) claimChanged(e *cell, before *Conversation) {
	if before == nil || before.Conn == nil || before.Conn.Node != m.kind.Node || !e.there() || e.c.Born != before.Born {
		return
	}
	if now := e.c.Conn; now == nil || *now != *before.Conn {
		m.events.Taken(e.ref(), before.Conn.Connection)
	}
}
