package filestore

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// Stats are figures of the log.
type Stats struct {
	Size int64 // bytes on disk: what was written, unless a compaction came
	Live int64 // about how many of them are needed
}

// Stats returns them.
func (s *Store) Stats() Stats {
	j := s.b.j
	j.mu.Lock()
	defer j.mu.Unlock()
	size := j.seg.good
	for _, n := range j.sizes {
		size += n
	}
	return Stats{Size: size, Live: j.live}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet(c Config) Config {
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	return c
}

// opened opens a directory until the test ends.
func opened(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	s, err := Open(dir, quiet(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	for name, mode := range map[string]SyncMode{"everysec": EverySecond, "always": Always, "never": Never} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Sessions {
				return opened(t, t.TempDir(), Config{Sync: mode})
			})
		})
	}
	t.Run("small segments", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			return opened(t, t.TempDir(), Config{segmentBytes: 1 << 10})
		})
	})
	for name, how := range map[string]func(r *reopened){
		"closed and opened before every step":            func(r *reopened) { r.close = true },
		"closed, opened and compacted before every step": func(r *reopened) { r.close, r.compact = true, true },
		"killed before every step":                       func(*reopened) {},
		"the machine dies before every step":             func(r *reopened) { r.machine = true },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Sessions {
				r := &reopened{t: t, d: newDisk()}
				how(r)
				return r
			})
		})
	}
}

// reopened is a store that is opened anew before every step. Its node keeps its
// name, so that a reply that was started goes on.
type reopened struct {
	t                       *testing.T
	close, compact, machine bool

	mu sync.Mutex
	d  *disk
	s  *Store
}

// anew locks r and returns it opened anew.
func (r *reopened) anew() (*Store, func()) {
	r.mu.Lock()
	cfg := quiet(Config{node: "node"})
	switch {
	case r.machine:
		cfg.Sync = Always
		r.d = r.d.afterMachine()["nothing of the data, synced names"]
	case !r.close:
		r.d = r.d.afterProcess()
	case r.s != nil:
		if err := r.s.Close(); err != nil {
			r.t.Error(err)
		}
	}
	s, err := open(r.d, "disk", cfg)
	if err != nil {
		r.t.Error(err)
		panic(err)
	}
	r.s = s
	if r.compact {
		if err := s.b.compact(context.Background()); err != nil {
			r.t.Error(err)
		}
	}
	return s, r.mu.Unlock
}

func (r *reopened) Create(ctx context.Context, c session.Creation) (session.Session, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Create(ctx, c)
}

func (r *reopened) Check(ctx context.Context, id uuid.UUID, owner string) (session.Session, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Check(ctx, id, owner)
}

func (r *reopened) Get(ctx context.Context, ref session.Ref, p session.Position) (session.Session, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Get(ctx, ref, p)
}

func (r *reopened) Say(ctx context.Context, ref session.Ref, turn session.Turn) (session.Said, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Say(ctx, ref, turn)
}

func (r *reopened) Finish(ctx context.Context, text *session.Text, m session.Message) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Finish(ctx, text, m)
}

func (r *reopened) Take(ctx context.Context, ref session.Ref, reply uuid.UUID) (session.Said, string, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Take(ctx, ref, reply)
}

func (r *reopened) Follow(ctx context.Context, ref session.Ref) (*session.Text, error) {
	s, unlock := r.anew()
	defer unlock()
	return s.Follow(ctx, ref)
}

func (r *reopened) Stop(ctx context.Context, ref session.Ref, reply uuid.UUID) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Stop(ctx, ref, reply)
}

func (r *reopened) Connect(ctx context.Context, ref session.Ref, c session.Claim) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Connect(ctx, ref, c)
}

func (r *reopened) Delete(ctx context.Context, ref session.Ref) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Delete(ctx, ref)
}

func (r *reopened) Hold(ctx context.Context, ref session.Ref) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Hold(ctx, ref)
}

func (r *reopened) Release(ref session.Ref) {
	s, unlock := r.anew()
	defer unlock()
	s.Release(ref)
}

func (r *reopened) Ready(ctx context.Context) error {
	s, unlock := r.anew()
	defer unlock()
	return s.Ready(ctx)
}
