package storetest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestPanicsInTheBackground: what panics in a round that nobody waits for is logged once,
// without what was said, and the next round comes.
func TestPanicsInTheBackground(t *testing.T) {
	for _, method := range []string{"Touch", "Touch, done", "Append", "Append, done", "Read", "Read, done", "Alive", "Load"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Shared
				var log bytes.Buffer
				other, kind := s.Node()
				a := session.NewManager(other, kind, session.Config{})
				defer run(a)()
				b, kind := s.Node()
				f := &Faults{Backend: b}
				m := session.NewManager(f, kind, session.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				stop := run(m)
				defer stop()

				// It writes one reply, follows another, and is told of a third conversation.
				mine, theirs := Made(t, a, session.Creation{ID: uuid.New()}), Made(t, a, session.Creation{ID: uuid.New()})
				own, err := m.Say(t.Context(), mine, Submit("hi"))
				if err != nil {
					t.Fatal(err)
				}
				said, err := a.Say(t.Context(), theirs, Submit("hi"))
				if err != nil {
					t.Fatal(err)
				}
				followed, err := m.Follow(t.Context(), theirs)
				if err != nil || m.Hold(t.Context(), mine) != nil {
					t.Fatal(err)
				}
				var calls atomic.Int32
				f.Set(func(c Call) error {
					if at, done := strings.CutSuffix(method, ", done"); c.Method == at && c.Done == done {
						if calls.Add(1) == 1 {
							panic("my darling secret")
						}
					}
					return nil
				})
				own.Text.Append([]byte("one "))
				said.Text.Append([]byte("two "))
				if err := a.Stop(t.Context(), mine, own.Running.Reply); err != nil { // which m hears of, and loads
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				own.Text.Append([]byte("more"))
				said.Text.Append([]byte("more"))
				time.Sleep(5 * time.Second)
				if got := own.Text.String(own.Text.Safe()); got != "one more" {
					t.Errorf("written: %q", got)
				}
				if got := followed.String(followed.Safe()); got != "two more" {
					t.Errorf("followed: %q", got)
				}
				stop()
				if n := calls.Load(); n < 2 {
					t.Errorf("%d calls", n)
				}
				if n := strings.Count(log.String(), "stack="); n != 1 || strings.Contains(log.String(), "darling") {
					t.Errorf("%d stacks, want 1:\n%s", n, log.String())
				}
			})
		})
	}
}
