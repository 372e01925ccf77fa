package httpapi_test

import (
	"flag"
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

var pageScripts = flag.Int("pages", 60, "how many scripts TestPagesAtRandom plays")

// FuzzPage has the bytes say what two pages of one conversation do.
func FuzzPage(f *testing.F) {
	f.Add([]byte("00700002"))
	f.Fuzz(func(t *testing.T, script []byte) { playPages(t, script[:min(len(script), 150)]) })
}

// TestPagesFound plays a script in which an id stands for the same text twice: the reply
// that the page shows is the one it asks for.
func TestPagesFound(t *testing.T) {
	playPages(t, []byte("fff͟\xc71\xbd\x18\x80\v\xda{.\x87\x82\x95~Ҫ\x19zR\x96\xae8\x16\x1dľ\xeaS:\xa7\x81V\x03A\xc0\xc2xY\xc4f̕G\xf6jhA\xec\x8c\x1d\xbeŐ\x13\xe7-~7\x837\xcaӌn\xe9\fy\xe8\xe4~\xc9aiU\x94+bY^<\xb2z\xef\xf7֙Ll\xd8,\x90\xec\x804\xad\x13\xf3S\xcc\xcaX\xc5\x1f\xc6\x03\x06\x80Z\x95LЍ\xf3\xaf\xb7\b6o\x80$\xe2%\xaa\xb3\x98\xfc=\xd8=\xb6>\x7f\x9f\xa9M\x80Y\xe8˚\xb3\xaf\xf4^\x1f\xf4s\x80$\x11\xe2R:͒Z\xaa\xd5\xe8\x157o\x90\x02 \xde\\$\\\xb5x|\x0e\x80\xbf\x1a\xec\xde\n{!(;\xc6Y\xa1\"\xc7^\x11\xcc{2\xc2f#\x86\xf4\x8d\x04d\x7f\x13\x96O,Qd\xa0\x8ai \xc9\xcd\x10\xe9\xe1sJ\x04o\xc9U\xacOaT}ȝ\xf4o}\v\xb6\\\xeaI4;;B\xe4\xeb\x86l\xc2+\x8e\xa0\x9e-\xf9)\xeb\x81l^\x8a_\x19\x15w\xd8\"\xdek\xc9\xf2u/*pܤ\x1b\x83\xbcl+\x0e\t\xef\xe9\xed\x88.\xb4\xec\xe8\a\xb0+Y6\xbfD\x8dÏ\xf5!\xad\r{I`\xa8\x17\x9bl\x03K\x1e\xc60\xdb3D\xa4V\xf9g\xa11\xc5\xdcB\x11f`\x12\x04\xe5\x02$\x86\xfd\xa6P\xf4\x91\x12\xa3\u0081\xb00\xac\x92\x0e\xbd\x8e\x14Q[\xa9\xa6\xbd\x81&.\x16\ar\x8e\xc7o\x9a\xae2R\xdci\x8c\xec\x96\x00\x14w28:\v\xb7\x0f`\f<B\xeeF7(\xf23\x00\x19ä\x8b\xf1\xa4y\xea+(>\xf5\"/\xa6:\x17\xeb\xa3\x06\x8c\x19f\x87\xbc\x98\xc7t&\x9f\xe6\x9eN#\x91!Y\xe3'\xbe\xe2\x9d\xec\x81\x1d\xecu\xbe\x82ѯצ\x17\x10\x8e\x19c\xee\xfa\xfb\v\"\xd5l\x92\xeb2\x8a\xf9\xf5\xec?lk\x7f\x18\x0f\x03?\x8e\x02,B-\xda'G\x0f\xf1\x99\xe4\xaaP\xb8\xe5^C\xb9!\xa4\x8b\x05\x02\x95L\xa1C\xf1\xacF\xc5\xeb\xf3\xbb\xf9\x99\xc6\xdb\x14\xf1fffff01"))
}

// TestPagesAtRandom plays scripts at random, always the same ones. More of them:
//
//	go test ./httpapi -run TestPagesAtRandom -pages 2000
func TestPagesAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 15))
	told, refused := 0, 0
	for i := range *pageScripts {
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
