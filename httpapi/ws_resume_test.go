package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"lumos/backend/llm/mistralsim"
)

// contents are the texts of messages.
func contents(messages []history) []string {
	texts := []string{}
	for _, m := range messages {
		texts = append(texts, m.Content)
	}
	return texts
}

// TestResumeBehindTheEnd comes back to a conversation of two rounds in which nothing runs.
func TestResumeBehindTheEnd(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	u1 := p.say("", "one").ID
	r1 := p.reply().id
	u2 := p.say("", "two").ID
	r2 := p.reply().id
	all := []string{"one", "You said: one", "two", "You said: two"}
	for _, tt := range []struct {
		name, query string
		after       string // of ready
		want        []string
	}{
		{"with nothing", "", "", all},
		{"with all", "after=" + r2, r2, all[4:]},
		{"in upper case", "after=" + strings.ToUpper(r2), r2, all[4:]},
		{"behind a user's message", "after=" + u2, u2, all[3:]},
		{"behind the first round", "after=" + r1, r1, all[2:]},
		{"behind the first message", "after=" + u1, u1, all[1:]},
		// Asked for with an offset, a reply that has ended comes again, whole.
		{"in the last reply", "after=" + r2 + "&offset=3", u2, all[3:]},
		{"at the last reply's end", fmt.Sprintf("after=%s&offset=%d", r2, len(all[3])), u2, all[3:]},
		{"with a wrong offset", "after=" + r2 + "&offset=999", u2, all[3:]},
		{"in the first reply", "after=" + r1 + "&offset=0", u1, all[1:]},
		{"with an epoch", "after=" + r1 + "&offset=2&epoch=3", u1, all[1:]},
		{"in a user's message", "after=" + u2 + "&offset=1", r1, all[2:]},
		{"in the first message of all", "after=" + u1 + "&offset=1", "", all},
		// What is not known, or malformed, counts as left out.
		{"unknown", "after=" + someID, "", all},
		{"unknown with an offset", "after=" + someID + "&offset=2", "", all},
		{"malformed", "after=x", "", all},
		{"malformed offset", "after=" + r2 + "&offset=x", r2, all[4:]},
		{"negative offset", "after=" + r2 + "&offset=-1", r2, all[4:]},
		{"offset alone", "offset=3", "", all},
		{"nonsense", "after=%zz&&again=x&client=7", "", all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := r.join("/ws/" + id + "?" + tt.query)
			if got := contents(q.ready.Messages); q.ready.After != tt.after || !slices.Equal(got, tt.want) {
				t.Errorf("ready has %q behind %q, want %q behind %q", got, q.ready.After, tt.want, tt.after)
			}
			if q.ready.Running != "" || q.ready.More {
				t.Errorf("ready is %+v", q.ready)
			}
			q.wantQuiet() // nothing comes twice
		})
	}
}

// TestResumeBehindAnEditedMessage: whoever has it may have its old text, or
// another message before it, and is given the whole conversation.
func TestResumeBehindAnEditedMessage(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	p.say("", "one")
	p.reply()
	u2 := p.say("", "two").ID
	p.reply()
	edit := `{"id":"` + id + `","trigger":"submit-message","messageId":"` + u2 + `","messages":[{"id":"` + u2 + `","role":"user","parts":[{"type":"text","text":"edited"}]}]}`
	r.follow("POST", "/api/chat", edit).rest()
	for _, offset := range []string{"", "&offset=1"} {
		q := r.join("/ws/" + id + "?after=" + u2 + offset)
		if got := contents(q.ready.Messages); q.ready.After != "" || !slices.Equal(got, []string{"one", "You said: one", "edited", "You said: edited"}) {
			t.Errorf("ready has %q behind %q", got, q.ready.After)
		}
		q.wantQuiet()
	}
}

