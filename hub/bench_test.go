package hub

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// BenchmarkAppendFollow is the way of a token from the model to its followers.
func BenchmarkAppendFollow(b *testing.B) {
	token := []byte(" token")
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("followers=%d", n), func(b *testing.B) {
			r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
			var following sync.WaitGroup
			for range n {
				following.Go(func() {
					wake := make(chan struct{}, 1)
					f := r.follow(&follower{wake: wake}, Place{})
					defer f.close()
					for {
						delta, end, _ := f.next()
						if end != nil {
							return
						}
						if delta == nil {
							<-wake
						}
					}
				})
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(token)))
			for b.Loop() {
				r.append(token)
			}
			r.finishAs(session.FinishStop)
			following.Wait()
		})
	}
}

// BenchmarkReadBehind reads a long reply from its start, as who resumes does.
func BenchmarkReadBehind(b *testing.B) {
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	for range 1 << 20 / 6 {
		r.append([]byte(" token"))
	}
	b.ReportAllocs()
	b.SetBytes(int64(r.Len()))
	for b.Loop() {
		f := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		for delta, _, _ := f.next(); delta != nil; delta, _, _ = f.next() {
		}
		f.close()
	}
}

// BenchmarkFrame writes deltas of several sizes as frames.
func BenchmarkFrame(b *testing.B) {
	id, text := uuid.New(), []byte(`Plain text with "quotes", Grüße and a line end.`+"\n")
	for len(text) < maxDelta {
		text = append(text, text...)
	}
	for _, n := range []int{6, 100, maxDelta} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			delta, buf := text[:whole(text, n)], make([]byte, 0, 2*maxDelta)
			b.ReportAllocs()
			b.SetBytes(int64(len(delta)))
			for b.Loop() {
				buf = AppendDelta(buf[:0], id, delta, 12345)
			}
		})
	}
}

// BenchmarkAttachDetach has a client come to a conversation, be told that it is
// ready, and go, beside others that stay.
func BenchmarkAttachDetach(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			h := New(Config{Sessions: session.NewManager(session.NewMemory(0, 0)), Model: paced(0), ModelName: "m", Logger: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = h.Run(ctx) }()
			attach := func() *memSocket {
				made, err := h.sessions.New(ctx, "", uuid.Nil)
				if err != nil {
					b.Fatal(err)
				}
				s := newMemSocket()
				h.Serve(ctx, s, Join{Conversation: made.Ref(), Offset: -1, Arrived: made.CreatedAt})
				<-s.arrivals
				return s
			}
			for range others {
				attach()
			}
			b.ReportAllocs()
			for b.Loop() {
				attach().Kill()
			}
			cancel()
			<-ended
		})
	}
}
