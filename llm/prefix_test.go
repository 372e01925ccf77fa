package llm

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tmc/langchaingo/llms"
)

// cutAll feeds an answer to the echo of text in pieces and returns what is new.
// cuts gives the length of each piece in bytes, moved to the next character.
func cutAll(text, answer string, cuts []byte) (fresh string, err error) {
	_, e := newEcho(text)
	for i := 0; answer != ""; i++ {
		n := len(answer)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		for n < len(answer) && !utf8.RuneStart(answer[n]) {
			n++
		}
		b, err := e.cut([]byte(answer[:n]))
		if err != nil {
			return fresh, err
		}
		fresh += string(b)
		answer = answer[n:]
	}
	return fresh + string(e.rest()), nil
}

func TestPrefix(t *testing.T) {
	tests := []struct {
		name, text, answer, fresh string
		bad                       bool
	}{
		{name: "the usual", text: "Hello", answer: "Hello world", fresh: " world"},
		{name: "space at the end", text: "Hello ", answer: "Hello world", fresh: "world"},
		{name: "space that the model leaves out", text: "Hello ", answer: "Hello, world", fresh: ", world"},
		{name: "paragraph", text: "One.\n\n", answer: "One.\n\nTwo.", fresh: "Two."},
		{name: "half a paragraph", text: "One.\n", answer: "One.\n\nTwo.", fresh: "\nTwo."},
		{name: "more than the model wants", text: "One.\n\n", answer: "One.\nTwo.", fresh: "Two."},
		{name: "white space of another kind", text: "One. \n", answer: "One.\nTwo.", fresh: "Two."},
		{name: "indentation", text: "- a\n  ", answer: "- a\n    b", fresh: "  b"},
		{name: "fewer indentation", text: "- a\n  ", answer: "- a\nb", fresh: "b"},
		{name: "nothing to add", text: "Hello", answer: "Hello", fresh: ""},
		{name: "nothing but space", text: "Hello \n", answer: "Hello \n\n", fresh: "\n"},
		{name: "ends in known space", text: "Hello \n", answer: "Hello ", fresh: ""},
		{name: "text twice", text: "ha", answer: "hahaha", fresh: "haha"},
		{name: "wide letters", text: "你好😀 ", answer: "你好😀 再见", fresh: "再见"},
		{name: "wide spaces", text: "a\u00a0", answer: "a\u0085b", fresh: "\u0085b"},
		{name: "space in front", text: " Hello", answer: "Hello world", fresh: " world"},
		{name: "space added in front", text: "Hello", answer: " Hello world", fresh: " world"},
		{name: "nothing but space so far", text: "\n", answer: "Hello", fresh: "Hello"},
		{name: "the same space again", text: "\n ", answer: "\n Hello", fresh: "Hello"},
		{name: "more space", text: "\n", answer: "\n\nHello", fresh: "\nHello"},
		{name: "nothing so far", text: "", answer: " Hello", fresh: " Hello"},
		{name: "no echo", text: "Hello", answer: " world", bad: true},
		{name: "another answer", text: "Hello", answer: "Help", bad: true},
		{name: "a part of it", text: "Hello", answer: "Hel", fresh: ""},
		{name: "empty", text: "Hello", answer: "", fresh: ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, cuts := range [][]byte{nil, {0}, {1}, {0, 3}, {4}} {
				fresh, err := cutAll(test.text, test.answer, cuts)
				if (err != nil) != test.bad || !test.bad && fresh != test.fresh {
					t.Errorf("cuts %v: got %q, %v", cuts, fresh, err)
				}
			}
		})
	}
}

// continuation says what cutting has to come to, from the whole answer.
func continuation(text, answer string) (fresh string, ok bool) {
	prefix := strings.TrimRightFunc(text, unicode.IsSpace)
	space := text[len(prefix):]
	if prefix = strings.TrimLeftFunc(prefix, unicode.IsSpace); prefix != "" {
		answer = strings.TrimLeftFunc(answer, unicode.IsSpace)
		if strings.HasPrefix(prefix, answer) {
			return "", true // nothing to add
		}
		if !strings.HasPrefix(answer, prefix) {
			return "", false
		}
		answer = answer[len(prefix):]
	}
	known := 0
	for n := 1; n <= min(len(answer), len(space)); n++ {
		head := answer[:n]
		if utf8.ValidString(head) && strings.TrimFunc(head, unicode.IsSpace) == "" &&
			(strings.HasSuffix(space, head) || strings.HasPrefix(space, head)) {
			known = n
		}
	}
	return answer[known:], true
}

