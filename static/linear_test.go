package static_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// construct is a way to write Markdown that a careless renderer chokes on.
type construct struct {
	name string
	make string // JavaScript: the text, of about n characters, as a function of n
	seen string // JavaScript: the letters and digits that must be shown, in order; "" for all of the text's
}

// rep is a text that repeats a unit.
func rep(unit string) string {
	return "(n) => " + literal(unit) + ".repeat(n / " + fmt.Sprint(jsLength(unit)) + ")"
}

func jsLength(s string) (n int) {
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// each is a text of units that differ: expr is the i-th, a template literal.
// Where the i-th is about i long, they are few.
func each(expr string) string {
	return "(n) => { let s = ''; for (let i = 1; s.length < n; i++) s += `" + expr + "`; return s }"
}

const anything = "(s) => null" // what is shown is compared by other tests

// without is the text's letters less what matches, which becomes no text.
func without(pattern string) string { return "(s) => s.replace(" + pattern + ", '$1')" }

// constructs holds every construct of Markdown, closed, left open, nested and
// repeated, and what is no Markdown at all.
var constructs = []construct{
	{"words", rep("word and word "), ""},
	{"one line without spaces", rep("abcdefghij"), ""},
	{"lines", rep("line\n"), ""},
	{"blank lines", rep("\n"), ""},
	{"spaces", rep(" "), ""},
	{"tabs", rep("\t"), ""},
	{"indented", rep("    a\n"), ""},
	{"indented by one line", "(n) => ' '.repeat(n - 1) + 'a'", ""},
	{"emphasis", rep("*a* "), ""},
	{"emphasis opened", rep("*a "), ""},
	{"emphasis closed", rep("a* "), ""},
	{"strong opened", rep("**a "), ""},
	{"strong and emphasis", rep("***a** b* "), ""},
	{"both nested", rep("*a _b "), ""},
	{"both closed crosswise", "(n) => '*a _b '.repeat(n / 12) + 'a* b_ '.repeat(n / 12)", ""},
	{"nested by turns", "(n) => '*a **b '.repeat(n / 14) + 'b** a* '.repeat(n / 14)", ""},
	{"a run of asterisks", rep("*"), ""},
	{"a run of underscores", "(n) => 'a' + '_'.repeat(n)", ""},
	{"runs that grow", each("a${'*'.repeat(i % 300)}"), ""},
	{"underscores in words", rep("snake_case_name_"), ""},
	{"a word of underscores", rep("a_"), ""},
	{"strikethrough", rep("~~a~~ ~~b "), ""},
	{"tildes in a line", rep("a ~ "), ""},
	{"code spans", rep("`a` "), ""},
	{"code spans opened", rep("`a ``b "), ""},
	{"backticks", rep("`"), ""},
	{"runs of backticks that grow", each("a ${'`'.repeat(i)}"), ""},
	{"runs of backticks that shrink", "(n) => { let s = ''; for (let i = Math.floor(Math.sqrt(2 * n)); i > 0; i--) s += 'a' + '`'.repeat(i) ; return s }", ""},
	{"escaped", rep("\\*"), ""},
	{"backslashes", rep("\\"), ""},
	{"hard breaks", rep("a\\\n"), ""},
	{"hard breaks by spaces", rep("a  \n"), ""},
	{"fences opened", rep("```\n"), ""},
	{"fences with a language", rep("```go\n"), ""},
	{"fences of tildes", rep("~~~\na\n~~~\n\n"), ""},
	{"a fence of one line", "(n) => 'a\\n' + '~'.repeat(n)", ""},
	{"a fence of tildes and a backtick", "(n) => '~'.repeat(n) + '`a'", ""},
	{"a fence and its line", "(n) => '```' + 'a'.repeat(n)", ""},
	{"fences that grow", each("${'`'.repeat(i + 2)}\n"), ""},
	{"fences that shrink", "(n) => { let s = ''; for (let i = Math.floor(Math.sqrt(2 * n)); i > 2; i--) s += '`'.repeat(i) + '\\n'; return s }", ""},
	{"fences in quotes", rep("> ```\n> a\n"), ""},
	{"fences in lists", rep("- ```\n  a\n"), ""},
	{"a listing never closed", "(n) => '```\\n' + 'let a = 1;\\n'.repeat(n / 11)", ""},
	{"a listing of one line", "(n) => '```\\n' + 'a b '.repeat(n / 4)", ""},
	{"a listing of spaces", "(n) => '```\\n' + ' '.repeat(n)", ""},
	{"a listing of backticks", "(n) => '````\\n' + '```\\n'.repeat(n / 4)", ""},
	{"links", rep("[a](https://b.example/c) "), without(`/(\[a\])\(.*?\)/g`)},
	{"link targets opened", rep("[a](b"), ""},
	{"link targets with a space", rep("[a](b "), ""},
	{"link targets with a title", rep("[a](b \"c"), ""},
	{"link targets of spaces", "(n) => ('[a](' + ' '.repeat(500)).repeat(n / 504)", ""},
	{"a link target of spaces", "(n) => '[a](' + ' '.repeat(n) + 'b'", ""},
	{"a link target of brackets", "(n) => '[a](' + '(b)'.repeat(n / 3)", ""},
	{"a title of spaces", "(n) => ('[a](b \"' + ' '.repeat(500) + '\"c').repeat(n / 508)", ""},
	{"a link target of one word", "(n) => '[a](https://' + 'b'.repeat(n)", ""},
	{"a link text without an end", "(n) => '[' + 'a '.repeat(n / 2)", ""},
	{"brackets opened", rep("["), ""},
	{"brackets closed", rep("]"), ""},
	{"brackets", rep("[a]"), ""},
	{"brackets nested", "(n) => '['.repeat(n / 2) + ']'.repeat(n / 2)", ""},
	{"bracket and parenthesis", rep("]("), ""},
	{"links nested", rep("[a]([b]("), ""},
	{"empty links", rep("[]()"), ""},
	{"references", rep("[a][b]\n"), ""},
	{"definitions", rep("[a]: https://b.example\n"), ""},
	{"images", rep("![a](https://b.example/c) "), without(`/(!\[a\])\(.*?\)/g`)},
	{"images opened", rep("![a](b"), ""},
	{"exclamation marks", rep("!"), ""},
	{"images in images", rep("!["), ""},
	{"addresses", rep("https://a.example/b "), ""},
	{"addresses without a space", rep("https://a.example/b,"), ""},
	{"schemes", rep("https://"), ""},
	{"schemes and dots", rep("https://. "), ""},
	{"the beginning of a scheme", rep("h"), ""},
	{"the beginning of schemes", rep("ht htt http "), ""},
	{"an address of dots", "(n) => 'https://a' + '.'.repeat(n)", ""},
	{"an address of brackets", "(n) => 'https://' + '()'.repeat(n / 2)", ""},
	{"address in angle brackets", rep("<https://a.example/b> "), ""},
	{"angle brackets", rep("<"), ""},
	{"angle brackets closed", rep(">a"), ""},
	{"pairs of angle brackets", rep("<a>"), ""},
	{"breaks", rep("<br>"), without(`/(<)br>/g`)},
	{"breaks in open emphasis", "(n) => '*a **b ' + '<br>'.repeat(n / 4)", without(`/(<)br>/g`)},
	{"140,000 breaks in open emphasis", "(n) => '*a **b ' + '<br>'.repeat(n * 140000 / 65536)", without(`/(<)br>/g`)},
	{"breaks in open brackets", "(n) => '[*a ' + '<br>'.repeat(n / 4) + ']'", without(`/(<)br>/g`)},
	{"half a break", rep("<br"), ""},
	{"HTML", rep("<p class=a>b</p>\n"), ""},
	{"HTML opened", rep("<div a='"), ""},
	{"comments", rep("<!-- a "), ""},
	{"headings", rep("# a\n"), ""},
	{"headings of each rank", each("${'#'.repeat(i % 6 + 1)} a\n"), ""},
	{"hashes", rep("#"), ""},
	{"a heading of one line", "(n) => '# ' + 'a *b '.repeat(n / 5)", ""},
	{"closing hashes", rep("# a #\n"), ""},
	{"setext", rep("a\n===\n"), ""},
	{"setext by dashes", rep("a\n---\n"), ""},
	{"equals signs", rep("="), ""},
	{"rules", rep("---\n"), ""},
	{"rules with spaces", rep("* * *\n"), ""},
	{"a rule of one line", rep("- "), ""},
	{"a rule that is none", "(n) => '- '.repeat(n / 2) + 'a'", ""},
	{"dashes", rep("-"), ""},
	{"dashes and spaces", "(n) => ('-' + ' '.repeat(90)).repeat(n / 91) + 'a'", ""},
	{"list", rep("- a\n"), ""},
	{"lists by turns", rep("- a\n+ b\n* c\n"), ""},
	{"list nested by indentation", each("${' '.repeat(2 * (i % 200))}- a\n"), ""},
	{"list nested by indentation, ever deeper", each("${' '.repeat(2 * i)}- a\n"), ""},
	{"list nested in one line", "(n) => ('- '.repeat(60) + 'a\\n').repeat(n / 122)", ""},
	{"list and blank lines", rep("- a\n\n"), ""},
	{"list goes on", "(n) => '- a\\n' + '  b\\n'.repeat(n / 4)", ""},
	{"ordered list", each("${i}. a\n"), without(`/()\d+\. /g`)},
	{"ordered by brackets", rep("1) a\n"), without(`/()1\)/g`)},
	{"ordered in one line", rep("1. "), anything},
	{"digits", rep("1"), ""},
	{"digits and dots", rep("1."), anything},
	{"task list", rep("- [ ] a\n- [x] b\n"), anything},
	{"task list opened", rep("- ["), ""},
	{"quotes", rep(">"), ""},
	{"quotes with spaces", rep("> "), ""},
	{"quotes by lines", rep("> a\n"), ""},
	{"quotes nested by lines", each("${'>'.repeat(i % 30)} a\n\n"), ""},
	{"quotes and lists", rep("> - "), ""},
	{"quotes and lists by lines", rep("> - a\n"), ""},
	{"table of many columns", "(n) => '|a'.repeat(n / 6) + '|\\n' + '|-'.repeat(n / 6) + '|\\n' + '|\\n'.repeat(n / 6)", ""},
	{"table of a hundred columns", "(n) => '|a'.repeat(100) + '|\\n' + '|-'.repeat(100) + '|\\n' + '|\\n'.repeat((n - 404) / 2)", ""},
	{"tables of a hundred columns", "(n) => ('|a'.repeat(100) + '|\\n' + '|-'.repeat(100) + '|\\n' + '|\\n'.repeat(100) + '\\n').repeat(n / 605)", ""},
	{"table of many rows", "(n) => '|a|b|\\n|-|-|\\n' + '|c|d|\\n'.repeat(n / 6)", ""},
	{"tables", rep("|a|\n|-|\n|b|\n\n"), ""},
	{"table with rows too long", "(n) => '|a|\\n|-|\\n' + '|b'.repeat(n / 2)", anything},
	{"pipes", rep("|"), ""},
	{"pipes by lines", rep("|\n"), ""},
	{"pipes in a line", rep("a|"), ""},
	{"rows without a table", rep("| a\n"), ""},
	{"escaped pipes", "(n) => '|a|\\n|-|\\n' + '|b\\\\|c|\\n'.repeat(n / 7)", ""},
	{"escaped pipes in a row", "(n) => '|a|\\n|-|\\n|' + '\\\\|'.repeat(n / 2)", ""},
	{"backslashes in a row", "(n) => '|a|\\n|-|\\n|' + '\\\\'.repeat(n)", ""},
	{"delimiters", rep("|-"), ""},
	{"delimiters by lines", rep("|-|\n"), ""},
	{"delimiters aligned", rep("|:-:\n"), ""},
	{"emphasis in cells", "(n) => '|a|b|\\n|-|-|\\n' + '|*c|**d|\\n'.repeat(n / 9)", ""},
	{"entities", rep("&amp; "), ""},
	{"entities opened", rep("&a"), ""},
	{"formulas", rep("$a$ "), ""},
	{"formulas opened", rep("\\(a \\[b $c $$d "), ""},
	{"dollars", rep("$"), ""},
	{"right to left", rep("مرحبا بالعالم **نص** "), ""},
	{"marks of direction", rep("\u202ea\u2066"), ""},
	{"emoji", rep("😀👩\u200d👩\u200d👧 "), ""},
	{"combining marks", "(n) => 'a' + '\\u0301'.repeat(n)", ""},
	{"lone surrogates", "(n) => 'a\\ud83d'.repeat(n / 2)", ""},
	{"NULs", rep("\u0000a"), ""},
	{"lines of CRLF", rep("a\r\n"), ""},
	{"lines of CR", rep("a\r"), ""},
	{"CRs", rep("\r"), ""},
	{"deep mixture", rep("> - *a [b](c `d ![e **f ~~g "), ""},
	{"deep mixture by lines", rep("> - *a\n1. | b\n  ```c\n### [d\n"), anything},
	{"random", "(n) => { random.seed = 7; return random(n) }", anything},
}

// linearPage is the renderer's page with what these tests ask of it.
func linearPage(t *testing.T) *tab {
	t.Helper()
	h := newFakeHub(t)
	h.serve("/renderer", rendererPage(t))
	p := newTab(t)
	p.Open(h.URL + "/renderer")
	p.Do(`
		// The same sequence in every run.
		window.random = (n) => {
			const next = (m) => (random.seed = (random.seed * 48271) % 2147483647) % m;
			const units = ['*', '**', '_', '` + "`" + `', '` + "```" + `', '~~~', '[', '](', 'https://a.b/', ')', '!', '<br>', '<', '|', '|-|', '\n', '\n\n', '> ', '- ', '  ', '1. ',
				'# ', '\\', '"', ' ', 'a', 'b c', '$', '😀', 'é', '\t', '\r\n', '\r', '---', '| a |\n|---|\n', '- [x] ', 'مر', '。', '&', '+', '=', ':', '\u0000'];
			let s = '';
			while (s.length < n) s += units[next(units.length)];
			return s.slice(0, n);
		};
		random.next = (m) => (random.seed = (random.seed * 48271) % 2147483647) % m;
		const spied = [[Element.prototype, 'append'], [Element.prototype, 'prepend'], [Element.prototype, 'before'], [Element.prototype, 'replaceWith'],
			[Element.prototype, 'replaceChildren'], [CharacterData.prototype, 'appendData']];
		// What a text costs: calls of the DOM (times their arguments), milliseconds, nodes, and how deep they are.
		window.cost = (parts, attached) => {
			let calls = 0;
			const saved = spied.map(([o, name]) => o[name]);
			spied.forEach(([o, name], i) => { o[name] = function (...args) { calls += 1 + args.length; return saved[i].apply(this, args) } });
			const root = document.createElement('div');
			if (attached) document.body.append(root);
			const md = new Markdown(root, '');
			let html;
			const from = performance.now();
			try {
				for (const part of parts) {
					md.push(part);
					if (attached) root.getBoundingClientRect();
				}
				const open = performance.now() - from;
				md.end();
				if (attached) root.getBoundingClientRect();
				const ms = performance.now() - from;
				let nodes = 1, deep = 0;
				for (const walk = document.createTreeWalker(root, NodeFilter.SHOW_ALL); walk.nextNode();) nodes++;
				for (let level = [root]; level.length; level = level.flatMap((el) => [...el.children])) deep++;
				return { calls, ms, open, nodes, deep, root };
			} finally {
				spied.forEach(([o, name], i) => { o[name] = saved[i] });
				root.remove();
			}
		};
		window.cut = (s, size) => { const parts = []; for (let i = 0; i < s.length; i += size) parts.push(s.slice(i, i + size)); return parts };
		// Letters and digits: what may never be lost.
		window.letters = (s) => (s.match(/[\p{L}\p{N}]+/gu) ?? []).join('');
	`)
	return p
}

const kib = 1 << 10

// Whatever a model writes is shown in a time that grows with the text and not
// with its square, as a whole and in small pieces, without an exception, with
// few nodes that are not deep, and not a word of it is lost.
func TestMarkdownIsLinear(t *testing.T) {
	p := linearPage(t)
	for _, c := range constructs {
		t.Run(c.name, func(t *testing.T) {
			p := *p
			p.T = t
			seen := c.seen
			if seen == "" {
				seen = "(s) => s"
			}
			got := eval[string](&p, `(() => {
				const make = `+c.make+`, seen = `+seen+`, bad = [];
				const small = make(`+fmt.Sprint(8*kib)+`), large = make(`+fmt.Sprint(64*kib)+`);
				for (const [name, size] of [['whole', 1e9], ['in pieces of 1', 1], ['in pieces of 7', 7]]) {
					// The quickest of some runs: what else the machine does only adds.
					let a, b;
					for (let i = 0; i < 12; i++) {
						const again = [cost(cut(small, size)), cost(cut(large, size))];
						a = a && a.ms < again[0].ms ? a : again[0];
						b = b && b.ms < again[1].ms ? b : again[1];
						if (b.ms < 60 || b.ms < 16 * a.ms) break;
					}
					// Eight times the text: linear is 8, quadratic 64.
					if (b.ms > 60 && b.ms > 24 * a.ms) bad.push(name + ': ' + a.ms + ' ms for 8 KiB, ' + b.ms + ' ms for 64');
					if (b.calls > 10 * a.calls + 500 && b.calls > 3 * large.length) bad.push(name + ': ' + a.calls + ' calls for 8 KiB, ' + b.calls + ' for 64');
					if (b.nodes > 2 * large.length + 100) bad.push(name + ': ' + b.nodes + ' nodes');
					if (b.deep > 50) bad.push(name + ': ' + b.deep + ' levels');
					const want = seen(large), got = letters(b.root.textContent);
					if (want !== null && got !== letters(want)) bad.push(name + ': shows ' + got.length + ' letters of ' + letters(want).length);
				}
				return bad.join('\n');
			})()`)
			if got != "" {
				t.Error(got)
			}
		})
	}
}

// A table may have a hundred columns and ten thousand cells; what is beyond is
// shown as text.
func TestTableBounds(t *testing.T) {
	p := linearPage(t)
	table := func(columns, rows int, row string) string {
		return strings.Repeat("|h", columns) + "|\n" + strings.Repeat("|-", columns) + "|\n" + strings.Repeat(row+"\n", rows)
	}
	for _, c := range []struct {
		name, in     string
		tables, most int
		text         string
	}{
		{"the attack", table(2000, 2000, "|"), 0, 0, "|h|h"},
		{"a hundred columns", table(100, 3, strings.Repeat("|c", 100)), 1, 400, "hccc"},
		{"a hundred and one", table(101, 3, strings.Repeat("|c", 101)), 0, 0, "|c|c"},
		{"ten thousand cells", table(10, 2000, strings.Repeat("|c", 10)), 1, 10000, "|c|c"},
		{"rows that lack cells", table(100, 30000, "|"), 1, 10000, "h"},
		{"one column", table(1, 20000, "|c"), 1, 10000, "|c"},
	} {
		got := eval[struct {
			Tables, Cells int
			Text          string
		}](p, `(() => {
			const root = render(`+literal(c.in)+`);
			return { tables: root.querySelectorAll('table').length, cells: root.querySelectorAll('th,td').length, text: root.textContent };
		})()`)
		if got.Tables != c.tables || got.Cells > c.most || !strings.Contains(strings.ReplaceAll(got.Text, "\n", ""), c.text) {
			t.Errorf("%s: %d tables, %d cells", c.name, got.Tables, got.Cells)
		}
		if n := strings.Count(got.Text, "c"); n != strings.Count(c.in, "c") {
			t.Errorf("%s: %d cells' texts are shown, want %d", c.name, n, strings.Count(c.in, "c"))
		}
	}
}

// However a text is cut as it comes, the result is the same.
func TestRandomMarkdown(t *testing.T) {
	p := linearPage(t)
	const batch = 1000
	for from := range 20 {
		got := eval[string](p, fmt.Sprintf(`(() => {
			random.seed = %d;
			for (let i = 0; i < %d; i++) {
				const s = random(1 + random.next(i %% 50 ? 120 : 20000)), parts = [];
				for (let at = 0, to; at < s.length; at = to) parts.push(s.slice(at, (to = at + 1 + random.next(i %% 3 ? 9 : 60))));
				const whole = render(s).innerHTML;
				for (const other of [render(...parts), s.length < 500 ? render(...s) : null])
					if (other && other.innerHTML !== whole) return JSON.stringify({ s, parts, whole, cut: other.innerHTML });
			}
			return '';
		})()`, from*7919+1, batch))
		if got != "" {
			t.Fatalf("depends on where it is cut: %s", got)
		}
	}
}

// The attack as a reply: the page lives, and shows it again after a reload.
func TestHostileTableInTheChat(t *testing.T) {
	h, p, c := openPage(t)
	_, r := ask(p, c, "A table, please", "")
	attack := strings.Repeat("|", 4000) + "\n" + strings.Repeat("|-", 4000) + "|\n" + strings.Repeat("|\n", 4000)
	for part := range strings.SplitAfterSeq(attack, "\n") {
		r.delta(part)
	}
	r.delta("the end").finish("stop")
	p.Until("w.state === 'ready' && $('.assistant').textContent.endsWith('the end')")
	p.Run(chromedp.Reload())
	c = h.next()
	c.ready(user(r.id, "A table, please"), assistant(r.id, attack+"the end", "stop"))
	p.Until("w.state === 'ready' && $('.assistant').textContent.endsWith('the end')")
}