// TestResumeWhileRunning comes back in the middle of a reply.
func TestResumeWhileRunning(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	u1 := p.say("", "before").ID
	r1 := p.reply().id
	a, g := held(2, "né", "👋", "!")
	r.answer("go", a)
	u2 := p.say("", "go").ID
	reply := p.begin()
	p.delta(&reply, "né👋")

	q := p
	for _, tt := range []struct {
		name, query string
		after       string
		want        []string // in ready
		offset      int      // of text-start
		has         string   // what comes of the text before the gate opens
	}{
		{"with nothing", "", "", []string{"before", "You said: before", "go"}, 0, "né👋"},
		{"in the middle", "after=" + reply.id + "&offset=3", reply.id, nil, 3, "👋"},
		{"at all there is", "after=" + reply.id + "&offset=7", reply.id, nil, 7, ""},
		{"at 0", "after=" + reply.id + "&offset=0", reply.id, nil, 0, "né👋"},
		{"inside a character", "after=" + reply.id + "&offset=5", reply.id, nil, 0, "né👋"},
		{"beyond the text", "after=" + reply.id + "&offset=8", reply.id, nil, 0, "né👋"},
		{"as if it had ended", "after=" + reply.id, reply.id, nil, 0, "né👋"},
		{"behind its message", "after=" + u2, u2, nil, 0, "né👋"},
		{"in the reply before", "after=" + r1 + "&offset=4", u1, []string{"You said: before", "go"}, 0, "né👋"},
		{"unknown", "after=" + someID + "&offset=3", "", []string{"before", "You said: before", "go"}, 0, "né👋"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := q
			q = r.join("/ws/" + id + "?" + tt.query)
			old.wantClose(4001)
			if got := contents(q.ready.Messages); q.ready.After != tt.after || !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
				t.Errorf("ready has %q behind %q, want %q behind %q", got, q.ready.After, tt.want, tt.after)
			}
			again := q.begin()
			if q.ready.Running != reply.id || again.id != reply.id || again.after != u2 || again.offset != tt.offset {
				t.Errorf("running %s, then %+v; want %s behind %s at %d", q.ready.Running, again, reply.id, u2, tt.offset)
			}
			q.delta(&again, tt.has)
			reply = again
		})
	}
	g.open()
	q.finish(&reply)
	if !strings.HasSuffix("né👋!", reply.text) || reply.end.Type != "finish" {
		t.Errorf("got %+v", reply)
	}
}

// TestTakeover: who gets the conversation, and who is sent away.
func TestTakeover(t *testing.T) {
	r := newRig(t)
	const mine, theirs = "client=11111111-1111-4111-8111-111111111111", "client=22222222-2222-4222-8222-222222222222"
	for _, tt := range []struct {
		name, holds, comes string
		takes              bool
	}{
		{"the newest wins", "", "", true},
		{"a person's page wins", mine, theirs, true},
		{"by itself, from itself", mine, mine + "&again=1", true},
		{"by itself, from another", theirs, mine + "&again=1", false},
		{"by itself, from one without a name", "", mine + "&again=1", false},
		{"by itself, without a name", mine, "again=1", true},
		{"again as another word", theirs, mine + "&again=true", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := r.newSession()
			old := r.join("/ws/" + id + "?" + tt.holds)
			if !tt.takes {
				if frames := r.dial("/ws/" + id + "?" + tt.comes).wantClose(4001); len(frames) != 0 {
					t.Errorf("before that came %+v", frames)
				}
				old.wantQuiet()
				return
			}
			p := r.join("/ws/" + id + "?" + tt.comes)
			old.wantClose(4001)
			p.wantQuiet()
		})
	}
	// With nobody there, again takes nothing from anyone.
	id := r.newSession()
	r.join("/ws/" + id + "?" + mine + "&again=1").wantQuiet()
}

