package redisstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// model is what the scripts do to one conversation, in a few lines of Go.
type model struct {
	version, born string
	log           []session.Message
	text, right   string
	running       bool
}

// commit is commit.lua.
func (m *model) commit(was string, ch *session.Change) error {
	switch {
	case m.version == ch.Version:
		return nil
	case m.version != was, ch.Had >= 0 && len(m.text) != ch.Had:
		return session.ErrConflict
	}
	m.version, m.born = ch.Version, ch.Born
	if ch.Born == "" {
		*m = model{version: ch.Version}
		return nil
	}
	m.log = append(m.log[:len(m.log):len(m.log)], ch.Add...)
	switch {
	case ch.Running == nil:
		m.text, m.right = "", ""
	case !m.running:
		m.text, m.right = "", fenceValue(ch.Running.Fence, ch.Running.Reply)
	default:
		if ch.Had >= 0 {
			m.text = m.text[:ch.Has]
		}
		m.right = fenceValue(ch.Running.Fence, ch.Running.Reply)
	}
	m.running = ch.Running != nil
	return nil
}

// append is append.lua.
func (m *model) append(fence string, at int, bytes string) int64 {
	if m.right == "" || m.right != fence {
		return -1
	}
	if at <= len(m.text) && at+len(bytes) > len(m.text) {
		m.text += bytes[len(m.text)-at:]
	}
	return int64(len(m.text))
}

// sent is a commit that may come again.
type sent struct {
	was *session.Conversation
	ch  *session.Change
}

// play is a random schedule on the scripts and on the model.
type play struct {
	*testing.T
	s      *Store
	rng    *mathrand.Rand
	id     uuid.UUID
	m      model
	now    *session.Conversation // as it was last loaded; nil: there is none
	states []*session.Conversation
	sent   []sent
	fences []string
	seq    int64
}

// TestModel has the scripts and the model do the same random steps, of which some
// are late, doubled, or of a state that is over, and compares what is there.
func TestModel(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		n := openNode(t, Config{URL: url})
		defer n.store.Close()
		for seed := range uint64(20) {
			p := &play{T: t, s: n.store, rng: mathrand.New(mathrand.NewPCG(seed, 1)), id: uuid.New(), states: []*session.Conversation{nil}}
			for step := range 80 {
				what := p.step()
				p.compare(fmt.Sprintf("seed %d, step %d, %s", seed, step, what))
				if t.Failed() {
					return
				}
			}
		}
	})
}

// step does something and returns what.
func (p *play) step() string {
	switch p.rng.IntN(10) {
	case 0:
		if len(p.sent) > 0 {
			s := p.sent[p.rng.IntN(len(p.sent))]
			p.send(s)
			return "a commit once more"
		}
	case 1, 2, 3:
		return p.append()
	}
	was := p.now
	if p.rng.IntN(5) == 0 {
		was = p.states[p.rng.IntN(len(p.states))]
	}
	ch, what := p.change(was)
	p.sent = append(p.sent, sent{was, ch})
	p.send(p.sent[len(p.sent)-1])
	return what
}

// change makes a change of a state.
func (p *play) change(was *session.Conversation) (*session.Change, string) {
	if was == nil || was.Born == "" {
		return &session.Change{Head: session.Head{Version: name(), Born: name(), Created: session.Now()}, Had: -1}, "create"
	}
	ch := &session.Change{Head: was.Head, Had: -1}
	ch.Version = name()
	had := len(p.m.text)
	if p.rng.IntN(6) == 0 {
		had = p.rng.IntN(had + 2)
	}
	r := was.Running
	if r == nil {
		switch p.rng.IntN(5) {
		case 0:
			ch.Conn = &session.Claimed{Node: "n", Connection: uuid.New()}
			return ch, "connect"
		case 1:
			return deletion(was), "delete"
		}
		user := session.Message{ID: uuid.New(), Role: session.User, Content: passage(p.rng.IntN(20)), Timestamp: session.Now()}
		p.add(ch, user)
		ch.Running = &session.Running{Reply: uuid.New(), User: ch.Add[0].Position(), Seq: ch.Tip + 1, Fence: p.fence()}
		return ch, "say"
	}
	next := *r
	ch.Running = &next
	switch p.rng.IntN(6) {
	case 0:
		next.Fence = p.fence()
		ch.Had, ch.Has = had, p.rng.IntN(had+1)
		return ch, "take"
	case 1:
		next.Fence = ""
		return ch, "yield"
	case 2:
		next.Stopping = true
		return ch, "stop"
	case 3:
		return deletion(was), "delete"
	}
	content := p.m.text[:min(had, len(p.m.text))]
	if p.rng.IntN(2) == 0 {
		content += "\nand a tail"
	}
	ch.Running = nil
	p.add(ch, session.Message{ID: r.Reply, Role: session.Assistant, Content: content, Timestamp: session.Now(), FinishReason: session.FinishStop})
	ch.Had, ch.Has = had, len(content)
	return ch, "finish"
}

