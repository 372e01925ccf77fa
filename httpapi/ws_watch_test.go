package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// watch joins a conversation without taking it.
func (r *rig) watch(id, query string, change ...func(*websocket.DialOptions)) *peer {
	r.t.Helper()
	p := r.join("/ws/"+id+"?watch=1"+query, change...)
	if !p.ready.Watching {
		r.t.Fatalf("ready is %+v, want watching", p.ready)
	}
	return p
}

// wantRefused reads the refusal of a frame that had this id ("": none).
func (p *peer) wantRefused(code, ref string) {
	p.t.Helper()
	if f := p.want("error"); f.Code != code || f.Ref != ref || f.ErrorText == "" || f.ID != "" {
		p.t.Errorf("refused by %+v, want %s for %q", f, code, ref)
	}
}

// TestWatch: who watches is told what is said and replied, over whatever
// transport, and not what another's frames are answered.
func TestWatch(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	if p.ready.Watching {
		t.Error("who has the conversation is told that it watches")
	}
	id := p.ready.Conversation
	p.say("", "one")
	p.reply()
	watchers := []*peer{r.watch(id, ""), r.watch(id, "")}
	for _, w := range watchers {
		if got := contents(w.ready.Messages); !slices.Equal(got, []string{"one", "You said: one"}) || w.ready.After != "" {
			t.Errorf("ready has %q behind %q", got, w.ready.After)
		}
		w.wantQuiet()
	}
	p.wantQuiet() // it was not taken over from

	answer, g := held(1, "né", "👋")
	r.answer("two", answer)
	u := p.say("", "two")
	mine := p.begin()
	p.delta(&mine, "né")
	early := newID()
	p.ask(message(early, "too early"))
	p.wantRefused("conversation_busy", early)
	p.ask(map[string]string{"type": "stop", "id": someID})
	if f := p.want("stopped"); f.Outcome != "nothing_running" {
		t.Errorf("stopped is %+v", f)
	}
	watched := make([]replied, len(watchers))
	for i, w := range watchers {
		if said := w.want("message"); said.ID != u.ID || said.Content != "two" || said.After != u.After {
			t.Errorf("watched %+v, want %+v", said, u)
		}
		theirs := w.begin()
		w.delta(&theirs, "né")
		if theirs.id != mine.id || theirs.after != mine.after {
			t.Errorf("watched %+v, want %+v", theirs, mine)
		}
		w.wantQuiet()
		watched[i] = theirs
	}
	late := r.watch(id, "")
	lateReply := late.begin()
	if late.ready.Running != mine.id || lateReply.offset != 0 {
		t.Errorf("ready is %+v, then %+v", late.ready, lateReply)
	}
	late.delta(&lateReply, "né")
	g.open()
	late.finish(&lateReply)
	if lateReply.text != "né👋" || lateReply.end.Type != "finish" {
		t.Errorf("watched %+v", lateReply)
	}
	p.finish(&mine)

	for i, w := range watchers {
		theirs := watched[i]
		w.finish(&theirs)
		if theirs.text != mine.text || theirs.end.Type != mine.end.Type {
			t.Errorf("watched %+v, want %+v", theirs, mine)
		}
	}
	// A regeneration, a reply that is stopped, and a message by REST.
	p.ask(map[string]string{"type": "regenerate"})
	again := p.reply()
	for _, w := range watchers {
		if theirs := w.reply(); theirs.id != again.id || theirs.after != u.ID {
			t.Errorf("watched %+v, want %+v", theirs, again)
		}
	}
	waits, _ := held(0, "never")
	r.answer("three", waits)
	p.say("", "three")
	three := p.begin()
	p.ask(map[string]string{"type": "stop"})
	p.finish(&three)
	p.want("stopped")
	r.do("POST", "/chat", `{"message":"four","conversation_id":"`+id+`"}`).want(200)
	for _, w := range watchers {
		w.want("message")
		if theirs := w.reply(); theirs.end.Type != "abort" {
			t.Errorf("watched the end %+v, want abort", theirs.end)
		}
		if f := w.want("message"); f.Content != "four" {
			t.Errorf("watched %+v", f)
		}
		w.reply()
		w.wantQuiet()
	}
}

