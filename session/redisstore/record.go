package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// format is the version of the keys and records. Conversations in a newer one are
// refused.
const format = 1

// header is a record's JSON: the message without its content.
type header struct {
	ID       uuid.UUID       `json:"id"`
	Role     session.Role    `json:"role"`
	Time     int64           `json:"t"` // Unix, in milliseconds
	Seq      int64           `json:"seq"`
	Parent   int64           `json:"on,omitempty"`
	Reason   string          `json:"end,omitempty"`
	Model    string          `json:"model,omitempty"`
	Usage    *session.Usage  `json:"usage,omitempty"`
	Estimate int             `json:"estimate,omitempty"`
	Failure  string          `json:"failure,omitempty"`
	Retry    int             `json:"retry,omitempty"`
	Epochs   []session.Epoch `json:"epochs,omitempty"`
}

// record returns the log's record of m, with this content.
func record(m *session.Message, content string) string {
	var b strings.Builder
	h := mustJSON(header{
		ID: m.ID, Role: m.Role, Time: m.Timestamp.UnixMilli(), Seq: m.Seq, Parent: m.Parent, Reason: m.FinishReason,
		Model: m.Model, Usage: m.Usage, Estimate: m.Estimate, Failure: m.Failure, Retry: m.Retry, Epochs: m.Epochs,
	})
	b.Grow(len(m.Version) + len(h) + len(content) + 2)
	b.WriteString(m.Version)
	b.WriteByte(' ')
	b.Write(h)
	b.WriteByte('\n')
	b.WriteString(content)
	return b.String()
}

// parseRecord parses a record.
func parseRecord(record string) (session.Message, error) {
	head, content, ok := strings.Cut(record, "\n")
	version, meta, ok2 := strings.Cut(head, " ")
	if !ok || !ok2 {
		return session.Message{}, errors.New("a record is malformed")
	}
	var h header
	if err := json.Unmarshal([]byte(meta), &h); err != nil {
		return session.Message{}, fmt.Errorf("a record's header is malformed: %w", err)
	}
	return session.Message{
		Role: h.Role, Content: content, Timestamp: time.UnixMilli(h.Time).UTC(), ID: h.ID, FinishReason: h.Reason,
		Seq: h.Seq, Parent: h.Parent, Version: version,
		Model: h.Model, Usage: h.Usage, Estimate: h.Estimate, Failure: h.Failure, Retry: h.Retry, Epochs: h.Epochs,
	}, nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // nothing that is stored can fail
	}
	return b
}
