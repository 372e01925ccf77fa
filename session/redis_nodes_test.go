package session

import (
	"errors"
	"testing"

	"github.com/google/uuid"
)

func TestStopElsewhere(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		stop := func(r reply) Message {
			return Message{ID: r.id, FinishReason: FinishStopped, Timestamp: Now(), Model: "m"}
		}
		for name, text := range map[string]string{"before the first token": "", "in the middle": passage(1000)} {
			t.Run(name, func(t *testing.T) {
				r, written := a.begin(t)
				if text != "" {
					written.write(text)
					written.keeps(t, len(text))
				}
				copied := newNode(t, RedisConfig{URL: url}).follow(r)
				copied.reads(t, text)
				want := stop(r)
				for range 2 { // again is found done
					got, err := b.Stop(t.Context(), r.conversation, want)
					if err != nil || got.Content != text || got.FinishReason != FinishStopped || got.Model != "m" || got.Seq != r.said.Running.Seq {
						t.Fatalf("stop: %+v, %v", got, err)
					}
				}
				written.is(t, "the writer knows", func() bool { return written.lost })
				copied.is(t, "the copy has ended", func() bool { return copied.ended && copied.text == text })
				written.write("too late")
				if err := a.Finish(t.Context(), r.conversation, Message{ID: r.id, Content: text + "too late"}); err != ErrLost {
					t.Errorf("finish of what was stopped: %v, want ErrLost", err)
				}
				if got := a.last(t, r.conversation); got.Content != text || got.FinishReason != FinishStopped {
					t.Errorf("stored %d bytes, %s", len(got.Content), got.FinishReason)
				}
			})
		}
		t.Run("by the node that writes it", func(t *testing.T) {
			r, written := a.begin(t)
			if _, err := a.Stop(t.Context(), r.conversation, stop(r)); err != nil {
				t.Fatal(err)
			}
			written.is(t, "the writer knows", func() bool { return written.lost })
		})
		t.Run("of what is not there", func(t *testing.T) {
			r, _ := a.begin(t)
			if _, err := b.Stop(t.Context(), r.conversation, Message{ID: uuid.New()}); err != ErrLost {
				t.Errorf("stop: %v, want ErrLost", err)
			}
			if _, err := b.Stop(t.Context(), Ref{ID: uuid.New()}, stop(r)); err != ErrNotFound {
				t.Errorf("stop: %v, want ErrNotFound", err)
			}
		})
	})
}

func TestDeleteElsewhere(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, RedisConfig{URL: url}).hears(t), newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url}).hears(t)
		r, written := a.begin(t)
		written.write("some text")
		copied := c.follow(r)
		copied.reads(t, "some text")
		if err := b.Delete(t.Context(), r.conversation); err != nil {
			t.Fatal(err)
		}
		written.is(t, "the writer knows", func() bool { return written.lost })
		copied.is(t, "the copy has ended", func() bool { return copied.ended })
		a.await(t, "gone "+r.conversation.ID.String())
		c.await(t, "gone "+r.conversation.ID.String())
		written.write("too late")
		if err := a.Finish(t.Context(), r.conversation, Message{ID: r.id}); err != ErrNotFound {
			t.Errorf("finish: %v, want ErrNotFound", err)
		}
		if err := b.Delete(t.Context(), r.conversation); err != ErrNotFound {
			t.Errorf("delete: %v, want ErrNotFound", err)
		}
	})
}

// TestChangedElsewhere tells the node that has the connection.
func TestChangedElsewhere(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}).hears(t), newNode(t, RedisConfig{URL: url})
		r, written := b.begin(t)
		b.ends(t, r, written)
		changed := "changed " + r.conversation.ID.String()
		if err := a.Connect(t.Context(), r.conversation, Claim{Connection: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		r, written = b.ask(t, r.conversation)
		a.await(t, changed)
		b.ends(t, r, written)
		a.await(t, changed)
		if _, err := b.Say(t.Context(), r.conversation, regenerate(r.id)); err != nil {
			t.Fatal(err)
		}
		a.await(t, changed)
	})
}

func TestConnect(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}).hears(t), newNode(t, RedisConfig{URL: url}).hears(t)
		r, _ := a.begin(t)
		id, client := r.conversation, uuid.New()
		connect := func(n *node, client uuid.UUID, mode ClaimMode, want error) uuid.UUID {
			t.Helper()
			c := Claim{Connection: uuid.New(), Client: client, Mode: mode}
			if err := n.Connect(t.Context(), id, c); !errors.Is(err, want) {
				t.Fatalf("connect %q: %v, want %v", mode, err, want)
			}
			return c.Connection
		}
		first := connect(a, client, FromNobody, nil)
		connect(b, uuid.New(), FromNobody, ErrTaken)
		connect(b, uuid.New(), FromItself, ErrTaken)
		connect(b, uuid.Nil, FromNobody, ErrTaken)
		second := connect(b, client, FromItself, nil)
		a.await(t, "taken "+id.ID.String()+" "+first.String())
		// The first closes late, and takes nothing with it.
		a.Disconnect(id, first)
		a.tasks.Wait()
		connect(a, uuid.New(), FromNobody, ErrTaken)
		third := connect(a, uuid.New(), FromAnybody, nil)
		b.await(t, "taken "+id.ID.String()+" "+second.String())
		a.Disconnect(id, third)
		a.tasks.Wait()
		connect(b, uuid.New(), FromNobody, nil)
		if err := a.Connect(t.Context(), Ref{ID: uuid.New()}, Claim{}); err != ErrNotFound {
			t.Errorf("connect: %v, want ErrNotFound", err)
		}
	})
}

