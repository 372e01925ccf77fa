package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// lagging joins a conversation whose peer takes nothing since amid the reply, of
// three seconds, to its first message. That reply has ended.
func (w *world) lagging() (s *memSocket, conversation session.Ref, first uuid.UUID) {
	conversation, first = w.session(), uuid.New()
	s = w.join(conversation)
	w.say(s, `{"type":"message","id":"`+first.String()+`","content":"one"}`)
	pass(2500 * time.Millisecond)
	s.set(&s.stalled)
	pass(5 * time.Second)
	return s, conversation, first
}

// TestSaidAndTakenAway has a page that edits be quicker than the acknowledgement
// of what another one said: that one is told that it was refused, and may say
// it again. What is edited itself is acknowledged as it is now.
func TestSaidAndTakenAway(t *testing.T) {
	for name, tt := range map[string]struct {
		named, own bool
		times      int
		want       []string
	}{
		"with an id":           {true, false, 1, []string{"message", "error"}},
		"without an id":        {false, false, 1, []string{"message", "error"}},
		"sent twice":           {true, false, 2, []string{"message", "error", "error"}},
		"edited itself":        {true, true, 1, []string{"message"}},
		"twice, edited itself": {true, true, 2, []string{"message"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, paced(3), nil, func(w *world) {
				s, id, first := w.lagging()
				second := uuid.New()
				told := len(s.took())
				frame := `{"type":"message","content":"two"}`
				if tt.named {
					frame = `{"type":"message","id":"` + second.String() + `","content":"two"}`
				}
				for range tt.times {
					w.say(s, frame)
				}
				if _, _, err := w.hub.stop(w.ctx, id, uuid.Nil); err != nil {
					t.Fatal(err)
				}
				edit := session.Turn{Kind: session.Edit, User: session.Message{ID: first, Content: "edited"}}
				if tt.own {
					edit.User.ID = second
				}
				if _, _, err := w.hub.Say(w.ctx, Caller{}, id, edit); err != nil {
					t.Fatal(err)
				}
				s.resume()
				pass(time.Minute)
				var got []string
				for _, f := range s.took()[told:] {
					switch f["type"] {
					case "message":
						if f["content"] != "edited" || f["id"] != edit.User.ID.String() {
							t.Errorf("told of %v", f)
						}
					case "error":
						ref, has := f["ref"]
						if f["code"] != CodeBusy || has != tt.named || has && ref != second.String() {
							t.Errorf("refused with %v", f)
						}
					default:
						continue
					}
					got = append(got, f["type"].(string))
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				c := w.hub.conns[id]
				if c.owed != nil {
					t.Errorf("still owed: %+v", c.owed)
				}
				again := `{"type":"message","id":"` + second.String() + `","content":"two"}`
				w.say(s, again)
				pass(time.Minute)
				content := "two"
				if tt.own {
					content = "edited" // with another text the id is refused
				}
				if last := w.stored(id); len(last) != 4 || last[2].Content != content || last[3].FinishReason != session.FinishStop {
					t.Errorf("said again, there is %+v", last)
				}
				if c.owed != nil {
					t.Errorf("owed at the end: %+v", c.owed)
				}
			})
		})
	}
}

// TestSaidTwiceOwedOnce: a message that is sent twice before it is told leaves
// nothing owed once it has been told, and is not refused when it is stored anew.
func TestSaidTwiceOwedOnce(t *testing.T) {
	inWorld(t, paced(3), nil, func(w *world) {
		s, id, first := w.lagging()
		second := uuid.New()
		frame := `{"type":"message","id":"` + second.String() + `","content":"two"}`
		w.say(s, frame)
		w.say(s, frame)
		s.resume()
		pass(time.Minute)
		if c := w.hub.conns[id]; c.owed != nil {
			t.Errorf("still owed: %+v", c.owed)
		}
		for i := range 100 {
			edit := session.Turn{Kind: session.Edit, User: session.Message{ID: first, Content: "edited"}}
			if i%2 == 0 {
				edit.User.Content = "edited again"
			}
			if _, _, err := w.hub.Say(w.ctx, Caller{}, id, edit); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
			told := len(s.took())
			w.say(s, frame)
			pass(time.Minute)
			acknowledged := false
			for _, f := range s.took()[told:] {
				switch f["type"] {
				case "message":
					acknowledged = true
				case "error":
					t.Fatalf("round %d: acknowledged: %t; then refused: %v; stored are %d", i, acknowledged, f, len(w.stored(id)))
				}
			}
			if !acknowledged {
				t.Fatalf("round %d: not acknowledged", i)
			}
		}
	})
}

