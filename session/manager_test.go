package session_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

func TestManager(t *testing.T) {
	ctx := t.Context()
	m := session.NewMemory(session.Config{})
	key := uuid.New()
	s, err := m.New(ctx, "ann", key)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID.Version() != 4 {
		t.Errorf("a session's id is of version %d", s.ID.Version())
	}
	if again, err := m.New(ctx, "ann", key); err != nil || again.ID != s.ID {
		t.Errorf("the same key: %v, %v", again.ID, err)
	}
	if other, err := m.New(ctx, "ann", uuid.Nil); err != nil || other.ID == s.ID {
		t.Errorf("without a key: %v, %v", other.ID, err)
	}
	round(t, m, s.Ref())

	tests := []struct {
		name  string
		owner string
		id    uuid.UUID
		want  error
	}{
		{"one's own", "ann", s.ID, nil},
		{"somebody else's", "bob", s.ID, session.ErrNotFound},
		{"with no name", "", s.ID, session.ErrNotFound},
		{"unknown", "ann", uuid.New(), session.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := m.Check(ctx, tt.id, tt.owner)
			if err != tt.want || err == nil && (got.ID != tt.id || len(got.Messages) != 0) {
				t.Errorf("check: %+v, %v", got, err)
			}
			want := tt.want
			if tt.name == "unknown" {
				want = nil // it is made
			}
			if got, err := m.Open(ctx, tt.owner, tt.id); err != want || err == nil && got.ID != tt.id {
				t.Errorf("open: %+v, %v", got, err)
			}
		})
	}
}

func TestNow(t *testing.T) {
	now := session.Now()
	if now.Location() != time.UTC || now.Nanosecond()%1e6 != 0 || time.Since(now) > time.Minute {
		t.Errorf("now is %v", now)
	}
}
