package static_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The chat speaks the page's language where it knows it; a page's own words win.
func TestLanguages(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	for lang, placeholder := range map[string]string{
		"de": "Nachricht schreiben …", "de-CH": "Nachricht schreiben …", "fr": "Écrivez un message…", "ES": "Escriba un mensaje…", "it": "Scrivi un messaggio…",
		"ar": "اكتب رسالة…", "ja": "メッセージを入力…", "pl": "Write a message…", "": "Write a message…", "not a language": "Write a message…",
	} {
		h.serve("/lang", page(`<!doctype html><html lang="`+lang+`"><title>Site</title><body><script src="/widget.js" data-send="OWN"></script>`))
		p.Open(h.URL + "/lang")
		p.Click(".toggle")
		c := h.next()
		c.ready()
		p.Until("w.state === 'ready' && w.words")
		if got := eval[string](p, "$('.input').placeholder + '|' + $('.send').title"); got != placeholder+"|OWN" {
			t.Errorf("%s: %s", lang, got)
		}
		p.Do("localStorage.clear()")
	}
}

// Every language has every sentence.
func TestLanguagesAreWhole(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	h.next().ready()
	var english, more string
	for name, into := range map[string]*string{"widget/texts.js": &english, "more/texts.js": &more} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		*into = string(text)
	}
	missing := eval[[]string](p, `(() => {
		const english = (() => { `+english+`; return TEXTS })(), more = (() => { `+more+`; return TEXTS })(), all = { ...english, ...more.en };
		// The same in every language, or nothing to say.
		const same = ['title', 'toggle', 'finish-stop'];
		return ['de', 'fr', 'es', 'it', 'ar', 'ja'].flatMap((lang) => [
			...Object.keys(all).filter((name) => !more[lang][name] && !same.includes(name)).map((name) => lang + ' lacks ' + name),
			...Object.keys(more[lang]).filter((name) => !(name in all)).map((name) => lang + ' has ' + name)]);
	})()`)
	if len(missing) > 0 {
		t.Error(missing)
	}
}

// Code has colours, and is the same text.
func TestCodeHasColours(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Code, please", "")
	listings := map[string]string{
		"go":         "// says hello\nfunc main() {\n\tfmt.Println(\"a \\\"b\\\" // c\", 'x', `raw\n\\n`, 0x1F, 3.5e7)\n}",
		"python":     "# comment\ndef f(x):\n    '''doc\n    string'''\n    return f\"{x}\" + 'it' # 1",
		"js":         "const a = `t ${b} /* no */`; /* yes\n yes */ let c = 1_000n;",
		"sql":        "SELECT name FROM users -- all\nWHERE id = 5 AND name = 'O''Brien';",
		"html":       "<!-- c --><a href=\"x\">it's</a>",
		"rust":       "fn f<'a>(x: &'a str) -> char { 'x' }",
		"sh":         "echo \"${#a}\" # done\nfor i in 1 2; do :; done",
		"unknown":    "if (true) return 'nothing'; // here",
		"unfinished": "\"never closed",
		"css":        "a { color: #fff; /* c */ }",
	}
	var all strings.Builder
	for language, text := range listings {
		fmt.Fprintf(&all, "```%s\n%s\n```\n\n", language, text)
	}
	long := strings.Repeat("x := \"s\" // c\n", 200)
	fmt.Fprintf(&all, "```go\n%s```\n", long)
	r.delta(all.String()).finish("stop")
	p.Until("w.state === 'ready' && $$('figure').length === " + fmt.Sprint(len(listings)+1))
	p.Do("$$('figure').forEach((f) => f.scrollIntoView())")
	for language, text := range listings {
		figure := "$$('figure').find((f) => f.querySelector('figcaption span').textContent === " + literal(language) + ")"
		p.Do(figure + ".scrollIntoView()")
		if language != "unknown" && language != "unfinished" {
			p.Until(figure + ".querySelector('i')")
		}
		if got := eval[string](p, figure+".querySelector('pre').textContent"); got != text {
			t.Errorf("%s: shown as %q, want %q", language, got, text)
		}
	}
	p.Do("$$('figure').at(-1).scrollIntoView()")
	p.Until("$$('figure').at(-1).querySelectorAll('i.comment').length === 200")
	if got := eval[string](p, "$$('figure').at(-1).querySelector('pre').textContent"); got != strings.TrimSuffix(long, "\n") {
		t.Error("a long listing is not what it was")
	}
	for selector, want := range map[string]string{
		"i.comment": "// says hello", "i.keyword": "func", "i.string": `"a \"b\" // c"`, "i.number": "0x1F",
	} {
		if got := eval[string](p, "$$('figure').find((f) => f.querySelector('figcaption span').textContent === 'go').querySelector('"+selector+"').textContent"); got != want {
			t.Errorf("%s is %q, want %q", selector, got, want)
		}
	}
}

