package hub

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

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

// widget is what a deep-chat widget makes of its frames.
type widget struct {
	shown string
	ended bool
}

func (w *widget) take(t *testing.T, raw []byte, endPhrase string) {
	t.Helper()
	var f deepText
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	switch {
	case w.ended:
		t.Fatalf("%s comes behind the end", raw)
	case f.Text == endPhrase:
		w.ended = true
	case f.Text == "":
		t.Fatalf("the widget would ignore %s", raw)
	case f.Overwrite:
		w.shown = f.Text
	default:
		w.shown += f.Text
	}
}

// TestDeepChatLosesText has a reply that goes on and on lose its end to other
// writers, here and where a node has yet to hear of it, and come to an end. The
// widget shows what is left, whatever the order in which it was told.
func TestDeepChatLosesText(t *testing.T) {
	const phrase = "[DONE]"
	pieces := []string{phrase, "[DO", "NE]", "a", "é", "漢字", "👍", " ", "one two three"}
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sock, w := newMemSocket(), &widget{}
		f := newFollow(&Conn{hub: &Hub{}, sock: sock})
		d := DeepChat{EndPhrase: phrase}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		r, c := newCopy("")
		place := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
		must(d.start(f, r, place.off))
		text, epochs := "", []session.Epoch(nil)
		for range 3 + rng.IntN(20) {
			switch rng.IntN(6) {
			case 0: // another writer goes on from less
				n := rng.IntN(len(text) + 1)
				for !r.text.splits(n) {
					n--
				}
				text = text[:n]
				epochs = append(epochs, session.Epoch{N: int64(len(epochs) + 1), At: n})
				c.Rewritten(n, epochs)
			case 1: // as above, and this node lost its copy: it has to read all of it anew
				n := rng.IntN(len(text) + 1)
				for !r.text.splits(n) {
					n--
				}
				r.finish(End{Err: errMoved})
				for moved := false; !moved; { // what it hears of before that
					_, _, err := place.next()
					if moved = err == errMoved; !moved {
						must(d.start(f, r, place.off))
					}
				}
				was := Place{r.Epoch(), place.off}
				epochs = append(epochs, session.Epoch{N: int64(len(epochs) + 1), At: n})
				text = text[:n]
				r, c = newCopy("")
				r.place(&session.Running{Epochs: epochs})
				place = r.follow(&follower{wake: make(chan struct{}, 1)}, was)
				must(d.start(f, r, place.off))
				c.Append([]byte(text))
			case 2: // the follower is quick
				for range rng.IntN(4) {
					delta, _, err := place.next()
					if err == errRewritten {
						must(d.start(f, r, place.off))
					} else if delta != nil {
						must(d.delta(f, r, delta, place.off))
					}
				}
			default:
				piece := pieces[rng.IntN(len(pieces))]
				text += piece
				c.Append([]byte(piece))
			}
		}
		if rng.IntN(8) == 0 { // nothing is left, and nothing comes
			text, epochs = "", append(epochs, session.Epoch{N: 100})
			c.Rewritten(0, epochs)
		}
		e := End{Message: session.Message{ID: uuid.New(), Content: text, FinishReason: session.FinishStop, Epochs: epochs}}
		r.finish(e)
		for ended := false; !ended; {
			delta, end, err := place.next()
			switch {
			case err == errRewritten:
				must(d.start(f, r, place.off))
			case err != nil:
				must(err)
			case delta != nil:
				must(d.delta(f, r, delta, place.off))
			default:
				must(d.end(f, r, end))
				ended = true
			}
		}
		must(f.flush())
		for _, frame := range sock.sent {
			w.take(t, frame, phrase)
		}
		if !w.ended || w.shown != text && (text != "" || w.shown != " ") {
			t.Fatalf("seed %d: the widget shows %q, ended %v; the reply is %q", seed, w.shown, w.ended, text)
		}
	}
}