// TestWatcherSaysNothing: what a watcher asks for is refused and changes nothing.
func TestWatcherSaysNothing(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	answer, g := held(1, "so ", "far")
	r.answer("one", answer)
	p.say("", "one")
	mine := p.begin()
	p.delta(&mine, "so ")
	w := r.watch(id, "&again=1&client="+uuid.NewString())
	theirs := w.begin()
	w.delta(&theirs, "so ")
	for round := range 2 { // while a reply runs, and behind it
		said := newID()
		w.ask(message(said, "from a watcher"))
		w.wantRefused("watching", said)
		w.send("a typed line")
		w.wantRefused("watching", "")
		w.ask(message("", strings.Repeat("x", 70_000))) // whatever else is wrong with it
		w.wantRefused("watching", "")
		w.ask(map[string]string{"type": "stop"})
		w.wantRefused("watching", "")
		w.ask(map[string]string{"type": "stop", "id": mine.id})
		w.wantRefused("watching", mine.id)
		w.ask(map[string]string{"type": "regenerate", "of": mine.id})
		w.wantRefused("watching", "")
		w.send(`{"type":"nonsense"}`)
		w.wantRefused("invalid_request", "")
		w.wantQuiet()
		if round == 0 {
			g.open()
			p.finish(&mine)
			w.finish(&theirs)
		}
	}
	if mine.text != "so far" || mine.end.Type != "finish" || r.asked() != 1 {
		t.Errorf("the reply is %+v, the model was asked %d times", mine, r.asked())
	}
	p.wantQuiet()
	if got := contents(r.session(id).Messages); !slices.Equal(got, []string{"one", "so far"}) {
		t.Errorf("the conversation is %q", got)
	}
}

// TestWatcherStays: who watches has nothing that could be taken over.
func TestWatcherStays(t *testing.T) {
	r := newRig(t)
	first := r.join("/ws")
	id := first.ready.Conversation
	client := "&client=" + uuid.NewString()
	w := r.watch(id, client)
	second := r.join("/ws/" + id)
	first.wantClose(4001)
	third := r.dial("/ws/" + id + "?again=1" + client)
	// Its client watches, and has no connection of its own to take over from.
	third.wantClose(4001)
	u := second.say("", "hi")
	second.reply()
	if f := w.want("message"); f.ID != u.ID {
		t.Errorf("watched %+v", f)
	}
	w.reply()
	// The watcher's page takes the conversation, and watches on.
	fourth := r.join("/ws/" + id + "?" + client)
	second.wantClose(4001)
	fourth.say("", "ho")
	fourth.reply()
	w.want("message")
	w.reply()
	fourth.leave()
	w.wantQuiet()
}

// TestWatchResumes: a watcher comes back as a connection does.
func TestWatchResumes(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	u1, r1 := p.say("", "before").ID, p.reply().id
	answer, g := held(2, "né", "👋", "!")
	r.answer("go", answer)
	u2 := p.say("", "go").ID
	mine := p.begin()
	p.delta(&mine, "né👋")
	for query, want := range map[string]struct {
		after  string
		lacks  int // messages in ready
		offset int
		has    string
	}{
		"&after=" + mine.id + "&offset=3":         {mine.id, 0, 3, "👋"},
		"&after=" + mine.id + "&offset=7&epoch=0": {mine.id, 0, 7, ""},
		"&after=" + mine.id + "&offset=4":         {mine.id, 0, 0, "né👋"}, // inside a character
		"&after=" + u2:                            {u2, 0, 0, "né👋"},
		"&after=" + r1:                            {r1, 1, 0, "né👋"},
		"&after=" + u1:                            {u1, 2, 0, "né👋"},
		"&after=" + someID + "&offset=3":          {"", 3, 0, "né👋"},
	} {
		w := r.watch(id, query)
		theirs := w.begin()
		if w.ready.After != want.after || len(w.ready.Messages) != want.lacks || w.ready.Running != mine.id || theirs.offset != want.offset {
			t.Errorf("%s: ready is %+v, then %+v", query, w.ready, theirs)
		}
		w.delta(&theirs, want.has)
		w.wantQuiet()
	}
	w := r.watch(id, "&after="+mine.id+"&offset=7")
	theirs := w.begin()
	g.open()
	w.finish(&theirs)
	if theirs.text != "!" {
		t.Errorf("watched %q, want the rest", theirs.text)
	}
	if w = r.watch(id, "&after="+mine.id+"&offset=7"); w.ready.After != u2 || len(w.ready.Messages) != 1 {
		t.Errorf("behind the end ready is %+v", w.ready)
	}
	p.finish(&mine)
}

