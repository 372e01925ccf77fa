package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
)

// shown is one message on a page.
type shown struct {
	id, role, text string
	part           bool // the connection broke while it came, so there may be more of it
	apart          bool // the hub did not know it when it answered what stands behind it
}

// pageModel is what useChat does with its list: what it posts, and what the chunks
// of an answer do to it.
type pageModel struct {
	*pageRig
	list []shown
}

// pageRig is a hub and one conversation, which any number of pages show.
type pageRig struct {
	*rig
	id   string
	ref  session.Ref
	made int // ids of the pages' own

	mu    sync.Mutex
	open  bool // what comes to a gate finds it open
	gates []*gate
	// hers has the hub's id of everything that the hub has told of, or taken, and
	// behind a space each text that it has taken under that.
	hers map[string]bool
}

const (
	pageLimit = 60         // bytes of a message
	holds     = "hold on " // a message that begins so is answered in two parts, with a gate in between
)

func newPageRig(t testing.TB) *pageRig {
	p := &pageRig{id: newID(), hers: make(map[string]bool)}
	p.rig = newRig(t, forgetful, rigOption{sim: func(c *mistralsim.Config) { c.Answer = p.answerTo }},
		withHub(func(c *hub.Config) { c.MaxMessageBytes = pageLimit }))
	return p
}

func (p *pageRig) answerTo(req *mistralsim.Request) mistralsim.Answer {
	said := req.LastUser()
	said = said[strings.LastIndex(said, "\n")+1:] // unanswered ones stand before it
	if !strings.HasPrefix(said, holds) {
		return mistralsim.Answer{Tokens: []string{"You ", "said: ", said}}
	}
	a, g := held(1, "First of "+said, ", then more")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		g.open()
	}
	p.gates = append(p.gates, g)
	return a
}

// openGates lets what is held go on, and what comes until closeGates.
func (p *pageRig) openGates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
	for _, g := range p.gates {
		g.open()
	}
	p.gates = nil
}

// closeGates holds what comes from now on.
func (p *pageRig) closeGates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
}

// newID returns an id as the SDK makes them.
func (p *pageRig) newMessageID() string {
	p.made++
	return fmt.Sprintf("page%012d", p.made)
}

// hubID is the id that the hub has for a message of the page's.
func (p *pageRig) hubID(id string) string {
	if _, err := uuid.Parse(id); err == nil {
		return id
	}
	return uuid.NewSHA1(uuid.MustParse(p.id), []byte(id)).String()
}

func (p *pageRig) newPage() *pageModel { return &pageModel{pageRig: p} }

// say adds a message of the user's, and sends it if the page is online.
func (m *pageModel) say(text string) *pageModel {
	m.list = append(m.list, shown{id: m.newMessageID(), role: "user", text: text})
	return m
}

// lastUser is the place of the user's last message, or -1.
func (m *pageModel) lastUser() int {
	for i, s := range slices.Backward(m.list) {
		if s.role == "user" {
			return i
		}
	}
	return -1
}

// post sends the list, and takes the answer: with drop only to its first text, then
// the connection breaks. It returns the status and the error's code.
func (m *pageModel) post(trigger string, alone, drop bool) (int, string) {
	m.t.Helper()
	var messages []sdkMessage
	for _, s := range m.list {
		messages = append(messages, sdkSays(s.role, s.id, s.text))
	}
	body := sdkBody(m.t, m.id, trigger, "", messages...)
	if alone {
		data, err := json.Marshal(map[string]any{"id": m.id, "trigger": trigger, "message": messages[m.lastUser()]})
		if err != nil {
			m.t.Fatal(err)
		}
		body = string(data)
	}
	resp, req := m.send("POST", "/api/chat", body)
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err != nil {
			m.t.Fatal(err)
		}
		code, _ := answered{resp, m.t, said}.failure()
		return resp.StatusCode, code
	}
	at := m.lastUser()
	for i, s := range m.list[:at] {
		m.list[i].apart = s.apart || !m.hers[m.hubID(s.id)]
	}
	m.list[at].apart = false
	user := m.list[at]
	m.hers[m.hubID(user.id)], m.hers[m.hubID(user.id)+" "+user.text] = true, true
	s := newStream(m.t, req, resp)
	m.take(s, drop)
	return resp.StatusCode, ""
}

// take is processUIMessageStream of the SDK: what comes goes on with the last
// message if that is the assistant's.
func (m *pageModel) take(s *stream, drop bool) {
	for {
		e, ok := s.next()
		switch {
		case !ok:
			return
		case e.Type == "start":
			if m.list[len(m.list)-1].role != "assistant" {
				m.list = append(m.list, shown{role: "assistant"})
			}
			m.list[len(m.list)-1].id, m.list[len(m.list)-1].part = e.MessageID, false
			m.hers[e.MessageID] = true
		case e.Type == "text-delta":
			m.list[len(m.list)-1].text += e.Delta
			if drop {
				m.list[len(m.list)-1].part = true
				_ = s.resp.Body.Close()
				return
			}
		}
	}
}

