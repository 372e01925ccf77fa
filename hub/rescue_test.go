package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// secret is what no log may hold.
const secret = "my darling secret"

// words is how many words, one a second, every reply has.
const words = 6

// paced is a model that takes its time.
type paced struct{ llms.Model }

func (paced) GenerateContent(ctx context.Context, _ []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	for range words {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := o.StreamingFunc(ctx, []byte("word ")); err != nil {
			return nil, err
		}
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{StopReason: "stop"}}}, nil
}

// fuse panics once, at the n-th call of one method.
type fuse struct {
	at   string
	left atomic.Int32
}

func (f *fuse) burn(method string) {
	if f != nil && method == f.at && f.left.Add(-1) == 0 {
		panic("cannot bear " + secret)
	}
}

// dialect is ChatHub with a fuse.
type dialect struct {
	wire.ChatHub
	*fuse
}

func (d *dialect) Request(frame []byte) (hub.Request, error) {
	d.burn("Request")
	return d.ChatHub.Request(frame)
}

func (d *dialect) Ready(out *reply.Outbox, r hub.Ready) bool {
	d.burn("Ready")
	return d.ChatHub.Ready(out, r)
}

func (d *dialect) Message(out *reply.Outbox, m session.Message, after uuid.UUID) {
	d.burn("Message")
	d.ChatHub.Message(out, m, after)
}

func (d *dialect) Answer(a hub.Answer) []byte {
	d.burn("Answer")
	return d.ChatHub.Answer(a)
}

func (d *dialect) Start(out *reply.Outbox, r *reply.Reply, at *session.Cursor) error {
	d.burn("Start")
	return d.ChatHub.Start(out, r, at)
}

func (d *dialect) Text(out *reply.Outbox, r *reply.Reply, at *session.Cursor, p []byte) {
	if d.fuse != nil && d.at == "Text" && d.left.Load() == 1 {
		out.Begin() // it panics within a message
	}
	d.burn("Text")
	d.ChatHub.Text(out, r, at, p)
}

func (d *dialect) End(out *reply.Outbox, r *reply.Reply, e *session.TextEnd) error {
	d.burn("End")
	return d.ChatHub.End(out, r, e)
}

// socket is a WebSocket in memory, with a fuse.
type socket struct {
	*fuse
	in     chan []byte // nil: a binary message
	killed chan struct{}
	once   sync.Once
	pings  atomic.Int64 // the time of the last, which it answers at once

	mu   sync.Mutex
	out  []byte
	code hub.CloseCode
}

func (s *socket) Start(func([]byte, bool)) {}
func (s *socket) Kill()                    { s.once.Do(func() { close(s.killed) }) }

func (s *socket) Write(p []byte, _ bool) (int, error) {
	s.burn("Write")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *socket) Await() { s.burn("Await") }

func (s *socket) Read() ([]byte, error) {
	s.burn("Read")
	select {
	case p := <-s.in:
		if p == nil {
			return nil, hub.ErrBinary
		}
		return p, nil
	case <-s.killed:
		return nil, errors.New("closed")
	}
}

func (s *socket) Responds(context.Context) error { return nil }

func (s *socket) Ping() {
	s.burn("Ping")
	s.pings.Store(time.Now().UnixNano())
}

func (s *socket) CloseFrame(code hub.CloseCode, _ string) []byte {
	s.burn("CloseFrame")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code == 0 {
		s.code = code
	}
	time.AfterFunc(time.Second, s.Kill)
	return []byte{0x88, 2, byte(code >> 8), byte(code)}
}

func (s *socket) Active() time.Time {
	s.burn("Active")
	return time.Unix(0, s.pings.Load())
}

// ended tells whether the socket has, and with what code.
func (s *socket) ended() (hub.CloseCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.killed:
		return s.code, true
	default:
		return s.code, false
	}
}

