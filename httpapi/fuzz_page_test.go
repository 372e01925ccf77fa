package httpapi_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// play is one conversation with two pages of which one byte after the other says what
// they do, next. After every step that was answered the page that took it shows what
// the hub has; or it was told that it does not.
type play struct {
	t       *testing.T
	rig     *pageRig
	pages   [2]*pageModel
	socket  *follower // sees all of it over the WebSocket
	saved   [][]shown // lists that a branch picker keeps
	script  []byte
	log     []string
	texts   int
	refused int // by 409
	told    int // answered by 200
}

// next is a number below n.
func (p *play) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := int(p.script[0])
	p.script = p.script[1:]
	return b % n
}

func (p *play) text() string {
	p.texts++
	text := fmt.Sprintf("text %d", p.texts)
	switch p.next(6) {
	case 0:
		return holds + text
	case 1:
		return text + strings.Repeat(" too long", pageLimit/8)
	case 2:
		return "again" // the same text as others have
	}
	return text
}

func (p *play) step() {
	m := p.pages[p.next(4)/3] // mostly the first
	trigger, drop, alone := "submit-message", p.next(8) == 0, false
	switch what := p.next(14); what {
	case 0, 1, 2, 3: // another message
		m.say(p.text())
	case 4: // said and not sent
		m.say(p.text())
		p.note(m, "says, offline")
		return
	case 5: // regenerate(): the last answer goes, and the message before it is sent
		if i := m.lastUser(); i >= 0 {
			m.list = m.list[:i+1]
		}
		trigger = "regenerate-message"
	case 6: // sendMessage() with nothing
	case 7: // an edit that cuts, of any message
		if i := p.pick(m, "user"); i >= 0 {
			m.list = append(slices.Clone(m.list[:i]), shown{id: m.list[i].id, role: "user", text: p.text()})
		}
	case 8: // the chat template's: the text replaced, and regenerate()
		if i := p.pick(m, "user"); i >= 0 {
			m.list = append(slices.Clone(m.list[:i]), shown{id: m.list[i].id, role: "user", text: p.text()})
		}
		trigger = "regenerate-message"
	case 9: // cut, and another message behind that
		m.list = slices.Clone(m.list[:p.next(len(m.list)+1)])
		m.say(p.text())
	case 10: // a list that is trimmed, or has a hole
		if n := len(m.list); n > 2 {
			switch p.next(2) {
			case 0:
				m.list = slices.Clone(m.list[n-2:])
			case 1:
				i := p.next(n - 1)
				m.list = slices.Delete(slices.Clone(m.list), i, i+1)
			}
		}
		m.say(p.text())
	case 11: // a notice of the page's own
		i := len(m.list)
		if p.next(3) == 0 {
			i = p.next(len(m.list) + 1)
		}
		m.list = slices.Insert(slices.Clone(m.list), i, shown{id: m.newMessageID(), role: "assistant", text: "A notice."})
		p.note(m, "shows a notice")
		return
	case 12: // the branch picker
		p.saved = append(p.saved, slices.Clone(m.list))
		m.list = slices.Clone(p.saved[p.next(len(p.saved))])
		m.say(p.text())
	case 13: // the message alone; the page has to show the rest
		if len(p.rig.hers) > 0 {
			m.reload()
		}
		m.say(p.text())
		alone = true
	}
	if m.lastUser() < 0 {
		return
	}
	at := m.lastUser()
	if drop && !strings.HasPrefix(m.list[at].text, holds) {
		drop = false // it would depend on what is faster
	}
	if slices.ContainsFunc(m.list[at:], func(s shown) bool { return s.part }) {
		drop = false // the page has what comes before the gate, so nothing would come
	}
	if !drop {
		p.rig.openGates()
	}
	status, code := m.post(trigger, alone, drop)
	p.rig.closeGates()
	p.note(m, fmt.Sprintf("posts %s, alone %v, drop %v: %d %s", trigger, alone, drop, status, code))
	switch {
	case status == 200:
		p.told++
		if diff := m.differs(); diff != "" {
			p.t.Fatalf("%s\n%s\nscript:\n%s", diff, m.describe(), strings.Join(p.log, "\n"))
		}
		if p.socket == nil {
			p.socket = p.rig.followSocket()
		}
		p.socket.wantPath(p.rig)
	case status == 409 && code == "conversation_changed":
		p.refused++
		m.reload()
	case status == 404 && len(p.rig.hers) == 0: // the page's own, and no session
		m.list = nil
	case status == 413:
	default:
		p.t.Fatalf("%d %s\n%s\nscript:\n%s", status, code, m.describe(), strings.Join(p.log, "\n"))
	}
}

// pick is the place of one of the messages of this role, or -1.
func (p *play) pick(m *pageModel, role string) int {
	var of []int
	for i, s := range m.list {
		if s.role == role {
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return -1
	}
	return of[p.next(len(of))]
}

func (p *play) note(m *pageModel, what string) {
	which := slices.Index(p.pages[:], m)
	last := "nothing"
	if n := len(m.list); n > 0 {
		last = fmt.Sprintf("%d, last %s %q", n, m.list[n-1].role, m.list[n-1].text)
	}
	p.log = append(p.log, fmt.Sprintf("page %d %s (%s)", which, what, last))
}

func playPages(t *testing.T, script []byte) *play {
	p := &play{t: t, rig: newPageRig(t), script: script}
	for i := range p.pages {
		p.pages[i] = p.rig.newPage()
	}
	for len(p.script) > 0 {
		p.step()
	}
	// What was dropped is whole again when the page asks once more.
	p.rig.openGates()
	for _, m := range p.pages {
		if m.lastUser() < 0 || len(p.rig.hers) == 0 {
			continue
		}
		if status, _ := m.post("submit-message", false, false); status == 200 {
			if diff := m.differs(); diff != "" {
				t.Fatalf("in the end: %s\n%s\nscript:\n%s", diff, m.describe(), strings.Join(p.log, "\n"))
			}
		}
	}
	p.rig.stop()
	return p
}

// FuzzPage has the bytes say what two pages of one conversation do.
func FuzzPage(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 0, 1, 0, 3, 0, 1, 5, 0, 1, 9, 2, 3})
	f.Add([]byte("00700002"))
	f.Fuzz(func(t *testing.T, script []byte) { playPages(t, script[:min(len(script), 400)]) })
}

// TestPagesAtRandom plays scripts at random, always the same ones.
func TestPagesAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 15))
	told, refused := 0, 0
	for i := range 60 {
		script := make([]byte, 150)
		for j := range script {
			script[j] = byte(rng.Uint32())
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := playPages(t, script)
			told, refused = told+p.told, refused+p.refused
		})
	}
	if told < 10*refused || refused == 0 {
		t.Errorf("%d steps were answered and %d refused", told, refused)
	}
	t.Logf("%d steps were answered, %d refused", told, refused)
}
