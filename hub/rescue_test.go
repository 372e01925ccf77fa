package hub

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// secret is what no log may hold.
const secret = "my darling secret"

// fuse panics once, at the n-th call of one method.
type fuse struct {
	at   string
	left atomic.Int32
}

func newFuse(at string, n int) *fuse {
	f := &fuse{at: at}
	f.left.Store(int32(n))
	return f
}

func (f *fuse) burn(method string) {
	if method == f.at && f.left.Add(-1) == 0 {
		panic("cannot bear " + secret)
	}
}

func (f *fuse) blown() bool { return f.left.Load() <= 0 }

// brokenDialect is ChatHub with a fuse.
type brokenDialect struct {
	ChatHub
	*fuse
}

func (d brokenDialect) request(frame []byte) (request, error) {
	d.burn("request")
	return d.ChatHub.request(frame)
}

func (d brokenDialect) refusal(e *Error, ref uuid.UUID) []byte {
	d.burn("refusal")
	return d.ChatHub.refusal(e, ref)
}

func (d brokenDialect) said(f *follow, m said) error {
	d.burn("said")
	return d.ChatHub.said(f, m)
}

func (d brokenDialect) start(f *follow, r *Reply, offset int) error {
	d.burn("start")
	return d.ChatHub.start(f, r, offset)
}

func (d brokenDialect) delta(f *follow, r *Reply, delta []byte, offset int) error {
	d.burn("delta")
	return d.ChatHub.delta(f, r, delta, offset)
}

func (d brokenDialect) end(f *follow, r *Reply, e *End) error {
	d.burn("end")
	return d.ChatHub.end(f, r, e)
}

func (d brokenDialect) stopped(f *follow, outcome string) error {
	d.burn("stopped")
	return d.ChatHub.stopped(f, outcome)
}

func (d brokenDialect) pong() []byte {
	d.burn("pong")
	return d.ChatHub.pong()
}

func (d brokenDialect) silent() bool {
	d.burn("silent")
	return d.ChatHub.silent()
}

// brokenSocket is a memSocket with a fuse.
type brokenSocket struct {
	*memSocket
	*fuse
}

func (s brokenSocket) Await()                { s.burn("Await"); s.memSocket.Await() }
func (s brokenSocket) Read() ([]byte, error) { s.burn("Read"); return s.memSocket.Read() }
func (s brokenSocket) Write(p []byte) error  { s.burn("Write"); return s.memSocket.Write(p) }
func (s brokenSocket) Cork()                 { s.burn("Cork"); s.memSocket.Cork() }
func (s brokenSocket) Flush() error          { s.burn("Flush"); return s.memSocket.Flush() }
func (s brokenSocket) FlushNow() bool        { s.burn("FlushNow"); return s.memSocket.FlushNow() }
func (s brokenSocket) Ping()                 { s.burn("Ping"); s.memSocket.Ping() }
func (s brokenSocket) Alive(ctx context.Context) error {
	s.burn("Alive")
	return s.memSocket.Alive(ctx)
}
func (s brokenSocket) Kill()             { s.burn("Kill"); s.memSocket.Kill() }
func (s brokenSocket) Active() time.Time { s.burn("Active"); return s.memSocket.Active() }
func (s brokenSocket) Close(code CloseCode, reason string) {
	s.burn("Close")
	s.memSocket.Close(code, reason)
}

