package redisstore

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestKilledWriter has a node die amid a reply that two others follow.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		text := passage(4000)
		half := boundary(text, 2000)
		dead, b, c := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).settle(t), newNode(t, Config{URL: url})
		said := dead.begin(t)
		ref, reply := said.Text.Ref, said.Text.Reply
		copied, other := b.follow(t, ref), c.follow(t, ref)
		said.Text.Append([]byte(text[:half]))
		reads(t, copied, text[:half])
		reads(t, other, text[:half])
		if _, _, err := b.Take(t.Context(), ref, reply); !errors.Is(err, session.ErrBusy) {
			t.Fatalf("take of what is written: %v, want ErrBusy", err)
		}
		dead.stop()

		b.await(t, "orphaned", ref.ID.String(), reply.String())
		got, how, err := b.Take(t.Context(), ref, reply)
		if err != nil || how != "" {
			t.Fatal(how, err)
		}
		want := said
		running := *said.Running
		running.Epochs = []session.Epoch{{N: got.Running.Epoch(), At: half}}
		running.Fence, running.Deaths = got.Running.Fence, 1
		taken := got.Text
		want.Running, want.Text, got.Text = &running, nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		if end := copied.End(); end == nil || latest(copied) != taken || end.Keep != half || !taken.Own() {
			t.Errorf("the copy goes on as %+v", end)
		}
		for _, n := range []*node{b, c} {
			if _, _, err := n.Take(t.Context(), ref, reply); !errors.Is(err, session.ErrBusy) {
				t.Errorf("second take: %v, want ErrBusy", err)
			}
		}
		taken.Append([]byte(text[half:]))
		if end := reads(t, other, text); other.End() == nil || other.End().Keep != half || end.Own() {
			t.Errorf("the other copy goes on as %+v", other.End())
		}
		b.end(t, taken)
		if got := c.last(t, ref); got.Content != text {
			t.Errorf("stored %q", got.Content)
		}
		if _, _, err := c.Take(t.Context(), ref, reply); !errors.Is(err, session.ErrLost) {
			t.Errorf("take of what has ended: %v, want ErrLost", err)
		}
		if _, _, err := c.Take(t.Context(), session.Ref{ID: uuid.New(), Born: "x"}, reply); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("take in no session: %v, want ErrNotFound", err)
		}
	})
}

// kill has a node be held dead by others, though it is there.
func kill(t testing.TB, dead *node, others ...*node) {
	t.Helper()
	for _, n := range others {
		n.store.Alive(dead.store.node)
		n.store.peers.mu.Lock()
		p := n.store.peers.nodes[dead.store.node]
		n.store.peers.mu.Unlock()
		eventually(t, "it is looked at", func() bool {
			n.store.peers.mu.Lock()
			defer n.store.peers.mu.Unlock()
			if p.known {
				p.dead = true
			}
			return p.known
		})
	}
}

// TestPausedWriter takes over from a node that lives: a false alarm.
func TestPausedWriter(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)
		said := a.begin(t)
		ref := said.Text.Ref
		said.Text.Append([]byte("one "))
		shown(t, said.Text, 4)
		var got session.Said
		eventually(t, "it is taken", func() (ok bool) {
			kill(t, a, b)
			var err error
			got, _, err = b.Take(t.Context(), ref, said.Text.Reply)
			return err == nil
		})
		said.Text.Append([]byte("two"))
		if end := ended(t, said.Text); end.Next == nil || end.Keep != 4 || end.Next.Own() {
			t.Errorf("the old writer's text ends as %+v", end)
		}
		if err := a.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); !errors.Is(err, session.ErrLost) {
			t.Errorf("finish: %v, want ErrLost", err)
		}
		got.Text.Append([]byte("three"))
		reads(t, said.Text, "one three")
		b.end(t, got.Text)
		if got := a.last(t, ref).Content; got != "one three" {
			t.Errorf("stored %q", got)
		}
	})
}

// TestLateAppend: an append that was on its way when the reply was taken over
// changes nothing, and one that comes between a take's look and its commit makes
// that look again.
func TestLateAppend(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)
		said := a.begin(t)
		ref := said.Text.Ref
		said.Text.Append([]byte("one "))
		shown(t, said.Text, 4)
		before, err := b.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		take := &session.Change{Head: before.Head, Had: 4, Has: 4}
		running := *before.Running
		running.Fence = b.store.node + " taken"
		take.Version, take.Running = "taken", &running
		said.Text.Append([]byte("two "))
		shown(t, said.Text, 8)
		if err := b.store.Commit(t.Context(), ref.ID, before, take); !errors.Is(err, session.ErrConflict) {
			t.Errorf("a take of a length that is over: %v, want ErrConflict", err)
		}
		take.Had, take.Has = 8, 7
		for range 2 {
			if err := b.store.Commit(t.Context(), ref.ID, before, take); err != nil {
				t.Errorf("take: %v", err)
			}
		}
		said.Text.Append([]byte("three"))
		ended(t, said.Text)
		if got, err := a.raw(t, "GET", key(ref, textKey)).ToString(); got != "one two" || err != nil {
			t.Errorf("the text is %q, %v", got, err)
		}
		if before, err = b.store.Load(t.Context(), ref.ID, before); err != nil {
			t.Fatal(err)
		}
		take.Version, take.Had, take.Has = "again", 7, 0 // as of one that was cut amid its first character
		if err := b.store.Commit(t.Context(), ref.ID, before, take); err != nil {
			t.Errorf("take of no text: %v", err)
		}
		if n, err := a.raw(t, "EXISTS", key(ref, textKey)).AsInt64(); n != 0 || err != nil {
			t.Errorf("there is still text: %d, %v", n, err)
		}
	})
}

