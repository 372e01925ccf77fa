package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// maxStale bounds the retries after errStale: if a text was lost together with its fence,
// the change would conflict for ever.
const maxStale = 100

// Take takes over the running reply, if it is this one and nobody writes it, and returns
// what Say does. If ended is not "", the caller must only end the reply, for this reason: it
// was stopped, or too many of its writers have died. Errors: ErrNotFound; ErrBusy, if it has
// a writer; ErrLost, if it does not run any more; ErrUnavailable.
func (m *Manager) Take(ctx context.Context, ref Ref, reply uuid.UUID) (said Said, ended string, err error) {
	fence := m.newFence(randomName())
	for tries := 1; ; tries++ {
		err = m.step(ctx, ref, func(e *cell) (*Change, error) {
			r := e.c.Running
			if r == nil || r.Reply != reply {
				return nil, ErrLost
			}
			if r.Fence == fence {
				said, ended = m.taken(e)
				return nil, nil
			}
			died, err := m.mayTake(e)
			if err != nil {
				return nil, err
			}
			had, has, err := m.textLength(ctx, e)
			if err != nil {
				return nil, err
			}
			return e.c.take(fence, died, had, has), nil
		})
		if !errors.Is(err, errStale) {
			return said, ended, err
		}
		if tries == maxStale {
			return said, ended, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// mayTake returns ErrBusy if the cell's running reply has a writer; died reports whether it
// has none because its node died. The cell is locked.
func (m *Manager) mayTake(e *cell) (died bool, err error) {
	node := FenceNode(e.c.Running.Fence)
	switch {
	case node == "":
		return false, nil
	case node == m.kind.Node:
		if e.text != nil && e.text.own && e.text.Fence == e.c.Running.Fence {
			return false, ErrBusy
		}
		return false, nil
	case m.b.Alive(node):
		return false, ErrBusy
	}
	return true, nil
}

// textLength reads all that is stored of the cell's running reply, and returns its length
// in bytes and how much of that is whole characters. The cell is locked.
func (m *Manager) textLength(ctx context.Context, e *cell) (had, has int, err error) {
	if e.text == nil || e.text.Fence != e.c.Running.Fence || e.text.own {
		m.replace(e, m.newText(e.ref(), e.c.Running, false))
	}
	t := e.text
	<-m.reads.shut(t)
	defer m.reads.open(t)
	for !m.kind.Alone {
		if err := insist(ctx, t, m.b.Read); err != nil {
			return 0, 0, fmt.Errorf("failed to read a text: %w", err)
		}
		if t.moved.Swap(false) {
			return 0, 0, errStale // the next load finds another head
		}
		if had = int(t.saved.Load()); had-t.Appended() <= maxTorn {
			break
		}
	}
	return int(t.saved.Load()), min(t.Appended(), int(t.saved.Load())), nil
}

// taken makes the own text of a reply that was taken over, and ends the text that followed
// it here: followers continue in the new one. The cell is locked.
func (m *Manager) taken(e *cell) (said Said, ended string) {
	r, old := e.c.Running, e.text
	if old == nil || !old.own || old.Fence != r.Fence {
		t := m.newText(e.ref(), r, true)
		keep := r.Epochs[len(r.Epochs)-1].At
		if old != nil {
			t.append([]byte(old.String(min(keep, old.Appended()))))
		}
		t.saved.Store(int64(t.size))
		t.safe.Store(int64(t.size))
		m.replace(e, t)
		if old != nil {
			old.finish(&TextEnd{Next: t, Keep: min(keep, old.Safe())})
		}
	}
	said, _ = e.c.repeated(r.Reply, r.Fence)
	said.Text = e.text
	switch {
	case r.Stopping:
		ended = FinishStopped
	case r.Deaths > maxDeaths, e.tooOld:
		ended = FinishError
	}
	return said, ended
}

// adoptIfOrphaned raises Events.Orphaned if nobody writes the running reply: its fence is
// this node's and there is no own text, it was yielded, or its node is dead. The cell is
// locked.
func (m *Manager) adoptIfOrphaned(e *cell) {
	if !e.there() || e.c.Running == nil {
		return
	}
	if _, err := m.mayTake(e); err != nil {
		return
	}
	// A reply that was another node's is taken over only where it is followed or held.
	if FenceNode(e.c.Running.Fence) == m.kind.Node || e.text != nil || e.holds > 0 {
		m.events.Orphaned(e.ref(), e.c.Running.Reply)
	}
}
