package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// someReply returns a running reply with this text.
func someReply(text string) *Reply {
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	r.append([]byte(text))
	return r
}

// finishAs ends r as the hub does.
func (r *Reply) finishAs(reason string) {
	r.seal()
	r.finish(End{Message: session.Message{ID: r.ID, Role: session.Assistant, Content: r.content(), FinishReason: reason}})
}

// collect is a Sink that keeps what it is given.
type collect struct {
	starts []int // the offset of each
	text   string
	end    *End
	pause  func() // at every delta; may be nil
	t      testing.TB
}

func (c *collect) Start(_ *Reply, offset int) error {
	c.starts = append(c.starts, offset)
	return nil
}

func (c *collect) Delta(_ *Reply, delta []byte, offset int) error {
	if len(delta) == 0 || len(delta) > maxDelta {
		c.t.Errorf("a delta of %d bytes", len(delta))
	}
	c.text += string(delta)
	if offset != c.starts[len(c.starts)-1]+len(c.text) {
		c.t.Errorf("the offset is %d behind %d bytes from %d on", offset, len(c.text), c.starts)
	}
	if c.pause != nil {
		c.pause()
	}
	return nil
}

func (c *collect) End(_ *Reply, e *End) error {
	c.end = e
	return nil
}

func (c *collect) Wait(wake <-chan struct{}) error {
	<-wake
	return nil
}

// streamTo follows r to its end, and returns what came.
func (r *Reply) streamTo(t testing.TB, offset int) *collect {
	t.Helper()
	c := &collect{t: t}
	if _, err := r.stream(c, make(chan struct{}, 1), Place{Offset: offset}); err != nil {
		t.Errorf("stream: %v", err)
	}
	return c
}

func TestReplyOffsets(t *testing.T) {
	const all = "né👋 " // n 0, é 1 2, 👋 3 4 5 6, blank 7
	for _, ended := range []bool{false, true} {
		for offset, want := range map[int]int{0: 0, 1: 1, 2: 0, 3: 3, 4: 0, 5: 0, 6: 0, 7: 7, 8: 8, 9: 0, -1: 0, 1 << 40: 0} {
			r := someReply(all)
			f := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{Offset: offset})
			if f.off != want {
				t.Errorf("offset %d is taken as %d, want %d", offset, f.off, want)
			}
			f.close()
			if ended {
				r.finishAs(session.FinishStop)
				if c := r.streamTo(t, offset); c.text != all[want:] || c.starts[0] != want {
					t.Errorf("from %d: %q behind %v", offset, c.text, c.starts)
				}
			}
		}
	}
	r := Stored(session.Ref{ID: uuid.New()}, session.Message{ID: uuid.New(), Content: all, FinishReason: session.FinishStop})
	if c := r.streamTo(t, 3); c.text != "👋 " || c.end == nil || c.end.Message.Content != all {
		t.Errorf("of a stored reply came %q and %+v", c.text, c.end)
	}
	if r := Stored(session.Ref{ID: uuid.New()}, session.Message{FinishReason: session.FinishStopped}); r.streamTo(t, 0).end == nil {
		t.Error("an empty stored reply has no end")
	}
}

// TestReplyFollowers has many follow a long reply, each at its own speed and
// from its own place, and all get exactly that.
func TestReplyFollowers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	for b.Len() < 1<<20 {
		b.WriteString([]string{"word ", "Grüße", "👋", "你好", "\n"}[rnd.IntN(5)])
	}
	text := b.String()
	parts := split(rnd, text, 400)
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	var all sync.WaitGroup
	follow := func(seed uint64) {
		mine := rand.New(rand.NewPCG(seed, 0))
		c := &collect{t: t, pause: func() {
			for range mine.IntN(2000) * int(seed%3) { // some keep up, some lag far behind
				_ = mine.Uint64()
			}
		}}
		r.mu.Lock()
		size := r.text.size
		r.mu.Unlock()
		offset := 0
		for ; size > 0 && seed%2 == 1; size-- { // somewhere in what is there
			if n := mine.IntN(size); r.text.splits(n) {
				offset = n
				break
			}
		}
		all.Go(func() {
			if _, err := r.stream(c, make(chan struct{}, 1), Place{Offset: offset}); err != nil || c.end == nil {
				t.Errorf("stream: %v, end %v", err, c.end)
			}
			if c.text != text[c.starts[0]:] {
				t.Errorf("from %d on came %d bytes that are not the reply's", c.starts[0], len(c.text))
			}
		})
	}
	for i, part := range parts {
		if i%(len(parts)/24) == 0 {
			follow(uint64(i))
		}
		if !r.append([]byte(part)) {
			t.Fatal("the reply takes no more")
		}
	}
	r.finishAs(session.FinishStop)
	all.Wait()
	if r.append([]byte("late")) || r.content() != text {
		t.Error("something was appended behind the end")
	}
}