// TestLostSay: a reply whose Say's answer was lost, so that nobody writes it, is
// taken by the node that its fence belongs to as soon as somebody follows it.
func TestLostSay(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)
		ref := storetest.Made(t, b, session.Creation{ID: uuid.New()})
		was, err := b.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		user := session.Message{ID: uuid.New(), Role: session.User, Content: "hi", Seq: 1, Version: "said", Timestamp: session.Now()}
		reply := uuid.New()
		ch := &session.Change{Head: was.Head, Add: []session.Message{user}, Had: -1}
		ch.Version, ch.Tip, ch.Count = "said", 1, 1
		ch.Running = &session.Running{Reply: reply, User: user.Position(), Seq: 2, Fence: a.store.node + " lost"}
		if err := a.store.Commit(t.Context(), ref.ID, was, ch); err != nil {
			t.Fatal(err)
		}
		copied := b.follow(t, ref)
		a.await(t, "orphaned", ref.ID.String(), reply.String())
		got, how, err := a.Take(t.Context(), ref, reply)
		if err != nil || how != "" || got.Running.Deaths != 0 {
			t.Fatalf("take: %+v, %q, %v", got.Running, how, err)
		}
		got.Text.Append([]byte("here"))
		reads(t, copied, "here")
	})
}

// TestTooManyDeaths has a reply end that kills whoever writes it.
func TestTooManyDeaths(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		nodes := []*node{newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)}
		said := nodes[0].begin(t)
		ref, reply := said.Text.Ref, said.Text.Reply
		said.Text.Append([]byte("fatal"))
		shown(t, said.Text, 5)
		for death := 1; ; death++ {
			from, to := nodes[(death+1)%2], nodes[death%2]
			var how string
			eventually(t, "it is taken", func() bool {
				kill(t, from, to)
				var err error
				said, how, err = to.Take(t.Context(), ref, reply)
				return err == nil
			})
			if said.Running.Deaths != death {
				t.Errorf("%d deaths, want %d", said.Running.Deaths, death)
			}
			if how != "" {
				if how != session.FinishError || death != 4 {
					t.Errorf("ended as %q behind %d deaths", how, death)
				}
				break
			}
		}
	})
}

func TestYield(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		nodes := []*node{newNode(t, Config{URL: url}), newNode(t, Config{URL: url})}
		said := nodes[0].begin(t)
		ref, reply := said.Text.Ref, said.Text.Reply
		text := ""
		// More often than writers may die: giving up is no death.
		for i := range 6 {
			from, to := nodes[i%2], nodes[(i+1)%2]
			copied := to.follow(t, ref)
			part := passage(100 << 10)
			text += part
			said.Text.Append([]byte(part))
			if err := from.Yield(t.Context(), said.Text); err != nil {
				t.Fatal(err)
			}
			to.await(t, "orphaned", ref.ID.String(), reply.String())
			got, how, err := to.Take(t.Context(), ref, reply)
			if err != nil || how != "" || got.Running.Deaths != 0 {
				t.Fatalf("take: %+v, %q, %v", got.Running, how, err)
			}
			if have := got.Text.String(got.Text.Safe()); have != text {
				t.Fatalf("taken %d bytes, want %d", len(have), len(text))
			}
			reads(t, copied, text)
			said = got
		}
		nodes[0].end(t, said.Text)
		if got := nodes[1].last(t, ref).Content; got != text {
			t.Errorf("stored %d bytes, want %d", len(got), len(text))
		}
	})
}

// TestStopOfADeadNode: who takes over a stopping reply only ends it.
func TestStopOfADeadNode(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url}).settle(t)
		said := a.begin(t)
		said.Text.Append([]byte("some"))
		shown(t, said.Text, 4)
		a.stop()
		if err := b.Stop(t.Context(), said.Text.Ref, said.Text.Reply); err != nil {
			t.Fatal(err)
		}
		var how string
		eventually(t, "it is taken", func() bool {
			var err error
			_, how, err = b.Take(t.Context(), said.Text.Ref, said.Text.Reply)
			return err == nil
		})
		if how != session.FinishStopped {
			t.Errorf("taken as %q", how)
		}
	})
}
