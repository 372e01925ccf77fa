package hub

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// newCopy returns a reply that another node writes, with some text.
func newCopy(text string) (*Reply, copying) {
	r := newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m")
	r.copied = true
	c := copying{nil, r}
	c.Append([]byte(text))
	return r, c
}

// rest is all that a follower is given for now, and what stopped it.
func (f *follower) rest() (string, error) {
	var b strings.Builder
	for {
		delta, end, err := f.next()
		if err != nil || end != nil || delta == nil {
			return b.String(), err
		}
		b.Write(delta)
	}
}

// TestRewritten has a slow follower find out late that another writer went on
// from an earlier place, and has written beyond what the follower has since.
func TestRewritten(t *testing.T) {
	r, c := newCopy("one two three")
	slow := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
	quick := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
	if got, err := slow.rest(); got != "one two three" || err != nil {
		t.Fatal(got, err)
	}
	epochs := []session.Epoch{{N: 5, At: 8}}
	c.Rewritten(8, epochs)
	c.Append([]byte("four five six"))
	c.Rewritten(21, append(epochs, session.Epoch{N: 7, At: 21})) // nothing is lost this time
	c.Append([]byte("!"))

	for name, f := range map[string]*follower{"slow": slow, "quick": quick} {
		want := min(f.off, 8)
		if got, err := f.rest(); got != "" || err != errRewritten {
			t.Errorf("%s: %q, %v, want errRewritten", name, got, err)
		}
		if f.off != want {
			t.Errorf("%s goes on from %d, want %d", name, f.off, want)
		}
		if got, err := f.rest(); got != "one two four five six!"[want:] || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for at, want := range map[Place]int{
		{0, 4}: 4, {0, 8}: 8, {0, 12}: 8, {5, 12}: 12, {5, 22}: 21, {7, 22}: 22, {6, 20}: 0,
	} {
		f := r.follow(&follower{wake: make(chan struct{}, 1)}, at)
		if f.off != want {
			t.Errorf("%+v counts as %d, want %d", at, f.off, want)
		}
		f.close()
	}
}

// TestClaimOfLostText has a client come with more than there turns out to be.
func TestClaimOfLostText(t *testing.T) {
	r, c := newCopy("")
	f := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{0, 10})
	c.Append([]byte("one "))
	if got, err := f.rest(); got != "" || err != nil {
		t.Fatalf("%q, %v: the rest may yet come", got, err)
	}
	c.Rewritten(4, []session.Epoch{{N: 5, At: 4}})
	c.Append([]byte("four five six"))
	if _, err := f.rest(); err != errRewritten || f.off != 4 {
		t.Fatalf("%v at %d, want errRewritten at 4", err, f.off)
	}
	if got, err := f.rest(); got != "four five six" || err != nil {
		t.Error(got, err)
	}
}

// TestMovedBehindRewritten: a follower hears of the other writer before it
// looks for the reply elsewhere, with its offset as of before.
func TestMovedBehindRewritten(t *testing.T) {
	r, c := newCopy("one two three")
	f := r.follow(&follower{wake: make(chan struct{}, 1)}, Place{})
	_, _ = f.rest()
	c.Rewritten(4, []session.Epoch{{N: 5, At: 4}})
	r.finish(End{Err: errMoved})
	if _, err := f.rest(); err != errRewritten || f.off != 4 {
		t.Fatalf("%v at %d", err, f.off)
	}
	if _, err := f.rest(); !errors.Is(err, errMoved) {
		t.Fatal(err)
	}
}

// TestTextCut holds a text that is appended to and cut to a plain string.
func TestTextCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var got text
		want := ""
		for range 20 {
			piece := strings.Repeat("aé漢👍", 1+rng.IntN(300))
			got.append([]byte(piece))
			want += piece
			if rng.IntN(3) == 0 {
				n := []int{0, rng.IntN(len(want) + 1), len(want)}[rng.IntN(3)]
				if len(got.blocks) > 1 && rng.IntN(2) == 0 {
					n = got.blocks[len(got.blocks)-1].start
				}
				for n > 0 && n < len(want) && !utf8.RuneStart(want[n]) {
					n--
				}
				got.cut(n)
				want = want[:n]
			}
			if got.String() != want || got.size != len(want) {
				t.Fatalf("%d bytes, want %d", got.size, len(want))
			}
		}
	}
}
