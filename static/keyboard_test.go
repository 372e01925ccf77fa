package static_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// Without a mouse: everything is reached by Tab and done by Enter, and the
// focus is never lost.
func TestKeyboardOnly(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Open(h.URL + "/shop")
	p.Until("$('.toggle')")
	focus := func() string { return eval[string](p, "r.activeElement?.classList[0] ?? ''") }
	tabTo := func(name string) {
		t.Helper()
		for range 20 {
			if focus() == name {
				return
			}
			p.Key("Tab", "", 0)
		}
		t.Fatalf("%s is not reached by Tab; the focus is on %q", name, focus())
	}
	tabTo("toggle")
	p.Key("Enter", "\r", 0)
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && r.activeElement === $('.input') && w.words")
	_, r := ask(p, c, "Hello", "")
	r.delta("Look: [a](https://a.example)\n\n```go\nx\n```\n\n| a |\n|---|\n| b |").finish("stop")
	p.Until("w.state === 'ready'")
	if focus() != "input" {
		t.Errorf("after a reply the focus is on %q", focus())
	}
	var order []string
	tabTo("new")
	for range 12 {
		order = append(order, eval[string](p, "r.activeElement?.className || r.activeElement?.localName || ''"))
		p.Key("Tab", "", 0)
	}
	for _, want := range []string{"new", "close", "log", "a", "copy", "pre", "table", "regenerate", "time", "input"} {
		if !slices.Contains(order, want) {
			t.Errorf("%s is not in the order %v", want, order)
		}
	}
	tabTo("regenerate")
	p.Key("Enter", "\r", 0)
	c.expect("regenerate")
	if got := focus(); got != "log" {
		t.Errorf("the button is gone, the focus on %q", got)
	}
	tabTo("close")
	p.Key("Enter", "\r", 0)
	p.Until("!$('.panel').checkVisibility({ visibilityProperty: true }) && r.activeElement === $('.toggle')")
}

// What assistive technology is told of a whole conversation: names and roles,
// each text once.
func TestAccessibilityTree(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/shop", shopPage)
	p.Open(h.URL + "/shop")
	p.Click(".toggle")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && w.words")
	_, r := ask(p, c, "Question?", "")
	r.delta("## Heading\n\nAn *answer* with [a link](https://a.example).\n\n- [x] done\n- two\n\n```go\nreturn nil\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |").finish("stop")
	p.Until("w.state === 'ready'")
	p.Do("$('.sr[aria-live]').textContent = ''") // what was announced is not there for ever, in a real reader
	tree, err := chromedp.Call(p.Ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil || n.Name == nil {
			continue
		}
		var role, name string
		if json.Unmarshal([]byte(n.Role.Value), &role) != nil || json.Unmarshal([]byte(n.Name.Value), &name) != nil {
			t.Fatalf("role %s, name %s", n.Role.Value, n.Name.Value)
		}
		said = append(said, role+" "+name)
	}
	for _, want := range []string{
		"dialog Ask us", "heading Ask us", "log Messages", "button New chat", "button Close", "textbox Write a message…", "button Send",
		"StaticText Question?", "heading Heading", "link a link", "checkbox [x]", "columnheader a", "cell 1", "button Copy", "button Answer again", "button Chat",
	} {
		n := 0
		for _, s := range said {
			if s == want {
				n++
			}
		}
		if n == 0 || n > 1 && !strings.HasPrefix(want, "button Copy") {
			t.Errorf("%q is there %d times in\n%s", want, n, strings.Join(said, "\n"))
		}
	}
}

// One announcement a reply, however it comes; and one that it begins.
func TestOneAnnouncementAReply(t *testing.T) {
	_, p, c := openPage(t)
	p.Until("w.words")
	p.Do(`window.said = []; new MutationObserver(() => said.push($('[aria-live=polite]').textContent.replace(/\s+/g, ' ').trim())).observe($('[aria-live=polite]'), { childList: true, characterData: true, subtree: true })`)
	last := ""
	for i := range 3 {
		_, r := ask(p, c, fmt.Sprint("Question ", i), last)
		for word := range strings.FieldsSeq("one two three four five six") {
			r.delta(word + " ")
		}
		r.finish("stop")
		p.Until("w.state === 'ready' && said.length === " + fmt.Sprint(2*(i+1)))
		last = r.id
	}
	want := strings.Repeat("Thinking…|Assistant: one two three four five six|", 3)
	if got := eval[string](p, "said.join('|') + '|'"); got != want {
		t.Errorf("announced %q, want %q", got, want)
	}
}
