package session

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
)

// node is a Redis store as a hub has one; it hears what the hub would.
type node struct {
	*Redis
	log  *lockedBuffer
	ctx  context.Context // ends with stop
	stop func()
	gone chan string // "gone id", "changed id", "taken id connection"
}

func (n *node) told(verb string) func(Ref) {
	return func(ref Ref) { n.tell(verb + " " + ref.ID.String()) }
}

func (n *node) tell(s string) {
	select {
	case n.gone <- s:
	default: // nobody cares
	}
}

func (n *node) Changed(ref Ref) { n.told("changed")(ref) }
func (n *node) Taken(ref Ref, conn uuid.UUID) {
	n.tell("taken " + ref.ID.String() + " " + conn.String())
}

// hears waits until the node has subscribed to its channel.
func (n *node) hears(t testing.TB) *node {
	t.Helper()
	eventually(t, "the node hears the others", func() bool {
		list, err := n.raw(t, "PUBSUB", "NUMSUB", "chathub:"+n.Redis.node).ToArray()
		if err != nil || len(list) != 2 {
			return false
		}
		count, err := list[1].AsInt64()
		return err == nil && count == 1
	})
	return n
}

// await waits until the node is told s.
func (n *node) await(t testing.TB, s string) {
	t.Helper()
	eventually(t, "the node is told "+s, func() bool {
		for {
			select {
			case got := <-n.gone:
				if got == s {
					return true
				}
			default:
				return false
			}
		}
	})
}

// page is a reply as a hub has it: written here or followed.
type page struct {
	mu       sync.Mutex
	text     string
	stored   int
	lost     bool
	ended    bool
	orphaned int
	cuts     []int
	away     int
	bad      string
	wake     func()
}

// write appends text as the model's turn does.
func (p *page) write(s string) {
	p.mu.Lock()
	p.text += s
	wake := p.wake
	p.mu.Unlock()
	wake()
}

func (p *page) From(off, limit int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if off > len(p.text) {
		p.bad = "asked for what lies behind the end"
		return nil
	}
	b := []byte(p.text[off:])
	if len(b) > limit {
		b = b[:limit]
		b = b[:wholeRunes(b)]
	}
	return b
}

func (p *page) Stored(n int, _ bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n <= p.stored || n > len(p.text) {
		p.bad = "stored went wrong"
	}
	p.stored = n
}

func (p *page) Lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
}

func (p *page) Away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away++
}

func (p *page) Append(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || !utf8.Valid(b) || len(b) == 0 {
		p.bad = fmt.Sprintf("append of %d bytes: %.20q", len(b), b)
	}
	p.text += string(b)
}

func (p *page) Rewritten(n int, _ []Epoch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > len(p.text) {
		p.bad = fmt.Sprintf("keeps %d bytes of %d", n, len(p.text))
		return
	}
	if n < len(p.text) {
		p.text = p.text[:n]
		p.cuts = append(p.cuts, n)
	}
}

func (p *page) Orphaned() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orphaned++
}

func (p *page) Ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		p.bad = "ended twice"
	}
	p.ended = true
}

// is waits until f holds for the page.
func (p *page) is(t testing.TB, what string, f func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bad != "" {
			t.Fatal(p.bad)
		}
		return f()
	})
}

// reads waits until a page has a text.
func (p *page) reads(t testing.TB, want string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("has %d bytes, want %d; common: %d", len(p.text), len(want), common(p.text, want))
		}
	}()
	p.is(t, "the text is there", func() bool { return p.text == want })
}

// now returns the page as it is.
func (p *page) now() (text string, stored int, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text, p.stored, p.lost
}

// keeps waits until the store has the first n bytes.
func (p *page) keeps(t testing.TB, n int) {
	t.Helper()
	p.is(t, "the text is stored", func() bool { return p.stored == n })
}

func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// key names one key of a conversation.
func key(conversation uuid.UUID, name string) string {
	return conversationKeys(conversation, []string{name})[0]
}

// reply is a running reply of a test.
type reply struct {
	conversation Ref
	id           uuid.UUID
	said         Said
}

// begin makes a conversation on n in which a reply is running.
func (n *node) begin(t testing.TB) (reply, *page) {
	t.Helper()
	return n.ask(t, made(t, n, Creation{ID: uuid.New()}))
}

// ask says something in a conversation and writes the reply.
func (n *node) ask(t testing.TB, id Ref) (reply, *page) {
	t.Helper()
	turn := submit("hi")
	said, err := n.Say(t.Context(), id, turn)
	if err != nil || !said.Started {
		t.Fatalf("say: %+v, %v", said, err)
	}
	return reply{id, turn.Reply, said}, n.write(t, turn.Reply, "")
}

// write takes up the writing of a reply of which text is there.
func (n *node) write(t testing.TB, id uuid.UUID, text string) *page {
	t.Helper()
	p := &page{text: text}
	wake, ok := n.Write(id, p)
	if !ok {
		t.Fatal("the right to write is lost")
	}
	p.wake = wake
	return p
}

func (n *node) follow(r reply) *page {
	p := &page{}
	n.Follow(r.conversation, r.id, 0, 0, p)
	return p
}

// ends finishes a reply with what the page has.
func (n *node) ends(t testing.TB, r reply, p *page) {
	t.Helper()
	p.mu.Lock()
	m := Message{ID: r.id, Content: p.text, Timestamp: Now(), FinishReason: FinishStop}
	p.mu.Unlock()
	if err := n.Finish(t.Context(), r.conversation, m); err != nil {
		t.Fatal(err)
	}
}

// last returns the last message of a conversation, as a node sees it.
func (n *node) last(t testing.TB, id Ref) Message {
	t.Helper()
	s := n.session(t, id)
	if len(s.Messages) == 0 {
		t.Fatal("there is no message")
	}
	return s.Messages[len(s.Messages)-1]
}

func (n *node) session(t testing.TB, id Ref) Session {
	t.Helper()
	s, err := n.Get(t.Context(), id, Position{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// passage returns n bytes of text that repeat nowhere.
func passage(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString([]string{"Wort ", "語", "🙂", "é"}[i%4])
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), i%7))
	}
	return b.String()
}
