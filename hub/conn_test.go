package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

func TestConnTalks(t *testing.T) {
	inWorld(t, paced(3), nil, func(w *world) {
		s := w.join(w.session())
		w.say(s, "hello")
		pass(time.Minute)
		want := []string{"ready", "message", "start", "text-start", "text-delta", "text-end", "finish"}
		if got := s.types(); !slices.Equal(got, want) || s.text() != "word word word " {
			t.Errorf("got %v saying %q", got, s.text())
		}
	})
}

// TestConnEnds: how each thing that goes wrong ends a connection.
func TestConnEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *world, s *memSocket, id session.Ref)
		want CloseCode // 0: without a word
	}{
		{"the peer goes", func(_ *world, s *memSocket, _ session.Ref) { s.Kill() }, 0},
		{"binary", func(w *world, s *memSocket, _ session.Ref) { s.in <- nil }, CloseUnsupported},
		{"not UTF-8", func(w *world, s *memSocket, _ session.Ref) { s.in <- []byte("\xff") }, CloseInvalidUTF8},
		{"deleted", func(w *world, _ *memSocket, id session.Ref) { _ = w.hub.Delete(w.ctx, id) }, CloseNotFound},
		{"expired", func(w *world, _ *memSocket, id session.Ref) { w.hub.Gone(id) }, CloseNotFound},
		{"gone, and nobody said so", func(w *world, s *memSocket, id session.Ref) {
			_ = w.hub.sessions.Delete(w.ctx, id)
			w.say(s, "hello?")
		}, CloseNotFound},
		{"the hub ends", func(w *world, _ *memSocket, _ session.Ref) { w.stop() }, CloseGoingAway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, paced(1), nil, func(w *world) {
				id := w.session()
				s := w.join(id)
				tt.do(w, s, id)
				synctest.Wait()
				if code, ended := s.ended(); !ended || code != tt.want {
					t.Errorf("closed with %d, ended %v; want %d", code, ended, tt.want)
				}
				if n := len(w.hub.conns); n != 0 && !w.hub.stopped() { // all is at rest
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

// TestServeRefuses: a socket for which there is no place is closed at once.
func TestServeRefuses(t *testing.T) {
	inWorld(t, paced(1), nil, func(w *world) {
		if code, _ := w.join(session.Ref{ID: uuid.New()}).ended(); code != CloseNotFound {
			t.Errorf("an unknown session: %d", code)
		}
		id := w.session()
		w.hub.Drain(w.ctx)
		if code, _ := w.join(id).ended(); code != CloseGoingAway {
			t.Errorf("while draining: %d", code)
		}
		w.stop()
		if code, _ := w.join(id).ended(); code != CloseGoingAway {
			t.Errorf("behind the end: %d", code)
		}
	})
}

// TestExpiry: an open connection keeps its session; when it is gone the session
// has its time, and then a connection finds nothing.
func TestExpiry(t *testing.T) {
	inWorld(t, paced(1), nil, func(w *world) {
		id := w.session()
		s := w.join(id)
		pass(24 * time.Hour)
		if _, ended := s.ended(); ended {
			t.Fatal("the connection ended")
		}
		s.Kill()
		pass(4 * time.Minute)
		s = w.join(id)
		if _, ended := s.ended(); ended {
			t.Fatal("the session is gone before its time")
		}
		s.Kill()
		pass(7 * time.Minute)
		if code, _ := w.join(id).ended(); code != CloseNotFound {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestStopInItsPlace: a stop is answered behind its reply's abort, and one that
// stops nothing at once.
func TestStopInItsPlace(t *testing.T) {
	inWorld(t, paced(100), nil, func(w *world) {
		s := w.join(w.session())
		w.say(s, `{"type":"stop"}`)
		w.say(s, "hello")
		pass(2 * time.Second)
		w.say(s, `{"type":"stop","id":"`+uuid.NewString()+`"}`)
		s.in <- []byte(`{"type":"stop"}`)
		w.say(s, "and again")
		pass(time.Minute + 50*time.Second)
		want := []string{
			"ready", "stopped", "message", "start", "text-start", "text-delta", "stopped", "text-end", "abort", "stopped",
			"message", "start", "text-start", "text-delta", "text-end", "finish",
		}
		if got := s.types(); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

// TestStopReachesTheModel in no time, also before the first token.
func TestStopReachesTheModel(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 5500 * time.Millisecond} {
		var ended time.Time
		model := modelFunc(func(ctx context.Context, m []llms.MessageContent, say func(string) error) (string, error) {
			defer func() { ended = time.Now() }()
			return paced(100)(ctx, m, say)
		})
		inWorld(t, model, nil, func(w *world) {
			conversation := w.session()
			s := w.join(conversation)
			w.say(s, "hello")
			pass(after)
			asked := time.Now()
			w.say(s, `{"type":"stop"}`)
			if !ended.Equal(asked) {
				t.Errorf("stopped after %v, the model ended %v later", after, ended.Sub(asked))
			}
			if m := w.stored(conversation); len(m) != 2 || m[1].FinishReason != session.FinishStopped {
				t.Errorf("stored: %+v", m)
			}
		})
	}
}

// TestConnPanicsNever throws frames of every kind at a connection.
func TestConnPanicsNever(t *testing.T) {
	inWorld(t, paced(2), nil, func(w *world) {
		rnd := rand.New(rand.NewPCG(5, 6))
		id := w.session()
		s := w.join(id)
		ids := []string{someID, uuid.NewString(), uuid.NewString()}
		for i := range 2000 {
			frames := []string{
				"text", `{"type":"stop"}`, `{"type":"regenerate"}`, `{"type":"ping"}`, "{", `{"type":"message"}`,
				fmt.Sprintf(`{"type":"message","id":%q,"content":"%d"}`, ids[rnd.IntN(3)], rnd.IntN(3)),
				fmt.Sprintf(`{"type":"stop","id":%q}`, ids[rnd.IntN(3)]),
				fmt.Sprintf(`{"type":"regenerate","of":%q}`, ids[rnd.IntN(3)]),
			}
			s.in <- []byte(frames[rnd.IntN(len(frames))])
			if i%10 == 0 {
				time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			}
			if i%50 == 0 {
				synctest.Wait()
				for _, f := range s.took() { // replies are named, too
					if f["type"] == "start" {
						ids[2] = f["messageId"].(string)
					}
				}
			}
		}
		pass(time.Minute)
		if _, ended := s.ended(); ended {
			t.Fatal("the connection ended")
		}
		w.say(s, `{"type":"ping"}`)
		if got := s.types(); got[len(got)-1] != "pong" {
			t.Errorf("the last frame is %s", got[len(got)-1])
		}
		wantTold(t, s.took(), w.stored(id))
	})
}

// wantTold fails the test unless a client that follows the contract has of
// these frames the messages that are stored.
func wantTold(t *testing.T, frames []map[string]any, stored []session.Message) {
	t.Helper()
	type message struct{ id, text string }
	var has []message
	text := func(f map[string]any, key string) string { s, _ := f[key].(string); return s }
	index := func(id string) int { return slices.IndexFunc(has, func(m message) bool { return m.id == id }) }
	cut := func(after string) {
		if i := index(after); i >= 0 || after == "" {
			has = has[:i+1]
		}
	}
	for _, f := range frames {
		switch f["type"] {
		case "message":
			if i := index(text(f, "id")); i < 0 || has[i].text != text(f, "content") { // else an acknowledgement
				cut(text(f, "after"))
				has = append(has, message{text(f, "id"), text(f, "content")})
			}
		case "start":
			cut(text(f, "after"))
			has = append(has, message{id: text(f, "messageId")})
		case "text-delta":
			has[len(has)-1].text += text(f, "delta")
		}
	}
	if len(has) != len(stored) {
		t.Fatalf("told of %d messages, %d are stored", len(has), len(stored))
	}
	for i, m := range stored {
		if has[i].id != m.ID.String() || has[i].text != m.Content {
			t.Errorf("message %d is told as %q, stored as %q", i, has[i].text, m.Content)
		}
	}
}
