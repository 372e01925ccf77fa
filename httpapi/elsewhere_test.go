package httpapi_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestEndBeforeTheStoreIsAsked: H9. A reply's end is told before the store is asked what
// lies behind it, which may take a while.
func TestEndBeforeTheStoreIsAsked(t *testing.T) {
	shared, f := new(storetest.Shared), new(storetest.Faults)
	bubble(t, func(t *testing.T, r *rig) {
		writer := session.NewManager(node(shared.Node()))
		go func() { _ = writer.Run(t.Context()) }()
		made, err := writer.New(t.Context(), "", uuid.Nil)
		if err != nil {
			t.Fatal(err)
		}
		said, err := writer.Say(t.Context(), made.Ref(), storetest.Submit("hi"))
		if err != nil {
			t.Fatal(err)
		}
		p := r.join("/ws/" + made.ID.String())
		reply := p.begin()
		said.Text.Append([]byte("whole"))
		p.delta(&reply, "whole")

		const slow = 4 * time.Second
		var loads atomic.Int32
		f.Set(func(c storetest.Call) error {
			if c.Method == "Load" && !c.Done {
				if loads.Add(1) > 1 { // by the first the end is known
					time.Sleep(slow)
				}
			}
			return nil
		})
		ended := time.Now()
		if err := writer.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
			t.Fatal(err)
		}
		p.finish(&reply)
		if took := time.Since(ended); took >= slow {
			t.Errorf("the end comes after %v", took)
		}
		pass(time.Minute)
		if loads.Load() < 2 {
			t.Error("the store was not asked")
		}
	}, withStore(store(shared.Node).behind(f)))
}

// TestOffsetBeyondTheTextElsewhere: S18. A page that claims more of a reply than there is
// gets it from its beginning, at once, also at a node that does not write it.
func TestOffsetBeyondTheTextElsewhere(t *testing.T) {
	shared := new(storetest.Shared)
	a, b := newRig(t, withStore(shared.Node)), newRig(t, withStore(shared.Node))
	answer, g := held(2, "né", "👋", "!")
	a.answer("go", answer)
	p := a.join("/ws")
	p.say("", "go")
	reply := p.begin()
	p.delta(&reply, "né👋")
	q := b.join("/ws/" + p.ready.Conversation + "?after=" + reply.id + "&offset=8")
	again := q.begin()
	q.delta(&again, "né👋")
	if again.offset != 0 || again.id != reply.id {
		t.Errorf("it begins with %+v", again)
	}
	g.open()
	q.finish(&again)
	if again.text != "né👋!" {
		t.Errorf("it says %q", again.text)
	}
}

// TestDeepChatLosesItsMessage: S22. Where a failover loses the widget's message, it is told
// so; the answer before does not come again in its place.
func TestDeepChatLosesItsMessage(t *testing.T) {
	shared := new(storetest.Shared)
	r := newRig(t, withStore(shared.Node))
	answer, g := held(1, "so ", "long")
	defer g.open()
	r.answer("lost", answer)
	p := r.deepChat("/ws")
	p.say("kept")
	p.wantShown("You said: kept")
	restore := shared.Save()
	p.say("lost")
	g.wait(t)
	if f := p.next(); f.Text == nil || *f.Text != "so " {
		t.Errorf("got %+v", f)
	}
	restore()
	f := p.next()
	if f.Text != nil && *f.Text == p.end { // of the reply that is gone
		f = p.next()
	}
	if f.Error == "" || !strings.Contains(f.Error, "Send it again") {
		t.Errorf("it is told %+v", f)
	}
	p.say("lost, again")
	p.wantShown("You said: lost, again")
}

// TestAnswerWhileTheStoreIsAsked: an answer that needs no store does not wait for what a
// connection asks the store.
func TestAnswerWhileTheStoreIsAsked(t *testing.T) {
	shared, f := new(storetest.Shared), new(storetest.Faults)
	r := newRig(t, withStore(store(shared.Node).behind(f)))
	p := r.join("/ws")
	elsewhere := session.NewManager(node(shared.Node()))
	found, err := elsewhere.Check(t.Context(), uuid.MustParse(p.ready.Conversation), "")
	if err != nil {
		t.Fatal(err)
	}
	var loads atomic.Int32
	asked, answered := make(chan struct{}), make(chan struct{})
	f.Set(func(c storetest.Call) error {
		if c.Method == "Load" && !c.Done {
			if n := loads.Add(1); n == 2 { // by the first the change is known
				close(asked)
			}
			if loads.Load() > 1 {
				<-answered
			}
		}
		return nil
	})
	defer close(answered)
	if _, err := elsewhere.Say(t.Context(), found.Ref(), storetest.Submit("hi")); err != nil {
		t.Fatal(err)
	}
	<-asked
	p.patience = 5 * time.Second
	p.ask(map[string]string{"type": "ping"})
	p.want("pong")
}
