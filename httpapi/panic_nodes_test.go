package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// fusedLog is a store of several nodes, with a fuse.
type fusedLog struct {
	session.Log
	*fuse
}

func (f fusedLog) base() fused { return fused{f.Log, f.fuse} }

func (f fusedLog) Say(ctx context.Context, ref session.Ref, t session.Turn) (session.Said, error) {
	return f.base().Say(ctx, ref, t)
}

func (f fusedLog) Finish(ctx context.Context, ref session.Ref, m session.Message) error {
	return f.base().Finish(ctx, ref, m)
}

func (f fusedLog) Write(reply uuid.UUID, s session.Source) (func(), bool) {
	f.burn("Write", uuid.Nil)
	wake, ok := f.Log.Write(reply, s)
	f.burn("Write, done", uuid.Nil)
	return wake, ok
}

func (f fusedLog) Yield(ctx context.Context, conversation session.Ref, reply uuid.UUID) error {
	f.burn("Yield", conversation.ID)
	return f.Log.Yield(ctx, conversation, reply)
}

func (f fusedLog) Stop(ctx context.Context, conversation session.Ref, m session.Message) (session.Message, error) {
	f.burn("Stop", conversation.ID)
	stored, err := f.Log.Stop(ctx, conversation, m)
	f.burn("Stop, done", conversation.ID)
	return stored, err
}

func (f fusedLog) Follow(conversation session.Ref, reply uuid.UUID, have int, epoch int64, c session.Copy) {
	f.burn("Follow", conversation.ID)
	f.Log.Follow(conversation, reply, have, epoch, c)
	f.burn("Follow, done", conversation.ID)
}

func (f fusedLog) Unfollow(reply uuid.UUID) {
	f.burn("Unfollow", uuid.Nil)
	f.Log.Unfollow(reply)
	f.burn("Unfollow, done", uuid.Nil)
}

func (f fusedLog) Adopt(ctx context.Context, conversation session.Ref, reply uuid.UUID) (session.Adoption, error) {
	f.burn("Adopt", conversation.ID)
	a, err := f.Log.Adopt(ctx, conversation, reply)
	f.burn("Adopt, done", conversation.ID)
	return a, err
}

func (f fusedLog) Connect(ctx context.Context, conversation session.Ref, c session.Claim) error {
	f.burn("Connect", conversation.ID)
	err := f.Log.Connect(ctx, conversation, c)
	f.burn("Connect, done", conversation.ID)
	return err
}

func (f fusedLog) Disconnect(conversation session.Ref, connection uuid.UUID) {
	f.burn("Disconnect", conversation.ID)
	f.Log.Disconnect(conversation, connection)
}

// nodeOn starts a server on a Redis.
func nodeOn(t *testing.T, addr string, f *fuse, options ...rigOption) *rig {
	t.Helper()
	store, err := session.NewRedis(session.RedisConfig{URL: "redis://" + addr, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return newRig(t, append(options, withStore(func(session.Store) session.Store { return fusedLog{store, f} }))...)
}

// TestLogPanics is TestStorePanics for what a store of several nodes does, at one of two
// nodes.
func TestLogPanics(t *testing.T) {
	for _, method := range []string{
		"Write", "Write, done", "Stop", "Stop, done", "Follow", "Follow, done", "Unfollow", "Unfollow, done", "Adopt", "Adopt, done",
		"Connect", "Connect, done", "Disconnect", "Say", "Say, done", "Finish", "Finish, done",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			calls := 0
			for logPanics(t, &fuse{method: method, left: calls + 1}) {
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

func logPanics(t *testing.T, f *fuse) (blown bool) {
	t.Helper()
	name := fmt.Sprintf("call %d", f.left)
	redis := miniredis.RunT(t)
	a, b := nodeOn(t, redis.Addr(), f), nodeOn(t, redis.Addr(), &fuse{})
	eventually(t, "both hear each other", func() bool { return len(redis.PubSubChannels("")) == 2 })
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
	f := &fuse{method: "Yield", left: 1}
	a := nodeOn(t, miniredis.RunT(t).Addr(), f)
	answer, g := held(1, "one ", "two")
	defer g.open()
	a.answer(panicSecret, answer)
	f.arm(uuid.NewString())
	p := a.join("/ws")
	p.say("", panicSecret)
	reply := p.begin()
	p.delta(&reply, "one ")
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
