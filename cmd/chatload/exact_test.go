package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func testSpeech(t testing.TB) *speech {
	t.Helper()
	s, err := newSpeech(1, 26)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpeech(t *testing.T) {
	s := testSpeech(t)
	other, err := newSpeech(2, 26)
	if err != nil || other.text == s.text {
		t.Errorf("two seeds say the same, %v", err)
	}
	wide, escaped := 0, 0
	for _, token := range s.tokens {
		if len(token) != 26 || !utf8.ValidString(token) {
			t.Fatalf("token %q", token)
		}
		if utf8.RuneCountInString(token) < 26 {
			wide++
		}
		if strings.ContainsAny(token, "\"\\\n") {
			escaped++
		}
	}
	if wide < speechTokens/50 || escaped < speechTokens/50 {
		t.Errorf("%d tokens with wide characters, %d with escapes", wide, escaped)
	}
}

func TestSpanMatch(t *testing.T) {
	s := testSpeech(t)
	r := span{of: s, first: speechTokens - 3, count: 7} // comes round
	text := strings.Join(r.tokens(), "")
	if r.len() != 7*26 || len(text) != r.len() {
		t.Fatalf("%d bytes, %d told", len(text), r.len())
	}
	for at := range text {
		for end := at; end <= len(text); end++ {
			if got := r.match(at, []byte(text[at:end])); got != end-at {
				t.Fatalf("[%d:%d]: %d right", at, end, got)
			}
		}
		wrong := []byte(text)
		wrong[at] ^= 1
		if got := r.match(0, wrong); got != at {
			t.Fatalf("byte %d wrong: %d right", at, got)
		}
	}
	if got := r.match(0, []byte(text+"x")); got != len(text) {
		t.Errorf("beyond the end: %d right", got)
	}
	if got := r.match(len(text), []byte("x")); got != 0 {
		t.Errorf("behind the end: %d right", got)
	}
}

// TestRebuilt plays sequences of frames; "!" marks the one that must be found
// inexact.
func TestRebuilt(t *testing.T) {
	s := testSpeech(t)
	want := s.reply(3, 0, 4)
	text := strings.Join(want.tokens(), "")
	start := func(id string) frame { return frame{kind: []byte("start"), id: []byte(id), epoch: -1} }
	from := func(at int) frame { return frame{kind: []byte("start"), id: []byte("r"), epoch: -1, offset: at} }
	begin := func(at int) frame { return frame{kind: []byte("text-start"), id: []byte("r"), offset: at} }
	delta := func(from, to int) frame {
		quoted := fmt.Appendf(nil, "%s", escape(text[from:to]))
		return frame{kind: []byte("text-delta"), id: []byte("r"), delta: quoted, escaped: true, offset: to}
	}
	finish := frame{kind: []byte("finish")}
	for _, c := range []struct {
		name   string
		frames []frame
		bad    int // index of the frame to be found wrong; -1: none
	}{
		{"whole", []frame{start("r"), begin(0), delta(0, 26), delta(26, 104), finish}, -1},
		{"resumed", []frame{start("r"), begin(0), delta(0, 52), from(52), begin(52), delta(52, 104), finish}, -1},
		{"begun again", []frame{start("r"), begin(0), delta(0, 52), start("r"), begin(0), delta(0, 104), finish}, -1},
		{"another reply", []frame{start("q"), start("r"), begin(0), delta(0, 104), finish}, -1},
		{"empty delta", []frame{start("r"), begin(0), delta(0, 0), delta(0, 104), finish}, -1},
		{"ended early", []frame{start("r"), begin(0), delta(0, 78), finish}, 3},
		{"gap", []frame{start("r"), begin(0), delta(0, 26), delta(52, 104)}, 3},
		{"overlap", []frame{start("r"), begin(0), delta(0, 52), delta(26, 104)}, 3},
		{"silent gap on resume", []frame{start("r"), begin(0), delta(0, 26), from(52)}, 3},
		{"no offset on resume", []frame{from(-1)}, 0},
		{"of another reply", []frame{start("q"), begin(0)}, 1},
		{"another reply's text kept", []frame{start("r"), begin(0), delta(0, 26), start("q"), {kind: []byte("text-start"), id: []byte("q"), offset: 26}}, 4},
	} {
		r := newRebuilt(want)
		for i := range c.frames {
			_, err := r.apply(&c.frames[i])
			if _, wrong := errors.AsType[*inexact](err); wrong != (i == c.bad) || (err != nil) != wrong {
				t.Errorf("%s: frame %d: %v", c.name, i, err)
			}
		}
		if r.over != (c.bad < 0) {
			t.Errorf("%s: over %v", c.name, r.over)
		}
	}
}

func TestRebuiltStored(t *testing.T) {
	s := testSpeech(t)
	want := s.reply(3, 0, 4)
	text := strings.Join(want.tokens(), "")
	list := func(content string) []byte {
		return fmt.Appendf(nil, `[{"id":"u0","role":"user","content":"x"},{"id":"a0","role":"assistant","content":"old"},`+
			`{"id":"u","role":"user","content":"y"},{"id":"r","role":"assistant","content":"%s"}]`, escape(content))
	}
	r := newRebuilt(want)
	if known, err := r.stored(list(text), "u", false); !known || err != nil || !r.over || r.id != "r" || r.held != len(text) {
		t.Errorf("whole: %v, %v, %+v", known, err, r)
	}
	r = newRebuilt(want)
	if known, err := r.stored(list(text), "other", false); known || err != nil || r.over {
		t.Errorf("not asked: %v, %v, %+v", known, err, r)
	}
	r = newRebuilt(want)
	if known, err := r.stored(fmt.Appendf(nil, `[{"id":"r","role":"assistant","content":"%s"}]`, escape(text)), "u", true); known || err != nil || !r.over {
		t.Errorf("alone: %v, %v, %+v", known, err, r)
	}
	for _, wrong := range []string{text[:len(text)-1], text + "x", "x" + text[1:], ""} {
		r = newRebuilt(want)
		if _, err := r.stored(list(wrong), "u", false); err == nil {
			t.Errorf("%q passed", wrong)
		}
	}
}

// escape writes s as the inside of a JSON string, each byte of ASCII that
// must be, and then some, as \u.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x30 || r == '"' || r == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