// TestReadyMore: ready holds the newest messages, and says when there are older ones.
func TestReadyMore(t *testing.T) {
	const limit = 256 << 10
	r := newRig(t)
	big := strings.Repeat("a", 100_000)
	for i := range 4 {
		r.answer(fmt.Sprint(i), mistralsim.Answer{Text: big + fmt.Sprint(i)})
	}
	id := r.newSession()
	for i := range 4 {
		r.do("POST", "/chat", chatBody(id, fmt.Sprint(i))).want(http.StatusOK)
	}
	whole := r.session(id).Messages
	p := r.join("/ws/" + id)
	if n := len(p.ready.Messages); !p.ready.More || n != 4 || p.ready.Messages[n-1] != whole[7] || p.ready.Messages[0] != whole[4] {
		t.Errorf("more %v, %d messages", p.ready.More, n)
	}
	p.wantQuiet()
	// Behind a message that is known nothing is left out: what does not fit follows.
	p = r.join("/ws/" + id + "?after=" + whole[0].ID)
	if n := len(p.ready.Messages); p.ready.More || n != 4 || p.ready.Messages[0] != whole[1] || p.ready.After != whole[0].ID {
		t.Errorf("more %v, %d messages", p.ready.More, n)
	}
	if reply := p.reply(); reply.text != whole[5].Content || reply.after != whole[4].ID {
		t.Errorf("then %d bytes behind %s", len(reply.text), reply.after)
	}
	if m := p.want("message"); m.ID != whole[6].ID || m.After != whole[5].ID {
		t.Errorf("then %+v", m)
	}
	if reply := p.reply(); reply.text != whole[7].Content {
		t.Errorf("then %d bytes", len(reply.text))
	}
	p.wantQuiet()

	// A last message that alone is larger comes behind ready.
	r.answer("huge", mistralsim.Answer{Text: strings.Repeat("b", limit+1)})
	r.do("POST", "/chat", chatBody(id, "huge")).want(http.StatusOK)
	whole = r.session(id).Messages
	p = r.join("/ws/" + id)
	if !p.ready.More || len(p.ready.Messages) != 0 || p.ready.After != "" {
		t.Errorf("more %v, %d messages behind %s", p.ready.More, len(p.ready.Messages), p.ready.After)
	}
	if reply := p.reply(); len(reply.text) != limit+1 || reply.after != whole[8].ID {
		t.Errorf("then %d bytes behind %s, want %d behind %s", len(reply.text), reply.after, limit+1, whole[8].ID)
	}
}

// TestReadyWithOneLargeMessage: nothing older is left out where there is nothing older.
func TestReadyWithOneLargeMessage(t *testing.T) {
	r := newRig(t)
	a, g := held(0, "x")
	said := strings.Repeat("\x01", 50_000) // 300,000 bytes as JSON
	r.answer(said, a)
	p := r.join("/ws")
	p.ask(message("", said))
	g.wait(t)
	q := r.join("/ws/" + p.ready.Conversation)
	if q.ready.More || len(q.ready.Messages) != 0 {
		t.Errorf("more %v, %d messages", q.ready.More, len(q.ready.Messages))
	}
	if m := q.want("message"); m.Content != said || m.After != "" {
		t.Errorf("then %d bytes behind %q", len(m.Content), m.After)
	}
	g.open()
	q.reply()
}

// TestChangedElsewhere: regenerations over another connection reach a client
// that was away, by what its messages follow.
func TestChangedElsewhere(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	u1 := p.say("", "one").ID
	r1 := p.reply().id
	q := r.join("/ws/" + id)
	p.wantClose(4001)
	q.ask(map[string]string{"type": "regenerate", "of": r1})
	r2 := q.reply().id
	// The reply that p has is gone: it is started over, from nothing.
	p = r.join("/ws/" + id + "?after=" + r1)
	if got := contents(p.ready.Messages); p.ready.After != "" || len(got) != 2 || p.ready.Messages[1].ID != r2 {
		t.Errorf("ready is %+v", p.ready)
	}
	p = r.join("/ws/" + id + "?after=" + u1)
	if p.ready.After != u1 || len(p.ready.Messages) != 1 || p.ready.Messages[0].ID != r2 {
		t.Errorf("ready is %+v", p.ready)
	}
}

// TestUnknownSessions are all told the same way.
func TestUnknownSessions(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{someID, "x", "7", strings.Repeat("a", 36), strings.ReplaceAll(someID, "-", ""), "{" + someID + "}", "urn:uuid:" + someID, "00000000-0000-0000-0000-000000000000"} {
		if frames := r.dial("/ws/" + id).wantClose(4404); len(frames) != 0 {
			t.Errorf("%s: %+v", id, frames)
		}
	}
	// Half an id opens nothing.
	id := r.newSession()
	r.dial("/ws/" + id[:35]).wantClose(4404)
	r.dial("/ws/" + id + "0").wantClose(4404)
	r.join("/ws/" + id)
}

// TestNoSubprotocolOfOurs: what is offered and not known is not chosen.
func TestNoSubprotocolOfOurs(t *testing.T) {
	r := newRig(t)
	for offered, want := range map[string]string{"chathub.v1": "chathub.v1", "other, chathub.v1": "chathub.v1", "chathub.v2": ""} {
		p := r.join("/ws", func(o *websocket.DialOptions) { o.Subprotocols = strings.Split(offered, ", ") })
		if got := p.ws.Subprotocol(); got != want {
			t.Errorf("of %q, %q was chosen", offered, got)
		}
	}
}