// TestWatchWhat: only a session that is there can be watched, and not by deep-chat.
func TestWatchWhat(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/ws?watch=1", "/ws/" + uuid.NewString() + "?watch=1", "/ws/no-uuid?watch=1"} {
		if before := r.dial(path).wantClose(4404); len(before) > 0 {
			t.Errorf("%s: got %+v", path, before)
		}
	}
	if n := r.sessions.Len(); n != 0 {
		t.Errorf("%d sessions were made", n)
	}
	id := r.newSession()
	for _, path := range []string{"/ws?watch=1", "/ws/" + id + "?watch=1"} {
		r.do("GET", path, "", func(req *http.Request) {
			for name, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "deep-chat",
			} {
				req.Header.Set(name, value)
			}
		}).wantError(400, "invalid_request")
	}
	for _, value := range []string{"", "0", "true", "11"} { // malformed counts as left out
		p := r.join("/ws/" + id + "?watch=" + value)
		if p.ready.Watching {
			t.Errorf("watch=%s watches", value)
		}
	}
	w := r.watch(id, "")
	r.do("DELETE", "/sessions/"+id, "").want(200)
	w.wantClose(4404)
}

// TestWatchersKeepASession: it expires when the last one has left.
func TestWatchersKeepASession(t *testing.T) {
	const ttl = time.Minute
	bubble(t, func(t *testing.T, r *rig) {
		id := r.newSession()
		r.do("POST", "/chat", `{"message":"hi","conversation_id":"`+id+`"}`).want(200)
		one, two := r.watch(id, ""), r.watch(id, "")
		quiet := func(watchers ...*peer) { // for longer than it lives; a peer that reads nothing answers no ping
			for range 10 {
				pass(ttl / 3)
				for _, w := range watchers {
					w.wantQuiet()
				}
			}
		}
		quiet(one, two)
		one.leave()
		quiet(two)
		two.leave()
		pass(2 * ttl)
		r.dial("/ws/" + id + "?watch=1").wantClose(4404)
	}, withSessions(func(c *session.Config) { c.TTL = ttl }))
}

// TestWatchLimits: a watcher is a connection; who takes the conversation over is
// let in all the same.
func TestWatchLimits(t *testing.T) {
	r := newRig(t, behindProxy, withLimits(hub.Limits{ConnectionsPerClient: 3, Connections: 4}))
	id := r.newSession()
	from := func(n string) func(*websocket.DialOptions) { return dialFrom("192.0.2." + n) }
	first := r.watch(id, "", from("1"))
	r.watch(id, "", from("1"))
	p := r.join("/ws/"+id, from("1"))
	r.dial("/ws/"+id+"?watch=1", from("1")).wantClose(1013)
	q := r.join("/ws/"+id, from("1"))
	p.wantClose(4001)
	r.watch(id, "", from("2"))
	r.dial("/ws/"+id+"?watch=1", from("3")).wantClose(1013)
	first.leave()
	eventually(t, "there is room for another watcher", func() bool {
		f, err := r.dial("/ws/"+id+"?watch=1", from("3")).read()
		return err == nil && f.Watching
	})
	q.wantQuiet()
}

// TestWatchersAreSentAway: a server that drains says so to those who watch, behind
// the reply, and a token's end is theirs, too.
func TestWatchersAreSentAway(t *testing.T) {
	r := newRig(t)
	answer, g := held(0, "done")
	r.answer("go", answer)
	p := r.join("/ws")
	p.say("", "go")
	w := r.watch(p.ready.Conversation, "")
	theirs := w.begin()
	drained := make(chan struct{})
	go func() {
		r.hub.Drain(t.Context())
		close(drained)
	}()
	eventually(t, "it drains", r.hub.Draining)
	g.open()
	w.finish(&theirs)
	w.wantClose(1001)
	p.wantClose(1001)
	await(t, drained, "it has drained")
	bubble(t, func(t *testing.T, r *rig) {
		as := offering("chathub.v1", "bearer."+tokenOf(t, "me", "exp", time.Now().Add(time.Minute).Unix()))
		w := r.watch(r.join("/ws", as).ready.Conversation, "", as)
		other := offering("chathub.v1", "bearer."+tokenOf(t, "other", "exp", time.Now().Add(time.Minute).Unix()))
		r.dial("/ws/"+w.ready.Conversation+"?watch=1", other).wantClose(4404)
		w.wantClose(4401)
	}, withSecret(t))
}
