package filestore

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestReplayChecks: a frame that was made of something else than what stands, as
// one that was never acknowledged can be, is skipped.
func TestReplayChecks(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"), say("a", "hi"), write("a", "Hello"))
	want := dump(t, store)
	id := name("a")
	e := *store.b.j.entries[id]
	var c *session.Conversation
	err = store.Each(t.Context(), func(_ uuid.UUID, one *session.Conversation, _ *session.Text) error { c = one; return nil })
	if err != nil {
		t.Fatal(err)
	}
	change := func(change func(*session.Change)) *session.Change {
		ch := &session.Change{Head: c.Head, Had: -1}
		ch.Version, ch.Running = "later", nil
		change(ch)
		return ch
	}
	commit := func(was string, ch *session.Change) []byte {
		frame, err := appendCommit(nil, 0, id, was, ch, 0)
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	grows := func(fence string, at uint64, p string) []byte {
		start, buf := beginFrame(nil, kindAppend)
		buf = binary.AppendUvarint(binary.AppendUvarint(buf, 0), 99<<1|1)
		buf = binary.LittleEndian.AppendUint64(append(buf, id[:]...), fenceSum(fence))
		buf = appendBlock(binary.AppendUvarint(buf, at), p)
		endFrame(buf, start)
		return buf
	}
	nothing := func(*session.Change) {}
	tests := []struct {
		name  string
		frame []byte
		takes bool
	}{
		{"made of another version", commit("another", change(nothing)), false},
		{"made of nothing", commit("", change(nothing)), false},
		{"made of another length", commit(e.version, change(func(ch *session.Change) { ch.Had, ch.Has = 4, 4 })), false},
		{"made of what stands", commit(e.version, change(func(ch *session.Change) { ch.Had, ch.Has = 5, 5 })), true},
		{"deletes another version", appendDelete(nil, 0, id, "another"), false},
		{"deletes what stands", appendDelete(nil, 0, id, e.version), true},
		{"deletes whatever stands", appendDelete(nil, 0, id, ""), true},
		{"grows under another fence", grows("another", 5, "x"), false},
		{"grows before the end", grows(e.fence, 4, "x"), false},
		{"grows behind the end", grows(e.fence, 6, "x"), false},
		{"grows at the end", grows(e.fence, 5, "x"), true},
		{"grows by what has no beginning", []byte(string(appendOf(7, "x"))), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := d.afterProcess()
			f := m.names[segmentName(1)]
			f.data = append(f.data, tt.frame...)
			again, err := open(m, "disk", quiet(Config{}))
			if err != nil {
				t.Fatal(err)
			}
			if got := !cmp.Equal(want, dump(t, again)); got != tt.takes {
				t.Errorf("taken: %v", got)
			}
		})
	}
}

func appendOf(stream uint64, p string) []byte {
	start, buf := beginFrame(nil, kindAppend)
	buf = appendBlock(binary.AppendUvarint(binary.AppendUvarint(buf, 0), stream<<1), p)
	endFrame(buf, start)
	return buf
}

// TestEndOfAnotherText: a reply's end that is not what was appended is written as
// it is.
func TestEndOfAnotherText(t *testing.T) {
	for _, content := range []string{"Hello", "Hello, world", "Hallo", "Hallo, world", "", "He"} {
		d := newDisk()
		store, err := open(d, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		s := newScript(store)
		s.must(t, create("a"), say("a", "hi"), write("a", "Hello"))
		var c *session.Conversation
		err = store.Each(t.Context(), func(_ uuid.UUID, one *session.Conversation, _ *session.Text) error { c = one; return nil })
		if err != nil {
			t.Fatal(err)
		}
		r := c.Running
		ch := &session.Change{Head: c.Head, Had: 5, Has: len(content)}
		ch.Version, ch.Running, ch.Count, ch.Tip = "later", nil, 2, r.Seq
		ch.Add = []session.Message{{Role: session.Assistant, ID: r.Reply, Seq: r.Seq, Parent: r.User.Seq, Content: content, Version: "later"}}
		if err := store.b.Commit(t.Context(), name("a"), c, ch); err != nil {
			t.Fatal(err)
		}
		again, err := open(d.afterProcess(), "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		if got := dump(t, again)[name("a").String()].Messages[1]; strings.TrimSpace(got) != strings.TrimSpace("assistant  "+content) {
			t.Errorf("it is %q, want %q", got, content)
		}
	}
}

// TestTextIsWrittenOnce: a reply's end does not repeat what was appended, and a
// token of many replies costs little more than itself.
func TestTextIsWrittenOnce(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	var texts []*session.Text
	for i := range 100 {
		who := strings.Repeat("x", i+1)
		s.must(t, create(who), say(who, "hi"))
		texts = append(texts, s.texts[who])
	}
	before, payload := store.Stats().Size, 0
	for range 300 {
		for _, text := range texts {
			text.Append([]byte("a needle of 26 bytes it is"))
			payload += 26
		}
		store.b.Append(t.Context(), texts)
	}
	for _, text := range texts {
		if err := store.Finish(t.Context(), text, session.Message{FinishReason: session.FinishStop}); err != nil {
			t.Fatal(err)
		}
	}
	if ratio := float64(store.Stats().Size-before) / float64(payload); ratio > 1.2 {
		t.Errorf("%.2f bytes were written for each of the payload", ratio)
	}
	count := 0
	for _, f := range d.names {
		count += bytes.Count(f.data, []byte("needle"))
	}
	if count != 300*100 {
		t.Errorf("the tokens are written %.2f times", float64(count)/(300*100))
	}
}
