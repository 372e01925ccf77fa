package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

var errKilled = errors.New("the socket is closed")

// memSocket is a Socket in memory: the test is the peer.
type memSocket struct {
	in     chan []byte // from the peer; nil: a binary message
	killed chan struct{}
	kill   func()

	mu       sync.Mutex
	held     [][]byte // corked
	corked   bool
	stalled  bool // the peer takes nothing
	silent   bool // the peer answers no ping
	sent     [][]byte
	pings    int
	code     CloseCode // of the first Close
	active   time.Time
	arrivals chan struct{} // one slot: something was sent, or the socket ended
}

func newMemSocket() *memSocket {
	s := &memSocket{in: make(chan []byte, 100), killed: make(chan struct{}), arrivals: make(chan struct{}, 1), active: time.Now()}
	s.kill = sync.OnceFunc(func() { close(s.killed) })
	return s
}

func (s *memSocket) Read() ([]byte, error) {
	select {
	case frame := <-s.in:
		s.mu.Lock()
		s.active = time.Now()
		s.mu.Unlock()
		if frame == nil {
			return nil, ErrBinary
		}
		return frame, nil
	case <-s.killed:
		return nil, errKilled
	}
}

func (s *memSocket) Write(frame []byte) error {
	s.mu.Lock()
	s.held = append(s.held, bytes.Clone(frame))
	corked := s.corked
	s.mu.Unlock()
	if corked {
		return nil
	}
	return s.pass()
}

func (s *memSocket) Cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = true
}

func (s *memSocket) Flush() error {
	s.mu.Lock()
	s.corked = false
	s.mu.Unlock()
	return s.pass()
}

// pass gives what is held to the peer, or blocks until the socket is killed.
func (s *memSocket) pass() error {
	s.mu.Lock()
	stalled := s.stalled
	if !stalled {
		s.sent = append(s.sent, s.held...)
		s.held, s.active = nil, time.Now()
	}
	s.mu.Unlock()
	if stalled {
		<-s.killed
		return errKilled
	}
	s.arrived()
	return nil
}

func (s *memSocket) arrived() {
	select {
	case s.arrivals <- struct{}{}:
	default:
	}
}

func (s *memSocket) Ping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pings++
	if !s.silent && !s.stalled {
		s.active = time.Now()
	}
}

func (s *memSocket) Close(code CloseCode, _ string) {
	s.mu.Lock()
	if s.code == 0 {
		s.code = code
	}
	stalled := s.stalled
	s.mu.Unlock()
	if stalled { // its peer answers no close frame
		select {
		case <-time.After(2 * time.Second):
		case <-s.killed:
		}
	}
	s.Kill()
}

func (s *memSocket) Kill() {
	s.kill()
	s.arrived()
}

func (s *memSocket) Active() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

func (s *memSocket) set(field *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*field = true
}

// took is what has reached the peer.
func (s *memSocket) took() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var frames []map[string]any
	for _, b := range s.sent {
		var f map[string]any
		if err := json.Unmarshal(b, &f); err != nil {
			panic(err)
		}
		frames = append(frames, f)
	}
	return frames
}

// types lists the types of the frames that have reached the peer, deltas that
// follow each other as one.
func (s *memSocket) types() (types []string) {
	for _, f := range s.took() {
		types = append(types, f["type"].(string))
	}
	return slices.Compact(types)
}

// text is what the deltas that have reached the peer say.
func (s *memSocket) text() (text string) {
	for _, f := range s.took() {
		if f["type"] == "text-delta" {
			text += f["delta"].(string)
		}
	}
	return text
}

// closed returns the code that the socket was closed with, 0 when it was only
// killed, and whether it has ended at all.
func (s *memSocket) closed() (CloseCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.killed:
		return s.code, true
	default:
		return s.code, false
	}
}

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
func (w *world) session() uuid.UUID {
	w.t.Helper()
	s, err := w.hub.sessions.New(w.ctx, "", uuid.Nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

// stored are the messages of a session.
func (w *world) stored(id uuid.UUID) []session.Message {
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
func (w *world) join(id uuid.UUID) *memSocket {
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
