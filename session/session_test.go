package session

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestJSON holds the types to ChatSession and MessageHistory of the contract.
func TestJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67e6, time.UTC)
	id := func(n byte) uuid.UUID { return uuid.UUID{6: 0x40, 8: 0x80, 15: n} }
	user := Message{Role: User, Content: "Hi <b>\u2028</b> 👋", Timestamp: at, ID: id(1), Seq: 7}
	reply := Message{
		Role: Assistant, Timestamp: at.Add(time.Second), ID: id(2), FinishReason: FinishError,
		Seq: 8, Model: "m", Usage: &Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3}, Estimate: 4, Failure: "upstream_error",
	}
	tests := []struct {
		name string
		v    any
		want string
	}{
		{"user", user, `{"role":"user","content":"Hi \u003cb\u003e\u2028\u003c/b\u003e 👋",` +
			`"timestamp":"2026-01-02T03:04:05.067Z","id":"00000000-0000-4000-8000-000000000001"}`},
		{"reply", reply, `{"role":"assistant","content":"","timestamp":"2026-01-02T03:04:06.067Z",` +
			`"id":"00000000-0000-4000-8000-000000000002","finish_reason":"error"}`},
		{"usage", reply.Usage, `{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`},
		{"session", Session{
			ID: id(3), CreatedAt: at, UpdatedAt: at, Messages: []Message{}, After: user.Position(),
			Running: &Running{Reply: id(4)}, Owner: "ann",
		}, `{"id":"00000000-0000-4000-8000-000000000003","created_at":"2026-01-02T03:04:05.067Z",` +
			`"updated_at":"2026-01-02T03:04:05.067Z","messages":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestLast(t *testing.T) {
	s := Session{After: Position{Seq: 3}}
	if got := s.Last(); got != s.After {
		t.Errorf("last of no messages: %v", got)
	}
	s.Messages = []Message{{Seq: 4}, {Seq: 5}}
	if got := s.Last(); got.Seq != 5 {
		t.Errorf("last: %v", got)
	}
}