func (p *play) add(ch *session.Change, m session.Message) {
	p.seq += 2
	m.Seq, m.Parent, m.Version = p.seq, ch.Tip, ch.Version
	ch.Add = append(ch.Add, m)
	ch.Tip = m.Seq
	ch.Count++
}

func name() string { return rand.Text()[:16] }

func (p *play) fence() string {
	fence := "node " + name()
	p.fences = append(p.fences, fence)
	return fence
}

// deletion is what the Manager commits to delete a conversation.
func deletion(was *session.Conversation) *session.Change {
	version, _, _ := was.Known()
	return &session.Change{Head: session.Head{Version: version + "-"}, Had: -1}
}

// send commits to both.
func (p *play) send(s sent) {
	p.Helper()
	err := p.s.Commit(p.Context(), p.id, s.was, s.ch)
	was := ""
	if s.was != nil {
		was = s.was.Version
	}
	if want := p.m.commit(was, s.ch); !errors.Is(err, want) || want == nil && err != nil {
		p.Errorf("commit: %v, want %v", err, want)
	}
}

// append appends to both, under some fence, at some offset.
func (p *play) append() string {
	fence, at := "", len(p.m.text)
	if len(p.fences) > 0 {
		fence = p.fences[len(p.fences)-1]
		if p.rng.IntN(5) == 0 {
			fence = p.fences[p.rng.IntN(len(p.fences))]
		}
	}
	if p.rng.IntN(4) == 0 {
		at = p.rng.IntN(at + 3)
	}
	// What the same writer appends at the same offset is the same.
	bytes := passage(at + 1 + p.rng.IntN(30))[at:]
	k := keysOf(p.id)
	c, err := p.s.connect(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	keys := []string{k[fenceKey], k[textKey]}
	got, err := c.Do(p.Context(), appendScript.command(c, keys, []string{"node", "60000", "1", "0", fence, strconv.Itoa(at), bytes})).AsIntSlice()
	if want := p.m.append(fence, at, bytes); err != nil || len(got) != 1 || got[0] != want {
		p.Errorf("append: %v, %v, want %d", got, err, want)
	}
	return "append"
}

// compare loads from some state before, and looks at what else is there.
func (p *play) compare(what string) {
	p.Helper()
	got, err := p.s.Load(p.Context(), p.id, p.states[p.rng.IntN(len(p.states))])
	if (p.m.born == "") != errors.Is(err, session.ErrNotFound) || err != nil && !errors.Is(err, session.ErrNotFound) {
		p.Fatalf("%s: load: %v", what, err)
	}
	version, _, _ := got.Known()
	if version != p.m.version {
		p.Errorf("%s: version %q, want %q", what, version, p.m.version)
	}
	if err == nil {
		if diff := cmp.Diff(append([]session.Message{}, p.m.log...), append([]session.Message{}, got.Messages()...)); diff != "" {
			p.Errorf("%s: messages (-want +got):\n%s", what, diff)
		}
	}
	n := node{store: p.s}
	for which, want := range map[int]string{textKey: p.m.text, fenceKey: p.m.right} {
		if have, _ := n.raw(p, "GET", keysOf(p.id)[which]).ToString(); have != want {
			p.Errorf("%s: %s is %q, want %q", what, keyNames[which], have, want)
		}
	}
	p.now = got
	if len(p.states) == 1 || p.states[len(p.states)-1] != got {
		p.states = append(p.states, got)
	}
}
