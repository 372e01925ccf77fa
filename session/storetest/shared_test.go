package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// run has a Manager work until the function that it returns is called.
func run(m *session.Manager) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// TestShared holds the simulated stores to the table, also behind Faults of which none
// is set.
func TestShared(t *testing.T) {
	memory := func() (session.Backend, session.Kind) { return session.Memory() }
	for name, open := range map[string]func() (session.Backend, session.Kind){"memory": memory, "shared": new(Shared).Node} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(t *testing.T) Sessions {
				b, kind := open()
				m := session.NewManager(&Faults{Backend: b}, kind, session.Config{})
				t.Cleanup(run(m))
				return m
			})
		})
	}
}

// TestSharedNodes: what one node writes another follows, and goes on with when the
// first has died.
func TestSharedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Shared
		open := func() (m *session.Manager, stop func()) {
			b, kind := s.Node()
			m = session.NewManager(b, kind, session.Config{})
			return m, run(m)
		}
		a, stopA := open()
		b, stopB := open()
		defer stopB()
		ref := Made(t, a, session.Creation{ID: uuid.New()})
		said, err := a.Say(t.Context(), ref, Submit("hi"))
		if err != nil {
			t.Fatal(err)
		}
		said.Text.Append([]byte("so far"))
		followed, err := b.Follow(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := followed.String(followed.Safe()); got != "so far" {
			t.Errorf("followed %q", got)
		}
		if _, _, err := b.Take(t.Context(), ref, said.Running.Reply); !errors.Is(err, session.ErrBusy) {
			t.Errorf("taken from a node that lives: %v", err)
		}
		stopA()
		taken, ended, err := b.Take(t.Context(), ref, said.Running.Reply)
		if err != nil || ended != "" || taken.Text.String(taken.Text.Safe()) != "so far" {
			t.Fatalf("taken: %+v, %q, %v", taken, ended, err)
		}
		taken.Text.Append([]byte(" so good"))
		if err := b.Finish(t.Context(), taken.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
			t.Fatal(err)
		}
		got, err := b.Get(t.Context(), ref, session.Position{})
		if err != nil || len(got.Messages) != 2 || got.Messages[1].Content != "so far so good" {
			t.Errorf("stored: %+v, %v", got, err)
		}
	})
}

// TestFaults: a call that fails before it is made changes nothing; one whose answer is
// lost has been made, and is known again.
func TestFaults(t *testing.T) {
	for _, done := range []bool{false, true} {
		b, kind := new(Shared).Node()
		f := &Faults{Backend: b}
		m := session.NewManager(f, kind, session.Config{})
		defer run(m)()
		ref := Made(t, m, session.Creation{ID: uuid.New()})
		f.Set(func(c Call) error {
			if c.Method == "Commit" && c.ID == ref.ID && c.Done == done {
				return session.ErrUnavailable
			}
			return nil
		})
		turn := Submit("hi")
		if _, err := m.Say(t.Context(), ref, turn); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("done %v: %v", done, err)
		}
		f.Set(nil)
		s, err := m.Get(t.Context(), ref, session.Position{})
		if err != nil || (s.Running != nil) != done {
			t.Errorf("done %v: %+v, %v", done, s, err)
		}
		if said, err := m.Say(t.Context(), ref, turn); err != nil || !said.Started {
			t.Errorf("done %v: asked again %+v, %v", done, said, err)
		}
	}
}

// taken is what a hub would hear.
type taken struct {
	session.Events
	connections []uuid.UUID
}

func (e *taken) Taken(_ session.Ref, c uuid.UUID) { e.connections = append(e.connections, c) }

// TestConnectFails: a connection whose claim could not be stored has taken the
// conversation from nobody.
func TestConnectFails(t *testing.T) {
	b, kind := session.Memory()
	f, heard := &Faults{Backend: b}, &taken{}
	m := session.NewManager(f, kind, session.Config{})
	m.Watch(heard)
	ref := Made(t, m, session.Creation{ID: uuid.New()})
	first, second := session.Claim{Connection: uuid.New()}, session.Claim{Connection: uuid.New()}
	if err := m.Connect(t.Context(), ref, first); err != nil {
		t.Fatal(err)
	}
	f.Set(func(c Call) error {
		if c.Method == "Commit" {
			return session.ErrUnavailable
		}
		return nil
	})
	if err := m.Connect(t.Context(), ref, second); !errors.Is(err, session.ErrUnavailable) || heard.connections != nil {
		t.Errorf("%v, and taken from %v", err, heard.connections)
	}
	f.Set(nil)
	if err := m.Connect(t.Context(), ref, second); err != nil || len(heard.connections) != 1 || heard.connections[0] != first.Connection {
		t.Errorf("%v, and taken from %v", err, heard.connections)
	}
}
