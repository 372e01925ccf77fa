package session

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// leaveWait is how long a connection waits for the one that it took over from,
// on another node, to be closed.
const leaveWait = 250 * time.Millisecond

// claimed is a connection that has its conversation, as far as is known here.
type claimed struct {
	connection uuid.UUID
	value      string // as connect.lua stores it
}

// Connect implements Log.
func (r *Redis) Connect(ctx context.Context, ref Ref, c Claim) error {
	mine := &claimed{
		connection: c.Connection,
		value:      r.node + " " + c.Connection.String() + " " + c.Client.String(),
	}
	if c.Client == uuid.Nil && c.Mode == FromItself {
		c.Mode = FromAnybody // it cannot be told from others
	}
	status, rest, err := r.claim(ctx, ref, mine.value, c)
	switch {
	case err != nil:
		return err
	case status == "not found":
		return ErrNotFound
	case status == "taken":
		return ErrTaken
	}
	r.mu.Lock()
	r.holdOfLocked(ref).claim = mine
	r.mu.Unlock()
	a := &answer{rest: rest}
	if f := strings.Fields(a.string()); len(f) == 3 && f[0] != r.node {
		r.awaitLeft(ctx, a.id(f[1]))
	}
	return nil
}

// claim runs connect.lua. A page's connection is taken over only by one that
// was seen alive since that one was there: whatever the page gave up before it
// made that, is not.
func (r *Redis) claim(ctx context.Context, ref Ref, mine string, c Claim) (string, []rueidis.RedisMessage, error) {
	for before := ""; ; {
		status, rest, err := r.step(ctx, connectScript, ref, mine, millis(connTTL), string(c.Mode), before)
		if err != nil || status != "itself" {
			return status, rest, err
		}
		a := &answer{rest: rest}
		if before = a.string(); a.err != nil {
			return "", nil, a.err
		}
		if c.Alive != nil && c.Alive(ctx) != nil {
			return "", nil, ErrGivenUp
		}
	}
}

// awaitLeft waits for a connection of another node to be closed.
func (r *Redis) awaitLeft(ctx context.Context, connection uuid.UUID) {
	done := make(chan struct{})
	r.mu.Lock()
	r.leaving[connection] = done
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.leaving, connection)
		r.mu.Unlock()
	}()
	limit := time.NewTimer(leaveWait)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// left ends the wait for a connection.
func (r *Redis) left(connection uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done := r.leaving[connection]; done != nil {
		close(done)
		delete(r.leaving, connection)
	}
}

// Disconnect implements Log. It waits for nobody: when it fails, what is
// stored runs out by itself.
func (r *Redis) Disconnect(ref Ref, connection uuid.UUID) {
	r.mu.Lock()
	h := r.holds[ref]
	if h != nil && h.claim != nil && h.claim.connection == connection {
		h.claim = nil
		r.dropHoldLocked(ref, h)
	}
	r.mu.Unlock()
	value := r.node + " " + connection.String()
	r.tasks.Go(func() {
		r.rescue("a connection's end", func() { _, _, _ = r.step(context.Background(), disconnectScript, ref, value) })
	})
}
