package hub

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

// modelFunc is a model that streams what it likes.
type modelFunc func(ctx context.Context, messages []llms.MessageContent, say func(string) error) (stop string, err error)

func (f modelFunc) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	stop, err := f(ctx, messages, func(s string) error { return o.StreamingFunc(ctx, []byte(s)) })
	if err != nil {
		return nil, err
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{StopReason: stop}}}, nil
}

func (f modelFunc) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, f, prompt, options...)
}

// paced says word n times, one a second.
func paced(n int) modelFunc {
	return func(ctx context.Context, _ []llms.MessageContent, say func(string) error) (string, error) {
		for range n {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return "", ctx.Err()
			}
			if err := say("word "); err != nil {
				return "", err
			}
		}
		return "stop", nil
	}
}

// world is a hub that runs in a bubble.
type world struct {
	t    *testing.T
	hub  *Hub
	ctx  context.Context // of what the test asks of the hub
	stop func()          // ends Run, and waits for it
}

// inWorld runs f beside a hub with this model.
func inWorld(t *testing.T, model llms.Model, change func(*Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Sessions: session.NewManager(session.NewMemory(0, 0)), Model: model, ModelName: "m", Logger: slog.New(slog.DiscardHandler)}
		if change != nil {
			change(&cfg)
		}
		w := &world{t: t, hub: New(cfg), ctx: t.Context()}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.hub.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		running.Go(func() {
			if err := cfg.Sessions.Run(ctx, w.hub.Gone); err != nil {
				t.Errorf("the store's Run: %v", err)
			}
		})
		w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
		t.Cleanup(w.stop)
		f(w)
	})
}

// session makes a session.
func (w *world) session() session.Ref {
	w.t.Helper()
	s, err := w.hub.sessions.New(w.ctx, "", uuid.Nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Ref()
}

// stored are the messages of a session.
func (w *world) stored(id session.Ref) []session.Message {
	w.t.Helper()
	s, err := w.hub.sessions.Get(w.ctx, id, session.Position{})
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Messages
}

// connect joins a conversation, and lets it come to rest.
func (w *world) connect(j Join) *memSocket {
	w.t.Helper()
	s := newMemSocket()
	j.Arrived = time.Now()
	w.hub.Serve(w.ctx, s, j)
	synctest.Wait()
	return s
}

// join is connect for a client with nothing.
func (w *world) join(id session.Ref) *memSocket {
	return w.connect(Join{Conversation: id, Offset: -1})
}

// say sends a message, and lets things come to rest.
func (w *world) say(s *memSocket, frame string) {
	s.in <- []byte(frame)
	synctest.Wait()
}

// pass lets d go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