// Tokens never overlap, stand in order, and take time that grows with the text.
func TestTokens(t *testing.T) {
	p := newTab(t)
	h := newFakeHub(t)
	source, err := os.ReadFile("more/code.js")
	if err != nil {
		t.Fatal(err)
	}
	h.serve("/code.js", script(string(source)))
	h.serve("/code", page(`<!doctype html><title>code</title>`))
	p.Open(h.URL + "/code")
	got := eval[string](p, `(async () => {
		const { tokens } = await import('/code.js');
		let seed = 1; const next = (m) => (seed = (seed * 48271) % 2147483647) % m;
		const units = ['"', "'", '`+"`"+`', '/*', '*/', '//', '#', '--', '\\', '\n', ' ', 'if', 'x', '1', '0x', '<!--', '-->', '"""', '{', '$', 'é', '😀'];
		for (const language of ['js', 'py', 'rust', 'sql', 'html', 'css', 'none', '']) {
			for (let i = 0; i < 500; i++) {
				let s = ''; while (s.length < 80) s += units[next(units.length)];
				let at = 0;
				for (const { from, to } of tokens(s, language)) { if (from < at || to <= from || to > s.length) return JSON.stringify({ language, s, from, to }); at = to; }
			}
			for (const unit of units) {
				const from = performance.now();
				tokens(unit.repeat(50000 / unit.length), language);
				if (performance.now() - from > 1000) return language + ' ' + unit + ' takes ' + (performance.now() - from) + ' ms';
			}
		}
		return '';
	})()`)
	if got != "" {
		t.Error(got)
	}
}

// The times of messages are shown when somebody asks for them.
func TestTimes(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready' && $('.tools .time')")
	if eval[bool](p, "!!$('time')") {
		t.Error("times are there before anybody asked")
	}
	p.Click(".tools .time")
	p.Until("$$('time').length === 2 && $$('time').every((t) => t.checkVisibility() && t.dateTime === '2026-01-01T00:00:00Z' && /\\d/.test(t.textContent))")
	_, r = ask(p, c, "More", r.id)
	r.delta("Hi again").finish("stop")
	p.Until("$$('time').length === 4")
	p.Click(".tools .time")
	p.Until("$$('time').every((t) => !t.checkVisibility())")
}

// A new chat asks nothing and loses nothing: the ones before are in a list.
func TestOwnChats(t *testing.T) {
	h, p, c := openPage(t)
	p.Until("w.words")
	if eval[bool](p, "$('.chats').checkVisibility()") {
		t.Error("a list of no chats")
	}
	first := c.conversation
	m, r := ask(p, c, "First question", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	p.Click(".new")
	c = h.next()
	c.ready()
	p.Until("w.state === 'ready' && !$('.msg') && $('.chats').checkVisibility()")
	second := c.conversation
	_, r2 := ask(p, c, "Second question", "")
	r2.delta("Yes").finish("stop")
	p.Until("w.state === 'ready'")

	p.Click(".chats")
	p.Until("$('.menu').checkVisibility() && $$('.menu button').map((b) => b.textContent).join('|') === 'Second question|First question' && r.activeElement.textContent === 'Second question'")
	p.Key("Escape", "", 0)
	p.Until("!$('.menu').checkVisibility() && r.activeElement === $('.chats')")
	p.Click(".chats")
	p.Do("$$('.menu button')[1].click()")
	c = h.next()
	if c.conversation != first {
		t.Errorf("opens %s, want %s", c.conversation, first)
	}
	c.ready(user(m, "First question"), assistant(r.id, "Hi", "stop"))
	p.Until("w.state === 'ready' && $('.user .body').textContent === 'First question' && !$('.menu').checkVisibility()")

	p.Run(chromedp.Reload())
	c = h.next()
	if c.conversation != first {
		t.Errorf("after a reload %s, want %s", c.conversation, first)
	}
	c.ready(user(m, "First question"), assistant(r.id, "Hi", "stop"))
	p.Until("w.state === 'ready' && $('.chats').checkVisibility()")
	p.Click(".chats")
	p.Do("$$('.menu button').find((b) => b.textContent === 'Second question').click()")
	c = h.next()
	if c.conversation != second {
		t.Errorf("opens %s, want %s", c.conversation, second)
	}
	c.close(4404) // expired meanwhile: said, and gone from the list
	c = h.next()
	c.ready()
	p.MustContain("expired")
	p.Click(".chats")
	p.Until("$$('.menu button').map((b) => b.textContent).join('|') === 'First question'")
}

// A page that keeps nothing has no list.
func TestNoStorageNoList(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/none", page(`<!doctype html><html lang="en"><title>None</title><chat-widget inline storage="none"></chat-widget><script src="/widget.js"></script>`))
	p.Open(h.URL + "/none")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready' && w.words")
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	p.Click(".new")
	h.next().ready()
	p.Until("w.state === 'ready' && !$('.msg')")
	if eval[bool](p, "!!($('.chats').checkVisibility() || localStorage.length || sessionStorage.length)") {
		t.Error("something is kept")
	}
}
