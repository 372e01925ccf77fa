package session

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestWholeRunes: what was cut ends with a whole character, and with no part that has
// none.
func TestWholeRunes(t *testing.T) {
	for _, test := range []struct{ p, want string }{
		{"", ""}, {"a", "a"}, {"é", "é"}, {"a\xc3", "a"}, {"a\xf0\x9f\x91", "a"}, {"a👋", "a👋"}, {"a\x80", "a\x80"},
		{"a\xff", "a"}, {"a\xff\x80", "a"}, {"a\xff\x81b", "a\xff\x81b"}, {"a\xff\x81\xe6\xbc", "a"}, {"a\xff\x81漢", "a\xff\x81漢"},
		{"\xff", ""}, {"\xff\x81", ""}, {"\xff\x81\xf0\x9f\x91", ""},
	} {
		if n := wholeRunes([]byte(test.p)); test.p[:n] != test.want || len(test.p)-n > maxTorn {
			t.Errorf("%q: %q, want %q", test.p, test.p[:n], test.want)
		}
	}
}

func TestMessageParts(t *testing.T) {
	for _, test := range []struct {
		content, text, reasoning string
		last                     Part
		size                     int
	}{
		{"", "", "", PartText, 0},
		{"hi", "hi", "", PartText, 2},
		{"\xff\x81hm", "", "hm", PartReasoning, 2},
		{"\xff\x81hm\xff\x80hi", "hi", "hm", PartText, 4},
		{"a\xff\x81b\xff\x80c\xff\x81d", "ac", "b\n\nd", PartReasoning, 4},
	} {
		m := Message{Role: Assistant, Content: test.content}
		if m.Text() != test.text || m.Reasoning() != test.reasoning || LastPart(test.content) != test.last || SizeOf(test.content) != test.size {
			t.Errorf("%q: %q, %q, %x, %d", test.content, m.Text(), m.Reasoning(), LastPart(test.content), SizeOf(test.content))
		}
		b, err := json.Marshal(m)
		var told struct{ Content, Reasoning string }
		if err != nil || json.Unmarshal(b, &told) != nil || told.Content != test.text || told.Reasoning != test.reasoning ||
			strings.Contains(string(b), "reasoning") != (test.reasoning != "") {
			t.Errorf("%q: %s, %v", test.content, b, err)
		}
	}
}

// TestCursorOfParts reads texts of random parts, in any pieces and from every offset:
// a cursor tells each byte's part, never a mark, and counts text alone, too.
func TestCursorOfParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var content string
		part := PartText
		for i := range 1 + rng.IntN(6) {
			if i > 0 || rng.IntN(2) == 0 {
				part = map[Part]Part{PartText: PartReasoning, PartReasoning: PartText}[part]
				content += string(AppendMark(nil, part))
			}
			for range 1 + rng.IntN(400) {
				content += []string{"a", "é", "漢", "👋"}[rng.IntN(4)]
			}
		}
		text := new(Manager).newText(Ref{}, &Running{}, true)
		for rest := []byte(content); len(rest) > 0; {
			n := RuneBoundary(rest, 4+rng.IntN(300))
			text.append(rest[:n])
			rest = rest[n:]
		}
		text.show(text.Appended(), false)
		if got := text.String(len(content)); got != content {
			t.Fatalf("%q is held as %q", content, got)
		}
		for off := range len(content) + 1 {
			c, ok := text.At(off)
			if whole := off == len(content) || utf8.RuneStart(content[off]); ok != whole {
				t.Fatalf("at %d of %q: %v", off, content, ok)
			}
			if !ok {
				continue
			}
			if before := content[:off]; c.Off() != off || c.Part() != LastPart(before) || c.TextOff() != len(TextOf(before)) {
				t.Fatalf("behind %q: %d, %x, %d", before, c.Off(), c.Part(), c.TextOff())
			}
			if off%29 > 0 {
				continue
			}
			rest := content[:off]
			for p := c.Next(4 + rng.IntN(500)); len(p) > 0; p = c.Next(4 + rng.IntN(500)) {
				if LastPart(rest) != c.Part() || c.Off()-len(p) != len(rest) {
					rest = string(AppendMark([]byte(rest), c.Part()))
				}
				rest += string(p)
			}
			if rest != content {
				t.Fatalf("from %d of %q: %q", off, content, rest)
			}
		}
		said := TextOf(content)
		for n := range len(said) + 2 {
			off, ok := text.TextAt(n)
			if ok != (n <= len(said)) {
				t.Fatalf("behind %d bytes of text in %q: %v", n, content, ok)
			}
			if c, whole := text.At(off); ok && whole && c.TextOff() != n {
				t.Fatalf("behind %d bytes of text in %q: %d, where there are %d", n, content, off, c.TextOff())
			}
		}
	}
}

// TestTextCutInMarks has a node follow a text of which it gets any pieces: it shows
// whole characters only, and no mark before what follows it.
func TestTextCutInMarks(t *testing.T) {
	content := "é\xff\x81漢\xff\x80👋\xff\x81.\xff\x80!"
	for cut := range len(content) {
		text := new(Manager).newText(Ref{}, &Running{}, false)
		text.Stored(0, []byte(content[:cut]), cut)
		if got := text.String(text.Safe()); !strings.HasPrefix(content, got) || wholeRunes([]byte(got)) != len(got) || cut-len(got) > maxTorn {
			t.Errorf("of %q is shown %q", content[:cut], got)
		}
		text.Stored(text.Appended(), []byte(content[text.Appended():]), len(content))
		if got := text.String(text.Safe()); got != content {
			t.Errorf("behind %d it is %q", cut, got)
		}
	}
}

// TestCommonPrefix: whole characters, and of texts in many blocks.
func TestCommonPrefix(t *testing.T) {
	for _, tt := range []struct {
		text, content string
		bound, want   int
	}{
		{"a\xff\x80b", "a\xff\x81b", 4, 1}, // text and reasoning
		{"aé", "aê", 3, 1},
		{"abc", "abd", 2, 2},
		{"abc", "ab", 3, 2},
		{"ab", "abc", 2, 2},
		{"ab", "ab", 0, 0},
		{"", "ab", 0, 0},
		{"xb", "ab", 2, 0},
	} {
		text := StoredText(Ref{}, &Message{Content: tt.text})
		if n := text.commonPrefix(tt.content, tt.bound); n != tt.want {
			t.Errorf("%q and %q have %d bytes in common below %d, want %d", tt.text, tt.content, n, tt.bound, tt.want)
		}
	}
	var text Text // of many blocks
	b := &block{buf: make([]byte, firstBlock)}
	text.first, text.last = b, b
	content := strings.Repeat("né", 10_000)
	text.append([]byte(content))
	if n := text.commonPrefix(content, len(content)); n != len(content) {
		t.Errorf("equal texts have %d bytes of %d in common", n, len(content))
	}
	if n := text.commonPrefix(content[:20_001]+"x"+content[20_002:], len(content)); n != 20_001 {
		t.Errorf("%d bytes in common before a difference at 20,001", n)
	}
}
