package filestore

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestCompactionEndsWhereTheLogFails: a copy that waited when the log failed is not
// written, so the old segments count on.
func TestCompactionEndsWhereTheLogFails(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"), say("a", "hi"), write("a", "ho"), syncNow)
	want := dump(t, store)
	j := store.b.j
	first, failures, err := j.startCompaction()
	if err != nil {
		t.Fatal(err)
	}
	err = store.Each(t.Context(), func(id uuid.UUID, c *session.Conversation, text *session.Text) error {
		batch, err := j.enter()
		if err != nil {
			return err
		}
		defer j.mu.Unlock()
		return j.copy(batch, id, c, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	j.mu.Lock()
	j.failLocked("write", errCrashed)
	j.mu.Unlock()
	if err := store.b.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.endCompaction(first, failures); err == nil {
		t.Error("the compaction has ended well")
	}
	_ = j.removeOld()
	again, err := open(d.afterProcess(), "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dump(t, again)); diff != "" {
		t.Error(diff)
	}
}

// TestCompactionShrinks: the log does not grow for ever under changes.
func TestCompactionShrinks(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"), say("a", "hi"), finish("a", "ho"))
	for range 1000 {
		s.must(t, touch)
	}
	before := store.Stats()
	s.must(t, compact)
	after := store.Stats()
	size := int64(0)
	for _, f := range d.names {
		size += int64(len(f.data))
	}
	if after.Size != size || after.Size > before.Size/10 {
		t.Errorf("%d bytes of %d are left, and %d are told", size, before.Size, after.Size)
	}
	if len(d.names) != 2 {
		t.Errorf("%d segments are left", len(d.names))
	}
	// It is worth it only for much, or much of it.
	for _, tt := range []struct {
		total, live int64
		want        bool
	}{
		{minGarbage, 0, false}, {minGarbage + 1, 0, true}, {10 * minGarbage, 5 * minGarbage, false},
		{10 * minGarbage, 4 * minGarbage, true}, {100 * minGarbage, 60 * minGarbage, false},
	} {
		j := store.b.j
		j.sizes, j.seg.good, j.live = nil, tt.total, tt.live
		if got := j.wantsCompaction(true, true); got != tt.want {
			t.Errorf("of %d bytes %d live: %v", tt.total, tt.live, got)
		}
		if j.wantsCompaction(true, false) {
			t.Error("it is wanted again at once")
		}
	}
}

// TestCompactionNeedsRoom: it does not fill the disk, and comes when there is room.
func TestCompactionNeedsRoom(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"), say("a", "the secret"), create("b"), say("b", "stays"), remove("a"))
	d.room = store.b.j.live
	calls := len(d.calls)
	if err := compact.do(s); err == nil || len(d.calls) != calls {
		t.Errorf("compacted without room: %v, %v", err, d.calls[calls:])
	}
	d.room = 2 * store.b.j.live
	store.b.tick(t.Context())
	store.b.compactions.Wait()
	if d.holds("the secret") || !d.holds("stays") {
		t.Error("what was deleted is on disk")
	}
}

// TestErasureThatFails is tried again.
func TestErasureThatFails(t *testing.T) {
	for in := range 12 {
		d := newDisk()
		store, err := open(d, "disk", quiet(Config{eraseEvery: 1}))
		if err != nil {
			t.Fatal(err)
		}
		s := newScript(store)
		s.must(t, create("a"), say("a", "the secret"), create("b"), say("b", "stays"), remove("a"))
		d.failAt = len(d.calls) + in
		for range 6 {
			store.b.tick(t.Context())
			store.b.compactions.Wait()
		}
		if d.holds("the secret") || !d.holds("stays") || store.Ready(t.Context()) != nil {
			t.Errorf("what was deleted is on disk, where call %s has failed", d.at(d.failAt))
		}
	}
}

// TestFailedSyncAmidACompaction: where a sync fails for which a compaction waits, with a
// conversation locked, the log goes on in a new segment all the same.
func TestFailedSyncAmidACompaction(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"), say("a", "hi"), write("a", "ho"))
	j := store.b.j
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	j.syncing.Lock() // a sync is under way
	locked, compacted := make(chan struct{}), make(chan error, 1)
	go func() {
		compacted <- store.Each(ctx, func(uuid.UUID, *session.Conversation, *session.Text) error {
			close(locked)
			return j.sync()
		})
	}()
	<-locked
	j.mu.Lock()
	j.lost = true
	j.failLocked("sync", errCrashed)
	j.mu.Unlock()
	recovered := make(chan error, 1)
	go func() { recovered <- store.b.recover(ctx) }()
	for len(j.writer) == 0 { // which it takes before it looks at conversations
		runtime.Gosched()
	}
	j.syncing.Unlock()

	if err := <-compacted; !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("the compaction's sync: %v", err)
	}
	if err := <-recovered; err != nil {
		t.Error(err)
	}
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	s.must(t, write("a", "ho"), finish("a", ""))
}