// FuzzPrefix cuts a text anywhere and lets the model go on from there: the two
// joined are the text. Any other answer comes to the same in pieces as whole.
func FuzzPrefix(f *testing.F) {
	f.Add("Hello world", uint(5), "Hello", []byte{2})
	f.Add("One.\n\n  Two.", uint(6), "One.\n", []byte{0, 1})
	f.Add(" \n Hi 你好😀\u00a0\u2003 x", uint(3), "\n", []byte{})
	f.Add("a\u2003\u00a0b", uint(4), "a\u00a0b", []byte{0})
	f.Fuzz(func(t *testing.T, text string, at uint, other string, cuts []byte) {
		text, other = strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(other, "?")
		n := int(at % uint(len(text)+1))
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n++
		}
		fresh, err := cutAll(text[:n], text, cuts)
		if err != nil || text[:n]+fresh != text {
			t.Errorf("%q from %q on: got %q, %v", text, text[:n], fresh, err)
		}
		if fresh, err = cutAll(text, text+other, cuts); err != nil || text+fresh != text+other {
			t.Errorf("%q and %q: got %q, %v", text, other, fresh, err)
		}
		want, ok := continuation(text, other)
		if fresh, err = cutAll(text, other, cuts); ok != (err == nil) || ok && fresh != want || err != nil && !errors.Is(err, errNoEcho) {
			t.Errorf("%q answered by %q: got %q, %v, want %q, %v", text, other, fresh, err, want, ok)
		}
	})
}

// TestGoOn goes the whole way: what is sent, and what the caller gets.
func TestGoOn(t *testing.T) {
	tests := []struct {
		name, text, stream string
		sent               string // the assistant message, "" for none
		fresh              string
	}{
		{"the usual", "Hello ", event(`"Hel"`) + event(`"lo"`) + event(`" wor"`) + event(`"ld"`) + finish("stop"), "Hello", "world"},
		{"space waits for its end", "Hello\n\n", event(`"Hello"`) + event(`"\n"`) + finish("stop"), "Hello", ""},
		{"only space", " \n", event(`"\n"`) + event(`"Hi"`) + finish("stop"), "", "Hi"},
		{"nothing", "", event(`" Hi"`) + finish("stop"), "", " Hi"},
		{"a part and an end", "Hello", event(`"Hel"`) + finish("length"), "Hello", ""},
		{"only an end", "Hello", finish("stop"), "Hello", ""},
		{"not UTF-8", "a\xffb", event(`"a\ufffdb"`) + event(`"c"`) + finish("stop"), "a\uFFFDb", "c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var sent request
			m := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
					t.Error(err)
				}
				streams(test.stream)(w, r)
			})
			got, option := gather()
			resp, err := m.GenerateContent(t.Context(), goOn(test.text), option)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.fresh || resp.Choices[0].Content != test.fresh {
				t.Errorf("streamed %q, returned %q", got, resp.Choices[0].Content)
			}
			if test.sent == "" {
				if len(sent.Messages) != 1 {
					t.Errorf("sent %+v", sent.Messages)
				}
			} else if last := sent.Messages[len(sent.Messages)-1]; last.Content != test.sent || !last.Prefix || last.Role != "assistant" {
				t.Errorf("sent %+v", last)
			}
		})
	}
}

func TestGoOnFails(t *testing.T) {
	for name, stream := range map[string]string{
		"another answer": event(`"Good day"`) + finish("stop"),
		"a longer word":  event(`"Hel"`) + event(`"p"`) + finish("stop"),
	} {
		t.Run(name, func(t *testing.T) {
			got, option := gather()
			_, err := serve(t, streams(stream)).GenerateContent(t.Context(), goOn("Hello"), option)
			wantError(t, err, llms.ErrCodeProviderUnavailable)
			if !errors.Is(err, errNoEcho) || errors.Is(err, io.ErrUnexpectedEOF) || got.Len() > 0 {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	// A cut inside the echo is a cut like any other.
	_, err := serve(t, streams(event(`"Hel"`))).GenerateContent(t.Context(), goOn("Hello"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