// text is what its peer has of replies. All that was sent is whole messages.
func (s *socket) text(t *testing.T) (text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := s.out; len(b) > 0; {
		head, size := 2, 0
		if len(b) >= 2 {
			size = int(b[1])
		}
		if size == 126 && len(b) >= 4 {
			head, size = 4, int(b[2])<<8|int(b[3])
		}
		if len(b) < head+size {
			t.Fatalf("a frame is cut: %q", b)
		}
		p, op := b[head:head+size], b[0]
		b = b[head+size:]
		if op == 0x88 {
			if len(b) > 0 {
				t.Fatalf("behind the close frame came %q", b)
			}
			break
		}
		var f struct{ Delta string }
		if err := json.Unmarshal(p, &f); err != nil || op != 0x81 {
			t.Fatalf("frame %x %q: %v", op, p, err)
		}
		text += f.Delta
	}
	return text
}

// world is a hub in a bubble.
type world struct {
	t        *testing.T
	hub      *hub.Hub
	sessions *session.Manager
	log      bytes.Buffer // read it behind stop
	stop     func()
}

func inWorld(t *testing.T, f func(w *world)) (log string) {
	t.Helper()
	w := &world{}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		logger := slog.New(slog.NewTextHandler(&w.log, nil))
		w.sessions = session.NewMemory(session.Config{Logger: logger})
		w.hub = hub.New(hub.Config{Sessions: w.sessions, Model: paced{}, Logger: logger})
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = w.sessions.Run(ctx) })
		running.Go(func() { _ = w.hub.Run(ctx) })
		w.stop = func() { cancel(); running.Wait() }
		defer w.stop()
		f(w)
	})
	return w.log.String()
}