// TestConnectionPanics blows, at every call of every method of a dialect and of a
// socket, whichever goroutine makes it. That connection ends, and nothing else: the
// reply that it followed, another's connection, the conversation, the hub's end.
func TestConnectionPanics(t *testing.T) {
	for _, part := range []struct {
		name    string
		methods []string
		code    CloseCode // 0: the peer may see none
	}{
		{"dialect", []string{"silent", "request", "said", "start", "delta", "end", "stopped", "pong", "refusal"}, CloseTryLater},
		{"socket", []string{"Await", "Read", "Write", "Cork", "Flush", "FlushNow", "Ping", "Active", "Close"}, 0},
	} {
		for _, method := range part.methods {
			t.Run(part.name+"/"+method, func(t *testing.T) {
				calls := 0
				for connectionPanics(t, newFuse(method, calls+1), part.code) {
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
func connectionPanics(t *testing.T, f *fuse, code CloseCode) (blown bool) {
	t.Helper()
	const words = 6
	whole := strings.Repeat("word ", words)
	var log bytes.Buffer
	config := func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	inWorld(t, paced(words), config, func(w *world) {
		other := w.join(w.session())
		w.say(other, `{"type":"message","content":"hello"}`)
		id := w.session()
		sock := newMemSocket()
		w.hub.Serve(w.ctx, brokenSocket{sock, f}, Join{
			Conversation: id, Arrived: time.Now(), Offset: -1, Dialect: brokenDialect{fuse: f},
		})
		synctest.Wait()
		for _, frame := range []string{
			`{"type":"message","content":"` + secret + `"}`, `{"type":"ping"}`, `{"type":"nonsense"}`, `{"type":"stop"}`,
			`{"type":"message","content":"` + secret + `, again"}`,
		} {
			w.say(sock, frame)
			pass(1500 * time.Millisecond)
		}
		pass(2 * time.Minute) // it is pinged
		if !f.blown() {
			sock.in <- nil // a binary message
			pass(time.Minute)
		} else if got, ended := sock.ended(); !ended || code != 0 && got != code {
			t.Errorf("%s: closed with %d, ended %v; want %d", f.at, got, ended, code)
		}
		blown = f.blown()

		if got := other.text(); got != whole {
			t.Errorf("%s: another's reply is %q", f.at, got)
		}
		if _, ended := other.ended(); ended {
			t.Errorf("%s: another's connection has ended", f.at)
		}
		back := w.join(id)
		if _, ended := back.ended(); ended {
			t.Errorf("%s: the conversation cannot be joined", f.at)
		}
		w.say(back, `{"type":"message","content":"and now?"}`)
		pass(time.Minute)
		if got := back.text(); !strings.HasSuffix(got, whole) {
			t.Errorf("%s: the next reply is %q", f.at, got)
		}
		for _, m := range w.stored(id) {
			if m.Role == session.Assistant && m.FinishReason != session.FinishStopped && m.Content != whole {
				t.Errorf("%s: stored is %q, %s", f.at, m.Content, m.FinishReason)
			}
		}
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		defer cancel()
		began := time.Now()
		w.hub.Drain(ctx)
		if took := time.Since(began); took > drainSpread {
			t.Errorf("%s: the drain took %v", f.at, took)
		}
		w.stop()
	})
	stacks := strings.Count(log.String(), "stack=")
	if want := map[bool]int{true: 1}[blown]; stacks != want || strings.Count(log.String(), "level=ERROR") != want {
		t.Errorf("%s: the log has %d stacks, want %d:\n%s", f.at, stacks, want, log.String())
	}
	if strings.Contains(log.String(), "darling") {
		t.Errorf("the log has what was said:\n%s", log.String())
	}
	return blown
}

// TestPushPanics: where the turn's own goroutine brings the text to the socket, a panic
// there is the connection's all the same.
func TestPushPanics(t *testing.T) {
	for _, method := range []string{"delta", "FlushNow"} {
		var log bytes.Buffer
		config := func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
		inWorld(t, paced(6), config, func(w *world) {
			id, sock, f := w.session(), newMemSocket(), newFuse(method, 3)
			w.hub.Serve(w.ctx, brokenSocket{sock, f}, Join{
				Conversation: id, Arrived: time.Now(), Offset: -1, Dialect: brokenDialect{fuse: f},
			})
			w.say(sock, "hello")
			pass(time.Minute)
			if code, ended := sock.ended(); !ended || code != CloseTryLater {
				t.Errorf("%s: closed with %d, ended %v", method, code, ended)
			}
			if m := w.stored(id); len(m) != 2 || m[1].Content != strings.Repeat("word ", 6) || m[1].FinishReason != session.FinishStop {
				t.Errorf("%s: stored is %+v", method, m)
			}
		})
		if !strings.Contains(log.String(), "hub.(*follower).push") || !strings.Contains(log.String(), "hub.(*Hub).turn") {
			t.Errorf("%s was not called by the turn:\n%s", method, log.String())
		}
	}
}

// TestRegistryPanics: what panics on the hub's loop is its caller's panic, and the loop
// goes on.
func TestRegistryPanics(t *testing.T) {
	var log bytes.Buffer
	config := func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	inWorld(t, paced(1), config, func(w *world) {
		for range 3 {
			err := w.hub.rescue("a caller", session.Ref{}, func() error { return w.hub.do(func() { panic(secret) }) })
			if !panicked(err) {
				t.Errorf("the caller got %v", err)
			}
		}
		w.hub.tell(session.Ref{}, func() { panic(secret) })
		s := w.join(w.session())
		w.say(s, "hello")
		pass(time.Minute)
		if want := []string{"ready", "message", "start", "text-start", "text-delta", "text-end", "finish"}; !slices.Equal(s.types(), want) {
			t.Errorf("got %v", s.types())
		}
	})
	if n := strings.Count(log.String(), "stack="); n != 4 || strings.Contains(log.String(), "darling") {
		t.Errorf("%d stacks in the log, want 4:\n%s", n, log.String())
	}
}
