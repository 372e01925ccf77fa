package filestore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestReplyGoesOn: a reply that ran when the process ended is taken over behind
// its last byte; one that was left alone for over ten minutes is only to be ended.
func TestReplyGoesOn(t *testing.T) {
	for down, ended := range map[time.Duration]string{
		time.Minute: "", 9 * time.Minute: "", 11 * time.Minute: session.FinishError, 100 * time.Hour: session.FinishError,
	} {
		t.Run(down.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				store, err := open(d, "disk", quiet(Config{}))
				if err != nil {
					t.Fatal(err)
				}
				s := newScript(store)
				s.must(t, create("a"), say("a", "hi"))
				time.Sleep(time.Hour) // the model is slow
				s.must(t, write("a", "Hell\xc3"), write("a", "\xb6, w\xc3"))
				before := s.texts["a"]
				time.Sleep(down)

				again, err := open(d.afterProcess(), "disk", quiet(Config{}))
				if err != nil {
					t.Fatal(err)
				}
				heard := make(events, 1)
				again.Watch(heard)
				end := runs(t, again)
				defer end()
				if got := <-heard; got != before.Reply {
					t.Fatalf("%v is orphaned, want %v", got, before.Reply)
				}
				said, how, err := again.Take(t.Context(), s.refs["a"], before.Reply)
				if err != nil || how != ended {
					t.Fatalf("taken: %q, %v; want %q", how, err, ended)
				}
				if got, want := said.Text.String(said.Text.Appended()), "Hellö, w"; got != want {
					t.Errorf("it goes on behind %q, want %q", got, want)
				}
				if !said.Started || said.Running.Epochs[0].At != len("Hellö, w") || len(said.History) != 1 {
					t.Errorf("said %+v", said)
				}
				said.Text.Append([]byte("orld"))
				synctest.Wait()
				if err := again.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
					t.Fatal(err)
				}
				got, err := again.Get(t.Context(), s.refs["a"], session.Position{})
				if err != nil || got.Messages[1].Content != "Hellö, world" {
					t.Errorf("it is %+v, %v", got.Messages, err)
				}
			})
		})
	}
}

// events hears which replies are orphaned.
type events chan uuid.UUID

func (e events) Orphaned(_ session.Ref, reply uuid.UUID) { e <- reply }
func (events) Changed(session.Ref)                       {}
func (events) Gone(session.Ref)                          {}
func (events) Taken(session.Ref, uuid.UUID)              {}
func (events) Stopping(session.Ref, uuid.UUID)           {}

// TestConnectionsAreNotWritten: they end with the process.
func TestConnectionsAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	store := opened(t, dir, Config{})
	s := newScript(store)
	s.must(t, create("a"))
	before := store.Stats().Size
	var last uuid.UUID
	for range 5 {
		last = uuid.New()
		if err := s.Connect(t.Context(), s.refs["a"], session.Claim{Connection: last}); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.Stats().Size - before; n != 0 {
		t.Errorf("%d bytes were written", n)
	}
	s.must(t, say("a", "hi"), write("a", "ho"))
	s.Disconnect(s.refs["a"], last)
	s.must(t, finish("a", "!"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again := opened(t, dir, Config{})
	if err := again.Connect(t.Context(), s.refs["a"], session.Claim{Connection: uuid.New(), Mode: session.FromNobody}); err != nil {
		t.Error(err)
	}
	got, err := again.Get(t.Context(), s.refs["a"], session.Position{})
	if err != nil || len(got.Messages) != 2 || got.Messages[1].Content != "ho!" {
		t.Errorf("%+v, %v", got, err)
	}
}