func (w *world) session() session.Ref {
	s, err := w.sessions.New(w.t.Context(), "", uuid.Nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Ref()
}

// join connects a client, whose dialect and socket have a fuse; nil: they have none.
func (w *world) join(ref session.Ref, f *fuse) *socket {
	s := &socket{fuse: f, in: make(chan []byte), killed: make(chan struct{})}
	s.pings.Store(time.Now().UnixNano())
	w.hub.Serve(w.t.Context(), s, hub.Join{Ref: ref, Arrived: time.Now(), Offset: -1, Dialect: &dialect{fuse: f}})
	synctest.Wait()
	return s
}

// say has the client send a frame, unless it is gone.
func (w *world) say(s *socket, frame string) {
	var p []byte
	if frame != "" {
		p = []byte(frame)
	}
	select {
	case s.in <- p:
	case <-s.killed:
	}
	synctest.Wait()
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestConnectionPanics blows, at every call of every method of a dialect and of a
// socket, whichever goroutine makes it. That connection ends, and nothing else: the
// reply that it followed, another's connection, the conversation, the hub's end.
func TestConnectionPanics(t *testing.T) {
	for _, part := range []struct {
		name    string
		methods []string
		code    hub.CloseCode // 0: the peer may see none
	}{
		{"dialect", []string{"Request", "Ready", "Message", "Answer", "Start", "Text", "End"}, hub.CloseTryLater},
		{"socket", []string{"Await", "Read", "Write", "Ping", "Active", "CloseFrame"}, 0},
	} {
		for _, method := range part.methods {
			t.Run(part.name+"/"+method, func(t *testing.T) {
				calls := 0
				for connectionPanics(t, method, calls+1, part.code) {
					if calls++; calls == 100 {
						t.Fatal("there is no end of the calls")
					}
				}
				if calls == 0 {
					t.Error("it was never called")
				}
			})
		}
	}
}

// connectionPanics plays a conversation over a connection with a fuse, and reports
// whether that has blown.
func connectionPanics(t *testing.T, method string, n int, code hub.CloseCode) (blown bool) {
	t.Helper()
	whole, name := strings.Repeat("word ", words), fmt.Sprintf("%s, call %d", method, n)
	f := &fuse{at: method}
	f.left.Store(int32(n))
	log := inWorld(t, func(w *world) {
		other := w.join(w.session(), nil)
		w.say(other, `{"type":"message","content":"hello"}`)
		ref := w.session()
		s := w.join(ref, f)
		for _, frame := range []string{
			`{"type":"message","content":"` + secret + `"}`, `{"type":"ping"}`, `{"type":"nonsense"}`, `{"type":"stop"}`,
			`{"type":"message","content":"` + secret + `, again"}`,
		} {
			w.say(s, frame)
			pass(1500 * time.Millisecond)
		}
		pass(2 * time.Minute) // it is pinged
		panicked := f.left.Load() <= 0
		pass(2 * time.Second) // what closes is closed
		if !panicked {
			w.say(s, "") // a binary message
			pass(time.Minute)
		} else if got, ended := s.ended(); !ended || code != 0 && got != code {
			w.t.Errorf("%s: closed with %d, ended %v; want %d", name, got, ended, code)
		}
		blown = f.left.Load() <= 0
		s.text(w.t)

		if got := other.text(w.t); got != whole {
			w.t.Errorf("%s: another's reply is %q", name, got)
		}
		if _, ended := other.ended(); ended {
			w.t.Errorf("%s: another's connection has ended", name)
		}
		back := w.join(ref, nil)
		if _, ended := back.ended(); ended {
			w.t.Errorf("%s: the conversation cannot be joined", name)
		}
		w.say(back, `{"type":"message","content":"and now?"}`)
		pass(time.Minute)
		if got := back.text(w.t); !strings.HasSuffix(got, whole) {
			w.t.Errorf("%s: the next reply is %q", name, got)
		}
		stored, err := w.sessions.Get(w.t.Context(), ref, session.Position{})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range stored.Messages {
			if m.Role == session.Assistant && m.FinishReason != session.FinishStopped && m.Content != whole {
				w.t.Errorf("%s: stored is %q, %s", name, m.Content, m.FinishReason)
			}
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		w.hub.Drain(ctx)
		if took := time.Since(began); took > 5*time.Second {
			w.t.Errorf("%s: the drain took %v", name, took)
		}
	})
	wantStacks(t, name, log, map[bool]int{true: 1}[blown])
	return blown
}

// wantStacks holds that the log has so many stacks, and nothing that was said.
func wantStacks(t *testing.T, name, log string, n int) {
	t.Helper()
	if got := strings.Count(log, "stack="); got != n || strings.Count(log, "level=ERROR") != n {
		t.Errorf("%s: the log has %d stacks, want %d:\n%s", name, got, n, log)
	}
	if strings.Contains(log, "darling") {
		t.Errorf("%s: the log has what was said:\n%s", name, log)
	}
}

// TestPushPanics: where the turn's own goroutine brings the text to the socket, a panic
// there is the connection's all the same, and the log has the stack where it began.
func TestPushPanics(t *testing.T) {
	for _, method := range []string{"Text", "Write"} {
		pushed := false
		for n := 1; n < 12 && !pushed; n++ {
			f := &fuse{at: method}
			f.left.Store(int32(n))
			log := inWorld(t, func(w *world) {
				ref := w.session()
				s := w.join(ref, f)
				w.say(s, `{"type":"message","content":"hello"}`)
				pass(time.Minute)
				stored, err := w.sessions.Get(w.t.Context(), ref, session.Position{})
				if err != nil {
					w.t.Fatal(err)
				}
				if m := stored.Messages; f.left.Load() <= 0 && len(m) > 0 && (len(m) != 2 || m[1].Content != strings.Repeat("word ", words) || m[1].FinishReason != session.FinishStop) {
					w.t.Errorf("%s: stored is %+v", method, m)
				}
				if _, ended := s.ended(); ended != (f.left.Load() <= 0) {
					w.t.Errorf("%s, call %d: the connection ended: %v", method, n, ended)
				}
			})
			pushed = strings.Contains(log, "reply.(*follower).push") && strings.Contains(log, "hub.(*Hub).run")
			wantStacks(t, method, log, map[bool]int{true: 1}[f.left.Load() <= 0])
		}
		if !pushed {
			t.Errorf("%s was never called by the turn", method)
		}
	}
}
