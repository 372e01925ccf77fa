package redisstore

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// TestLoadInPieces loads what is larger than one answer, from any state before.
func TestLoadInPieces(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		ref := storetest.Made(t, a, session.Creation{ID: uuid.New()})
		var contents []string
		var states []*session.Conversation
		for i, size := range []int{0, 10, maxPiece - 100, 3*maxPiece + 7, 1, maxPiece, 2 * maxPiece, 5, 6, 7} {
			have, err := b.store.Load(t.Context(), ref.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, have)
			turn := storetest.Submit(passage(size) + "\n" + strconv.Itoa(i))
			said, err := a.Say(t.Context(), ref, turn)
			if err != nil {
				t.Fatal(err)
			}
			said.Text.Append([]byte("re: " + strconv.Itoa(i)))
			a.end(t, said.Text)
			contents = append(contents, turn.User.Content, "re: "+strconv.Itoa(i))
		}
		for i, have := range append(states, nil) {
			got, err := b.store.Load(t.Context(), ref.ID, have)
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for _, m := range got.Messages() {
				have = append(have, m.Content)
			}
			if !slices.Equal(have, contents) {
				t.Errorf("from state %d: %d messages, want %d", i, len(have), len(contents))
			}
		}
		last, err := b.store.Load(t.Context(), ref.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := b.store.Load(t.Context(), ref.ID, last); err != nil || again != last {
			t.Errorf("what is known is loaded again: %v", err)
		}
	})
}

// TestChangedBetweenPieces: what changes while it is loaded is loaded anew.
func TestChangedBetweenPieces(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, Config{URL: url})
		said := a.begin(t)
		ref := said.Text.Ref
		said.Text.Append([]byte(passage(2*maxPiece + 100)))
		a.end(t, said.Text)
		pieces := 0
		b := newNode(t, Config{URL: url, OnTrip: func(step string, _ time.Duration, _ bool) {
			if step != "load" {
				return
			}
			if pieces++; pieces == 2 {
				a.end(t, a.ask(t, ref).Text)
			}
		}})
		got, err := b.store.Load(t.Context(), ref.ID, nil)
		if err != nil || len(got.Messages()) != 4 || pieces != 3+3 {
			t.Errorf("in %d pieces: %v", pieces, err)
		}
	})
}

// TestForgottenMessages has Redis fail over to a state from before the last turn:
// what is known here is no longer how the log begins.
func TestForgottenMessages(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		said := a.begin(t)
		ref := said.Text.Ref
		said.Text.Append([]byte("first"))
		a.end(t, said.Text)
		state, err := a.raw(t, "HMGET", key(ref, headKey), "v", "state").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		lost := a.ask(t, ref)
		lost.Text.Append([]byte("lost"))
		a.end(t, lost.Text)
		if got := b.last(t, ref).Content; got != "lost" {
			t.Fatal(got)
		}
		a.raw(t, "LTRIM", key(ref, logKey), "0", "1")
		a.raw(t, "HSET", key(ref, headKey), "v", state[0], "state", state[1])
		other := newNode(t, Config{URL: url})
		said = other.ask(t, ref)
		said.Text.Append([]byte("second"))
		other.end(t, said.Text)
		for _, n := range []*node{a, b} {
			s := n.session(t, ref)
			var got []string
			for _, m := range s.Messages {
				got = append(got, m.Content)
			}
			if want := []string{"hi", "first", "hi", "second"}; !slices.Equal(got, want) {
				t.Errorf("messages %q, want %q", got, want)
			}
		}
	})
}

// TestFormat: what a newer hub has stored is refused in words, as is damage.
func TestFormat(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a := newNode(t, Config{URL: url})
		for name, spoil := range map[string]func(ref session.Ref) (want string){
			"newer": func(ref session.Ref) string {
				a.raw(t, "HSET", key(ref, headKey), "format", "2")
				return "stored by a newer hub, in format 2; this one knows 1"
			},
			"log lost": func(ref session.Ref) string {
				a.raw(t, "DEL", key(ref, logKey))
				return "its head counts 2 messages, its log has 0"
			},
			"record": func(ref session.Ref) string {
				a.raw(t, "LSET", key(ref, logKey), "0", "what")
				return "malformed"
			},
			"state": func(ref session.Ref) string {
				a.raw(t, "HSET", key(ref, headKey), "state", "{")
				return "malformed"
			},
		} {
			said := a.begin(t)
			a.end(t, said.Text)
			want := spoil(said.Text.Ref)
			_, err := newNode(t, Config{URL: url}).Get(t.Context(), said.Text.Ref, session.End)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	})
}

func TestRecord(t *testing.T) {
	m := session.Message{
		Role: session.Assistant, Content: "a\nb", Timestamp: session.Now(), ID: uuid.New(), FinishReason: session.FinishError,
		Seq: 7, Parent: 6, Version: "v", Model: "m", Usage: &session.Usage{PromptTokens: 1}, Estimate: 3, Failure: "internal",
		Epochs: []session.Epoch{{N: 1 << 52, At: 4}},
	}
	got, err := parseRecord(record(&m, m.Content))
	if err != nil || got.Content != m.Content || got.Usage == nil || got.Epochs[0] != m.Epochs[0] || !got.Timestamp.Equal(m.Timestamp) ||
		got.Parent != 6 || got.Version != "v" {
		t.Errorf("%+v is %+v, %v", m, got, err)
	}
	for _, record := range []string{"", "v", "v {}", "v{}\nx", "v {\nx", "v x\nx", "\n"} {
		if m, err := parseRecord(record); err == nil {
			t.Errorf("%q is %+v", record, m)
		}
	}
}

// TestFenceLost: where Redis has lost a running reply's fence and text, but not its
// head, the steps that want these give up.
func TestFenceLost(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
		for name, do := range map[string]func(said session.Said) error{
			"finish": func(said session.Said) error {
				return a.Finish(t.Context(), said.Text, session.Message{FinishReason: session.FinishStop})
			},
			"take": func(said session.Said) error {
				kill(t, a, b)
				_, _, err := b.Take(t.Context(), said.Text.Ref, said.Text.Reply)
				return err
			},
		} {
			said := a.begin(t)
			said.Text.Append([]byte("text"))
			shown(t, said.Text, 4)
			a.raw(t, "DEL", key(said.Text.Ref, fenceKey), key(said.Text.Ref, textKey))
			if err := do(said); !errors.Is(err, session.ErrUnavailable) && !errors.Is(err, session.ErrBusy) {
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
		}
	})
}
