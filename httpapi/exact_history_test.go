package httpapi_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// slowLink is a client whose kernel holds little, and which takes a segment at
// a time.
var slowLink = refDial{bite: 1460, receive: 64 << 10}

// longPlan makes a reply of about so many bytes, in tokens of some hundreds.
func longPlan(rng *rand.Rand, size int) *exactPlan {
	p := new(exactPlan)
	for n := 0; n < size; {
		text, _ := exactText(rng, 40)
		text = strings.ToValidUTF8(text, "")
		p.tokens = append(p.tokens, text)
		n += len(text)
	}
	p.text = strings.Join(p.tokens, "")
	return p
}

// converse has one message answered by POST /chat.
func (x *exactServer) converse(t *testing.T, session, said string, plan *exactPlan) {
	t.Helper()
	x.plans.Store(said, plan)
	body, err := json.Marshal(map[string]string{"message": said, "conversation_id": session})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, err := x.call("POST", "/chat", string(body)); err != nil || status != http.StatusOK {
		t.Fatalf("POST /chat: %d %.200s %v", status, answer, err)
	}
}

// connect brings a page back and returns its connection.
func (x *exactServer) connect(t *testing.T, p *refPage, d refDial) *refSocket {
	t.Helper()
	q := p.resume()
	path := "/ws"
	if p.session != "" {
		path += "/" + p.session
	}
	sock, err := dialRefSocket(x.addr, path+"?"+q.Encode(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sock.close)
	p.connected(q)
	return sock
}

// readUntil takes frames until holds says yes of one.
func readUntil(t *testing.T, p *refPage, s *refSocket, holds func(f *refFrame) bool) {
	t.Helper()
	for !holds(takeFrame(t, s, p)) {
	}
}

// TestExactHistory brings 5 MB of history over a slow link: all of it to a page
// that has the first message, the newest to one that has nothing. A refPage
// holds every frame to its limit.
func TestExactHistory(t *testing.T) {
	x := newExactServer(t, exactOptions{sendBuffer: 64 << 10})
	rng := rand.New(rand.NewPCG(1, 7))
	session, err := x.open()
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		x.converse(t, session, uuid.NewString()+strings.Repeat(" 漢\x00", 9<<10), longPlan(rng, 500<<10))
	}
	for range 20 {
		x.converse(t, session, uuid.NewString(), longPlan(rng, 20<<10))
	}
	stored, err := x.stored(session)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, m := range stored {
		size += len(m.Content)
	}
	if size < 5<<20 {
		t.Fatalf("the history has %d bytes", size)
	}

	last := stored[len(stored)-1]
	complete := func(p *refPage) func(*refFrame) bool {
		return func(f *refFrame) bool { return p.last().ID == last.ID && p.current == "" }
	}
	p := &refPage{session: session, messages: stored[:1:1]}
	readUntil(t, p, x.connect(t, p, slowLink), complete(p))
	if d := p.differs(stored); d != "" || p.more {
		t.Errorf("behind the first message, more=%v: %s", p.more, d)
	}

	p = &refPage{session: session}
	readUntil(t, p, x.connect(t, p, slowLink), complete(p))
	if d := p.differs(stored); d != "" || !p.more {
		t.Errorf("from nothing, more=%v: %s", p.more, d)
	}
	size = 0
	for _, m := range p.messages {
		size += len(m.Content)
	}
	if size < 128<<10 {
		t.Errorf("a page that has nothing gets only %d bytes of the newest", size)
	}
}

// TestExactGap brings what a client missed of a reply that is still running,
// 1 MB, over a slow link.
func TestExactGap(t *testing.T) {
	x := newExactServer(t, exactOptions{sendBuffer: 64 << 10})
	rng := rand.New(rand.NewPCG(1, 8))
	plan, said := longPlan(rng, 1<<20), uuid.NewString()
	early, late := plan.gate(3), plan.gate(len(plan.tokens)-1)
	defer plan.release()
	x.plans.Store(said, plan)
	session, err := x.open()
	if err != nil {
		t.Fatal(err)
	}
	p := &refPage{session: session}
	sock := x.connect(t, p, slowLink)
	if err := sock.say(uuid.NewString(), said); err != nil {
		t.Fatal(err)
	}
	has := func(n int) func(*refFrame) bool {
		return func(*refFrame) bool { last := p.last(); return last != nil && len(last.text()) >= n }
	}
	readUntil(t, p, sock, has(early.offset))
	sock.close()
	early.open()
	<-late.reached

	sock = x.connect(t, p, slowLink)
	frames := 0
	readUntil(t, p, sock, func(f *refFrame) bool { frames++; return has(late.offset)(f) })
	if most := 2 * (1 << 20) / refMaxDelta; frames > most {
		t.Errorf("1 MB came in %d frames, want at most %d", frames, most)
	}
	late.open()
	readUntil(t, p, sock, func(f *refFrame) bool { return f.Type == "finish" })
	if got := p.last().Content; got != plan.text {
		t.Error(textDiff(got, plan.text))
	}
}
