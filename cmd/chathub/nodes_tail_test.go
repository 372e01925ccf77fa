package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// widget is a deep-chat widget: it has no offsets, and shows what it is told.
type widget struct {
	ws    *websocket.Conn
	shown string
	ended bool
}

func newWidget(t *testing.T, at *node, session string) *widget {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+at.addr+"/ws/"+session, &websocket.DialOptions{Subprotocols: []string{"deep-chat"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &widget{ws: ws}
}

func (w *widget) say(t *testing.T, text string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"messages": []map[string]string{{"role": "user", "text": text}}})
	if err == nil {
		err = w.ws.Write(t.Context(), websocket.MessageText, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readUntil takes frames until holds is true of what is shown.
func (w *widget) readUntil(t *testing.T, holds func() bool) {
	t.Helper()
	for !holds() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, raw, err := w.ws.Read(ctx)
		cancel()
		if err != nil {
			t.Fatalf("behind %q: %v", w.shown, err)
		}
		var f struct {
			Text      *string
			Overwrite bool
		}
		switch err := json.Unmarshal(raw, &f); {
		case err != nil || f.Text == nil || w.ended:
			t.Fatalf("the widget would show %s as an error, or behind the end", raw)
		case *f.Text == "[DONE]":
			w.ended = true
		case f.Overwrite:
			w.shown = *f.Text
		default:
			w.shown += *f.Text
		}
	}
}

// TestLostTail has Redis fail over to a replica that lacks the end of replies,
// and a second node take them over before the one that wrote them is back. Who
// follows at the first has more than there is, and goes on with what there is.
func TestLostTail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		kept func(shown string) string
		open bool // the reply still runs at the second node when the first is back
	}{
		{"nothing is left", func(string) string { return "" }, true},
		{"a part is left", func(shown string) string { return shown[:len(shown)/2] }, true},
		{"it ends inside a character", func(shown string) string { return shown[:strings.LastIndex(shown, "日")+1] }, true},
		{"a part is left, and it ends meanwhile", func(shown string) string { return shown[:len(shown)/2] }, false},
		{"nothing is left, and it ends meanwhile", func(string) string { return "" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lostTail(t, test.kept, test.open)
		})
	}
}

func lostTail(t *testing.T, kept func(string) string, open bool) {
	const halt = 100
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", strings.ReplaceAll(master.addr, ":", " "), "--repl-diskless-sync-delay", "0")
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.do("INFO", "replication"), "master_link_status:up")
	})
	wayA, wayB := startRelay(t, master.addr), startRelay(t, master.addr)
	c := &cluster{redis: master, model: startSimulated(t)}
	c.join(t, 1, wayA.addr)
	c.join(t, 1, wayB.addr)
	a, b := c.nodes[0], c.nodes[1]
	newPlan := func(seed uint64) *plan {
		p := c.model.plan(seed, 2*halt, 0).halt(halt)
		p.fork, p.open = true, open
		return p
	}

	// Three replies that A writes, each followed there in another way.
	deepPlan, sockPlan, ssePlan := newPlan(1), newPlan(2), newPlan(3)
	plans := []*plan{deepPlan, sockPlan, ssePlan}
	deep, sock := newPage(t), newPage(t)
	deep.open(t, a)
	w := newWidget(t, a, deep.session)
	w.say(t, deepPlan.said)
	w.readUntil(t, func() bool { return w.shown == deepPlan.before(halt) })
	sock.open(t, a)
	sock.connect(t, a)
	sock.send(t, frame{Type: "message", ID: newID(), Content: sockPlan.said})
	sock.readTo(t, sockPlan.before(halt))
	sse, stream := &events{}, newPage(t)
	defer sse.close()
	stream.open(t, a)
	if err := sse.open(a, "POST", "/chat", chatMessageBody{ssePlan.said, stream.session}, nil); err != nil {
		t.Fatal(err)
	}
	sse.readTo(t, ssePlan.before(halt))

	// The replica has it all by now; what it lacks is cut off there.
	sessions := []string{deep.session, sock.session, stream.session}
	texts := make([]string, len(sessions))
	for i, session := range sessions {
		texts[i] = replica.key(session, "text")
		eventually(t, "the replica has all of it", func() bool { return replica.do("GET", texts[i]) == plans[i].before(halt) })
	}
	replica.do("REPLICAOF", "NO", "ONE")
	for i := range sessions {
		replica.do("SET", texts[i], kept(plans[i].before(halt)), "KEEPTTL")
	}
	wayA.move("")
	wayB.move(replica.addr)
	master.kill()
	c.redis = replica
	for i, session := range sessions {
		along := &events{}
		defer along.close()
		eventually(t, "B follows it", func() bool { return along.open(b, "GET", "/sessions/"+session+"/stream", nil, nil) == nil })
		eventually(t, "B has taken it over", func() bool { return len(plans[i].requests()) == 2 })
		if !open {
			along.readAll(t)
		}
	}
	wayA.move(replica.addr)
	eventually(t, "A is too late for all of them", func() bool {
		return strings.Count(a.log.String(), "end=moved") == len(plans)
	})

	final := func(session string, p *plan) string {
		t.Helper()
		var got string
		eventually(t, "the reply is stored", func() bool {
			stored, err := b.stored(session)
			if err != nil || len(stored) != 2 {
				return false
			}
			got = stored[1].Content
			return true
		})
		if !strings.Contains(got, "went on by 2") || strings.Contains(got, p.before(halt)) {
			t.Errorf("%q is not what B made of it", got)
		}
		return got
	}
	if open {
		// What was lost is taken back while the reply runs, not at its end.
		w.readUntil(t, func() bool { return strings.Contains(w.shown, "went on by 2") })
		for _, p := range plans {
			p.release()
		}
	}
	w.readUntil(t, func() bool { return w.ended })
	if want := final(deep.session, deepPlan); w.shown != want {
		t.Errorf("the widget: %s", textDiff(w.shown, want))
	}
	sock.expect(t, "finish")
	if got, want := sock.last().Content, final(sock.session, sockPlan); got != want {
		t.Errorf("the WebSocket: %s", textDiff(got, want))
	}
	for sse.end == "" { // what it has shown cannot be taken back there: it was cut, and comes again
		if err := sse.next(); err != nil {
			if err := sse.open(a, "GET", "/sessions/"+stream.session+"/stream", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := final(stream.session, ssePlan); sse.text != want {
		t.Errorf("SSE: %s", textDiff(sse.text, want))
	}
	if status := a.status("/healthz"); status != http.StatusOK {
		t.Errorf("A has ended: %d", status)
	}
}
