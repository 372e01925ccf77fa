package session

import (
	"testing"

	"github.com/google/uuid"
)

// TestNobodyWaitsToBeRead: where the store is ours alone nothing is read, so no
// text waits for that, and stays, when its reply has long ended.
func TestNobodyWaitsToBeRead(t *testing.T) {
	ctx, m := t.Context(), NewMemory(Config{})
	s, err := m.New(ctx, "ann", uuid.Nil)
	if err != nil {
		t.Fatal(err)
	}
	turn := Turn{User: Message{ID: uuid.New(), Content: "hi", Timestamp: Now()}, Reply: uuid.New(), Model: "m"}
	said, err := m.Say(ctx, s.Ref(), turn)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := m.Yield(ctx, said.Text); err != nil {
			t.Fatal(err)
		}
		if said, _, err = m.Take(ctx, s.Ref(), turn.Reply); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.reads.ready); n != 0 {
		t.Errorf("%d texts wait to be read", n)
	}
}