// TestReplySeal: one of many who want to end it does.
func TestReplySeal(t *testing.T) {
	r := someReply("x")
	ctx, cancel := context.WithCancel(t.Context())
	if !r.begin(cancel, 0, nil) {
		t.Fatal("the turn cannot begin")
	}
	var sealed sync.WaitGroup
	won := make(chan bool, 10)
	for range cap(won) {
		sealed.Go(func() { won <- r.seal() })
	}
	sealed.Wait()
	close(won)
	n := 0
	for w := range won {
		if w {
			n++
		}
	}
	if n != 1 || ctx.Err() == nil || r.append([]byte("y")) {
		t.Errorf("%d won, the turn's context is %v", n, ctx.Err())
	}
	r.finish(End{Message: session.Message{Content: "x", FinishReason: session.FinishStopped}})
	r.finish(End{Err: errors.New("too late")})
	if e, err := r.wait(t.Context()); err != nil || e.Err != nil || e.Message.FinishReason != session.FinishStopped {
		t.Errorf("ended as %+v, %v", e, err)
	}
	// A reply that is sealed before its turn began does not begin.
	r = someReply("")
	r.seal()
	if r.begin(func() {}, time.Second, func() { t.Error("given up") }) {
		t.Error("the turn of a sealed reply begins")
	}
}

func TestReplyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := someReply("x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		go func() {
			time.Sleep(time.Hour)
			r.append([]byte("y"))
			r.finishAs(session.FinishLength)
		}()
		began := time.Now()
		e, err := r.wait(t.Context())
		if err != nil || e.Message.Content != "xy" || time.Since(began) != time.Hour {
			t.Errorf("got %+v, %v after %v", e, err, time.Since(began))
		}
		if len(r.followers) != 0 {
			t.Errorf("%d follow what has ended", len(r.followers))
		}
	})
}

// TestReplyPatience: with nobody there a reply is given up, once.
func TestReplyPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := someReply("x")
		var gone atomic.Int32
		first := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		r.begin(func() {}, time.Minute, func() { gone.Add(1) })
		time.Sleep(time.Hour)
		second := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		first.close()
		time.Sleep(time.Hour)
		second.close()
		time.Sleep(59 * time.Second)
		third := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		time.Sleep(time.Hour)
		if third.close(); gone.Load() != 0 {
			t.Error("given up while somebody followed")
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if gone.Load() != 1 {
			t.Errorf("given up %d times", gone.Load())
		}
		r.finishAs(session.FinishStopped)
		last := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		last.close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if gone.Load() != 1 {
			t.Error("given up behind its end")
		}
	})
}

// TestTokenPathAllocates: nothing, with a follower that keeps up.
func TestTokenPathAllocates(t *testing.T) {
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	wake := make(chan struct{}, 1)
	f := r.follow(&follower{wake: wake}, Place{})
	defer f.close()
	token, frame := []byte(" Grüße"), make([]byte, 0, 1<<10)
	allocs := testing.AllocsPerRun(100_000, func() {
		r.append(token)
		<-wake
		delta, _, _ := f.next()
		frame = AppendDelta(frame[:0], r.ID, delta, f.off)
	})
	if allocs != 0 {
		t.Errorf("%v allocations per token", allocs)
	}
}
