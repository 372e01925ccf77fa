package filestore

import (
	"context"
	"flag"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/explore"
)

var (
	seeds    = flag.Uint64("seeds", 150, "how many schedules are sampled")
	fromSeed = flag.Uint64("seed", 0, "the first of them")
)

// explored is a disk as the explorer sees it.
type explored struct {
	t    *testing.T
	d    *disk
	mode SyncMode
	id   uuid.UUID
}

func (e *explored) config(node string, gate func(session.Backend) session.Backend) Config {
	return quiet(Config{Sync: e.mode, segmentBytes: 2 << 10, node: node, gate: gate})
}

func (e *explored) Open(node string, gate func(session.Backend) session.Backend) (*session.Manager, error) {
	s, err := open(e.d, "disk", e.config(node, gate))
	if err != nil {
		return nil, err
	}
	return s.Manager, nil
}

// Peek opens what the process's death would leave now: what was acknowledged is
// there, whoever looks.
func (e *explored) Peek() (found *session.Conversation, text string) {
	e.d.mu.Lock()
	left := e.d.afterProcess()
	e.d.mu.Unlock()
	s, err := open(left, "disk", e.config("peek", nil))
	if err != nil {
		e.t.Errorf("what is on the disk cannot be opened: %v", err)
		return nil, ""
	}
	_ = s.Each(context.Background(), func(id uuid.UUID, c *session.Conversation, written *session.Text) error {
		if id == e.id {
			if found = c; written != nil {
				text = written.String(written.Safe())
			}
		}
		return nil
	})
	return found, text
}

// Late and Save: what a process has sent to its disk does not come late, and the
// disk forgets only when the machine dies.
func (*explored) Late(string, int, []byte) {}
func (*explored) Save() func()             { return nil }

// Crashes are two: of the process, and of the machine in one of many ways.
func (e *explored) Crashes() []string {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	ways := slices.Sorted(maps.Keys(e.d.afterMachine()))
	return []string{"the process", ways[len(e.d.calls)%len(ways)]}
}

func (e *explored) Crash(how string) (lossy bool) {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	if how == "the process" {
		e.d = e.d.nextProcess()
		return false
	}
	e.d = e.d.afterMachine()[how]
	return e.mode != Always
}

func (e *explored) Cut() {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	e.d.crashAt, e.d.partial = len(e.d.calls), len(e.d.calls)%4
}

func (e *explored) Break() {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	e.d.failAt, e.d.partial = len(e.d.calls), len(e.d.calls)%4
}

// TestExplore takes sampled schedules of the explorer's on the file store, with a
// process and a machine that die, also within a call, and a disk that fails.
func TestExplore(t *testing.T) {
	for seed := *fromSeed; seed < *fromSeed+*seeds && !t.Failed(); seed++ {
		explore.Sample(t, seed, "KFTK", 40, 1, func(id uuid.UUID) explore.Store {
			return &explored{t, newDisk(), SyncMode(seed % 3), id}
		})
	}
}