// TestConnectWaits has the connection that is taken over tell when it closed.
func TestConnectWaits(t *testing.T) {
	server := startRedis(t)
	a, b := newNode(t, RedisConfig{URL: "redis://" + server.addr}), newNode(t, RedisConfig{URL: "redis://" + server.addr}).hears(t)
	r, _ := a.begin(t)
	old, mine := Claim{Connection: uuid.New()}, Claim{Connection: uuid.New()}
	if err := a.Connect(t.Context(), r.conversation, old); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(t.Context(), r.conversation, mine); err != nil {
		t.Fatal(err) // nobody says that it closed: it goes on nevertheless
	}
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		b.awaitLeft(t.Context(), old.Connection)
	}()
	eventually(t, "it waits", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.leaving) == 1
	})
	a.Disconnect(r.conversation, old.Connection)
	<-waiting
}

// TestTouchFindsTheMissed has a connection's node miss every hint.
func TestTouchFindsTheMissed(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		r, _ := b.begin(t)
		id := r.conversation
		if err := a.Hold(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		mine := Claim{Connection: uuid.New()}
		if err := a.Connect(t.Context(), id, mine); err != nil {
			t.Fatal(err)
		}
		soon := func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.holds[id].next = a.holds[id].next.Add(-DefaultTTL)
		}
		connKey := key(id.ID, "conn")
		a.raw(t, "DEL", connKey)
		soon()
		eventually(t, "the connection is recorded again", func() bool {
			n, err := a.raw(t, "EXISTS", connKey).AsInt64()
			return err == nil && n == 1
		})
		a.raw(t, "SET", connKey, b.Redis.node+" "+uuid.NewString()+" "+uuid.NewString())
		soon()
		a.await(t, "taken "+id.ID.String()+" "+mine.Connection.String())
		a.raw(t, "DEL", key(id.ID, "session"))
		soon()
		a.await(t, "gone "+id.ID.String())
		a.Release(id)
		a.Release(id)
		a.Disconnect(id, mine.Connection)
		if len(a.holds) != 0 {
			t.Errorf("%d holds are left", len(a.holds))
		}
	})
}

// TestWriterHearsNothing has a writer learn from its renewal that it is none.
func TestWriterHearsNothing(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, RedisConfig{URL: url})
		r, written := a.begin(t)
		a.raw(t, "HSET", key(r.conversation.ID, "reply"), "lease", "another's")
		a.lookNow(r.id)
		written.is(t, "the writer knows", func() bool { return written.lost })
		if _, ok := a.Write(r.id, &page{}); ok {
			t.Error("it may write what it has lost")
		}
		// A lease that is renewed does not run out.
		r, written = a.begin(t)
		a.raw(t, "PEXPIRE", key(r.conversation.ID, "turn"), "1500")
		a.lookNow(r.id)
		eventually(t, "the lease is renewed", func() bool {
			ms, err := a.raw(t, "PTTL", key(r.conversation.ID, "turn")).AsInt64()
			return err == nil && ms > 2000
		})
		if _, _, lost := written.now(); lost {
			t.Error("lost")
		}
	})
}

// TestLateAppend: while Finish is at it, only Finish tells that a reply is
// another's. What is under way beside it may come behind the end.
func TestLateAppend(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, RedisConfig{URL: url})
		r, written := a.begin(t)
		a.raw(t, "DEL", key(r.conversation.ID, "reply"))
		a.mu.Lock()
		w := a.writers[r.id]
		a.mu.Unlock()
		for _, ending := range []bool{true, false} {
			a.ending(r.id, ending)
			a.renew(t.Context(), []*writer{w})
			if _, _, lost := written.now(); lost == ending {
				t.Errorf("ending %v, told that it is lost: %v", ending, lost)
			}
		}
	})
}

// TestAway sends followers away once when the store stays away.
func TestAway(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	b := newNode(t, RedisConfig{URL: "redis://" + server.addr})
	r, written := a.begin(t)
	written.write("one ")
	written.keeps(t, 4)
	copied := &page{}
	b.Follow(r.conversation, r.id, 0, 0, copied)
	copied.reads(t, "one ")
	mute, silent := a.begin(t)
	silent.write("said")
	silent.keeps(t, 4)
	server.kill()
	written.write("two ")
	lasts := func(id uuid.UUID) func() bool {
		return func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			w := a.writers[id]
			if w == nil || w.outage.since.IsZero() {
				return false
			}
			w.outage.since = w.outage.since.Add(-AwayAfter)
			return true
		}
	}
	eventually(t, "appends fail", lasts(r.id))
	written.is(t, "it is told", func() bool { return written.away == 1 })
	eventually(t, "the lease of one whose model is silent is not renewed", lasts(mute.id))
	silent.is(t, "it is told, too", func() bool { return silent.away == 1 })
	eventually(t, "looks fail", func() bool {
		f := b.followed(r.id)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.outage.since.IsZero() {
			return false
		}
		f.outage.since = f.outage.since.Add(-AwayAfter)
		return true
	})
	copied.is(t, "who follows is told", func() bool { return copied.away == 1 })
	for range 3 {
		written.write("more ")
	}
	if err := a.hasty().Ready(t.Context()); !errors.Is(err, ErrUnavailable) { // while which appends fail again
		t.Errorf("ready: %v", err)
	}
	written.mu.Lock()
	defer written.mu.Unlock()
	if written.away != 1 || written.stored != 4 {
		t.Errorf("told %d times, %d bytes shown", written.away, written.stored)
	}
}
