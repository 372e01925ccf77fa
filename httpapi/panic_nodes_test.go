package httpapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session/storetest"
)

// TestNodePanics is TestStorePanics for what a store of several nodes does, at one of two
// nodes. Of what is called all the time some calls panic.
func TestNodePanics(t *testing.T) {
	for method, calls := range map[string][]int{
		"Load": {1, 2, 5, 10, 15}, "Load, done": {1, 3, 6, 12}, "Commit": nil, "Commit, done": nil, "Append": nil, "Append, done": nil,
		"Read": {1, 2}, "Read, done": {1, 2}, "Alive": {1, 2, 5},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			for _, call := range calls {
				if !nodePanics(t, &fuse{method: method, left: call}) {
					t.Errorf("call %d never came", call)
				}
			}
			for call := 1; calls == nil && nodePanics(t, &fuse{method: method, left: call}); call++ {
				if call == 100 {
					t.Fatal("there is no end of the calls")
				}
			}
		})
	}
}

func nodePanics(t *testing.T, f *fuse) (blown bool) {
	t.Helper()
	name := fmt.Sprintf("call %d", f.left)
	nodes := new(storetest.Shared)
	a, b := newRig(t, withStore(store(nodes.Node).behind(&f.Faults))), newRig(t, withStore(nodes.Node))
	here, gHere := held(1, "one ", "two")
	there, gThere := held(1, "one ", "two")
	next, gNext := held(1, "one ", "two")
	a.answer(panicSecret+" here", here)
	b.answer(panicSecret+" there", there)
	a.answer(panicSecret+" there", next)
	defer gHere.open()
	defer gThere.open()
	defer gNext.open()
	f.arm(uuid.NewString())

	// What A writes is followed, and stopped, from A.
	v := &guest{rig: a, name: name, session: b.newSession()}
	v.say(`{"type":"message","content":"`+panicSecret+` here"}`, "text-delta")
	v.say(`{"type":"stop"}`, "stopped")
	v.leave()
	// What B writes is followed at A, which goes on with it when B goes.
	u := &guest{rig: a, name: name, session: b.newSession()}
	along := b.follow("POST", "/chat", chatBody(u.session, panicSecret+" there"))
	for along.text != "one " {
		along.until("text-delta")
	}
	u.say(`{"type":"ping"}`, "text-delta")
	u.leave()
	u.say(`{"type":"ping"}`, "text-delta")
	if u.ws == nil {
		u.say(`{"type":"ping"}`, "text-delta")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	b.hub.Drain(over)
	if events := along.rest(); along.done {
		t.Errorf("%s: B's stream ends with %+v", name, events)
	}
	gNext.open()
	u.leave()
	eventually(t, name+": the reply is ended by A", func() bool {
		p := a.dial("/ws/" + u.session)
		defer p.ws.CloseNow()
		f, err := p.read()
		return err == nil && f.Type == "ready" && f.Running == "" && len(f.Messages) == 2
	})
	blown = f.mend()
	for _, g := range []*guest{v, u} {
		a.do("POST", "/sessions/"+g.session+"/stop", "").want(200) // what was to stop it may have failed
		if m := a.session(g.session).Messages; len(m) > 0 && m[len(m)-1].Role != "assistant" {
			t.Errorf("%s: the last message is %+v", name, m[len(m)-1])
		}
		g.isWhole()
	}
	a.drains()
	b.stop()
	wantStacks(t, a, map[bool]int{true: 1}[blown])
	if strings.Contains(b.log.String(), "stack=") {
		t.Errorf("%s: B's log: %s", name, b.log.String())
	}
	return blown
}

// TestYieldPanics: a node that drains, and whose reply cannot be left to another, ends
// all the same.
func TestYieldPanics(t *testing.T) {
	t.Parallel()
	f := &fuse{method: "Commit", left: 1}
	a := newRig(t, withStore(store(shared).behind(&f.Faults)))
	answer, g := held(1, "one ", "two")
	defer g.open()
	a.answer(panicSecret, answer)
	p := a.join("/ws")
	p.say("", panicSecret)
	reply := p.begin()
	p.delta(&reply, "one ")
	f.arm(uuid.NewString())
	closed := p.closes(1001)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	a.hub.Drain(over)
	closed()
	a.stop()
	if !f.mend() {
		t.Error("it did not panic")
	}
	wantStacks(t, a, 1)
}