// TestRefusedInTime: a message that was taken away is refused before the reply
// to what took it goes on, not when that has ended.
func TestRefusedInTime(t *testing.T) {
	for _, kind := range []session.TurnKind{session.Edit, session.Again} {
		inWorld(t, paced(3), nil, func(w *world) {
			s, id, first := w.lagging()
			second := uuid.New()
			told := len(s.took())
			w.say(s, `{"type":"message","id":"`+second.String()+`","content":"two"}`)
			if _, _, err := w.hub.stop(w.ctx, id, uuid.Nil); err != nil {
				t.Fatal(err)
			}
			turn := session.Turn{Kind: kind, Of: first}
			if kind == session.Edit {
				turn.User = session.Message{ID: first, Content: "edited"}
			}
			if _, _, err := w.hub.Say(w.ctx, Caller{}, id, turn); err != nil {
				t.Fatal(err)
			}
			pass(500 * time.Millisecond)
			s.resume()
			pass(100 * time.Millisecond) // the model says its first word later
			for _, f := range s.took()[told:] {
				if f["type"] == "error" && f["ref"] == second.String() {
					return
				}
			}
			t.Errorf("%v: not refused yet; told: %v", kind, s.took()[told:])
		})
	}
}

// TestEveryMessageIsAnswered has a client say things, some twice, on a line that
// stalls, while others edit, stop and regenerate. All are answered; what was
// told is not refused behind that, unless it was taken away.
func TestEveryMessageIsAnswered(t *testing.T) {
	refused := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		inWorld(t, paced(1+rnd.IntN(4)), nil, func(w *world) {
			id, first := w.session(), uuid.New()
			s := w.join(id)
			w.say(s, `{"type":"message","id":"`+first.String()+`","content":"one"}`)
			pass(20 * time.Second)
			said := []string{first.String()}
			edits := 0
			for range 60 {
				switch rnd.IntN(9) {
				case 0, 1:
					said = append(said, uuid.NewString())
					s.in <- []byte(`{"type":"message","id":"` + said[len(said)-1] + `","content":"two"}`)
				case 2:
					if len(said) > 1 {
						s.in <- []byte(`{"type":"message","id":"` + said[len(said)-1] + `","content":"two"}`)
					}
				case 3:
					s.set(&s.stalled)
				case 4:
					s.resume()
				case 5:
					_, _, _ = w.hub.stop(w.ctx, id, uuid.Nil)
				case 6:
					_, _, _ = w.hub.stop(w.ctx, id, uuid.Nil)
					edits++
					_, _, _ = w.hub.Say(w.ctx, Caller{}, id, session.Turn{Kind: session.Edit, User: session.Message{ID: first, Content: fmt.Sprint("edited ", edits)}})
				case 7:
					s.in <- []byte(`{"type":"regenerate"}`)
				}
				if rnd.IntN(2) == 0 {
					pass(time.Duration(rnd.IntN(2500)) * time.Millisecond)
				}
			}
			s.resume()
			pass(time.Minute)
			if _, ended := s.ended(); ended {
				return // flooded
			}
			frames, stored := s.took(), w.stored(id)
			if c := w.hub.conns[id]; c.owed != nil {
				t.Errorf("seed %d: still owed: %+v", seed, c.owed)
			}
			last := map[string]string{}
			for _, f := range frames {
				switch f["type"] {
				case "message":
					last[f["id"].(string)] = "told"
				case "error":
					if ref, ok := f["ref"].(string); ok {
						refused++
						last[ref] = fmt.Sprint("refused with ", f["code"])
					}
				}
			}
			for _, x := range said {
				if last[x] == "" {
					t.Errorf("seed %d: no answer to %s", seed, x)
				}
			}
			for _, m := range stored {
				if m.Role == session.User && last[m.ID.String()] != "told" {
					t.Errorf("seed %d: %s is stored, and was %s", seed, m.ID, last[m.ID.String()])
				}
			}
		})
		if t.Failed() {
			break
		}
	}
	if refused == 0 {
		t.Error("nothing was ever refused")
	}
}