// reload has the page show what the hub has, as one does that was told 409.
func (m *pageModel) reload() {
	m.list = nil
	for _, h := range m.session(m.id).Messages {
		m.list = append(m.list, shown{id: h.ID, role: h.Role, text: h.Content})
		m.hers[h.ID], m.hers[h.ID+" "+h.Content] = true, true
	}
}

// path is what the hub has, with the reply that runs, of which the text is not known.
func (p *pageRig) path() (path []shown, running bool) {
	p.t.Helper()
	if p.ref.Born == "" {
		found, err := p.sessions.Check(p.t.Context(), uuid.MustParse(p.id), "")
		if err != nil {
			p.t.Fatal(err)
		}
		p.ref = found.Ref()
	}
	s, err := p.sessions.Get(p.t.Context(), p.ref, session.Position{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range s.Messages {
		path = append(path, shown{id: m.ID.String(), role: string(m.Role), text: m.Content})
	}
	if s.Running != nil {
		path = append(path, shown{id: s.Running.Reply.String(), role: "assistant"})
	}
	return path, s.Running != nil
}

// differs tells where the page shows something else than the hub has, right behind
// an answer; "": nowhere. What the page shows of the hub's has to be among what the
// hub has, in that order, to the end of both; and what the hub has been told of has
// to be among that.
func (m *pageModel) differs() string {
	m.t.Helper()
	path, running := m.path()
	at := 0
	last := shown{}
	for _, s := range m.list {
		id := m.hubID(s.id)
		if !m.hers[id] || s.apart {
			continue // the page's own, or refused
		}
		refused := s.role == "user" && !m.hers[id+" "+s.text] // or never sent with this text
		found := slices.IndexFunc(path[at:], func(p shown) bool { return p.id == id })
		switch {
		case found < 0 && refused:
			continue
		case found < 0:
			return fmt.Sprintf("%q is on the page, and not in its place in the conversation", s.text)
		}
		last = path[at+found]
		at += found + 1
		if refused {
			continue
		}
		whole := last.text == s.text || running && at == len(path)
		if !whole && !(s.part && strings.HasPrefix(last.text, s.text)) {
			return fmt.Sprintf("the page shows %q, the hub has %q", s.text, last.text)
		}
	}
	if at != len(path) {
		return fmt.Sprintf("%d messages behind the page's last", len(path)-at)
	}
	return ""
}

// follower is a client of the conversation's WebSocket, which says nothing.
type follower struct {
	mu   sync.Mutex
	page refPage
	err  error
	raw  []string // every frame that came
}

// followSocket joins the conversation.
func (p *pageRig) followSocket() *follower {
	p.t.Helper()
	f := &follower{}
	c := p.dial("/ws/" + p.id)
	go func() {
		for {
			_, raw, err := c.ws.Read(context.Background())
			if err != nil {
				return
			}
			f.mu.Lock()
			f.raw = append(f.raw, string(raw))
			if _, err := f.page.take(raw); err != nil && f.err == nil {
				f.err = err
			}
			f.mu.Unlock()
		}
	}()
	return f
}

// wantPath waits until the follower holds what the hub has, but for a reply that
// runs.
func (f *follower) wantPath(p *pageRig) {
	p.t.Helper()
	path, running := p.path()
	if running {
		path = path[:len(path)-1]
	}
	var got, want []string
	for _, s := range path {
		want = append(want, s.id+" "+s.text)
	}
	same := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		got = nil
		for _, m := range f.page.messages {
			if !m.partial {
				got = append(got, m.ID+" "+m.Content)
			}
		}
		return f.err != nil || slices.Equal(got, want)
	}
	for limit := time.Now().Add(rigPatience); !same(); runtime.Gosched() {
		if time.Now().After(limit) {
			f.mu.Lock()
			defer f.mu.Unlock()
			p.t.Fatalf("the WebSocket's client has\n%q, want\n%q\nframes:\n%s", got, want, strings.Join(f.raw, "\n"))
		}
	}
	if f.err != nil {
		p.t.Fatalf("%v\nframes:\n%s", f.err, strings.Join(f.raw, "\n"))
	}
}

// describe is both, for a failure.
func (m *pageModel) describe() string {
	var b strings.Builder
	b.WriteString("the page:\n")
	for _, s := range m.list {
		fmt.Fprintf(&b, "  %s %-9s %q known: %v\n", m.hubID(s.id)[:8], s.role, s.text, m.hers[m.hubID(s.id)])
	}
	b.WriteString("the hub:\n")
	path, _ := m.path()
	for _, s := range path {
		fmt.Fprintf(&b, "  %s %-9s %q\n", s.id[:8], s.role, s.text)
	}
	return b.String()
}
