package hub

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/session"
)

// TestDeepChatRewritten has another node go on with a reply: the widget, which
// has no offsets, is told nothing where all that it has stays, and the whole
// beginning again where it does not.
func TestDeepChatRewritten(t *testing.T) {
	sock := newMemSocket()
	f := newFollow(&Conn{hub: &Hub{}, sock: sock})
	r, c := newCopy("one ")
	d := DeepChat{EndPhrase: "[DONE]"}
	give := func(text string) {
		t.Helper()
		c.Append([]byte(text))
		if err := d.delta(f, r, []byte(text), r.Len()); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(offset int) {
		t.Helper()
		if err := d.start(f, r, offset); err != nil {
			t.Fatal(err)
		}
	}
	begin(0)
	if err := d.delta(f, r, []byte("one "), 4); err != nil {
		t.Fatal(err)
	}
	give("[DONE]") // kept back
	begin(10)      // all stays
	give(" two")
	c.Rewritten(4, []session.Epoch{{N: 5, At: 4}})
	begin(4)
	give("three")
	if err := d.end(f, r, &End{Message: session.Message{FinishReason: session.FinishStop}}); err != nil {
		t.Fatal(err)
	}
	if err := f.flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, frame := range sock.sent {
		got = append(got, string(frame))
	}
	want := []string{
		`{"text":"one "}`, `{"text":"[DONE] two"}`, `{"text":"one ","overwrite":true}`, `{"text":"three"}`, `{"text":"[DONE]"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
