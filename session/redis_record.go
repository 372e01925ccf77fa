package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// header is what a record says of a message besides its text; see prelude.lua.
type header struct {
	ID       uuid.UUID `json:"id"`
	Time     int64     `json:"t"` // Unix, in milliseconds
	Reason   string    `json:"end,omitempty"`
	Model    string    `json:"model,omitempty"`
	Usage    *Usage    `json:"usage,omitempty"`
	Estimate int       `json:"estimate,omitempty"`
	Failure  string    `json:"failure,omitempty"`
	Epochs   []Epoch   `json:"epochs,omitempty"`
}

func headerOf(m Message) string {
	b, err := json.Marshal(header{
		ID: m.ID, Time: m.Timestamp.UnixMilli(), Reason: m.FinishReason,
		Model: m.Model, Usage: m.Usage, Estimate: m.Estimate, Failure: m.Failure, Epochs: m.Epochs,
	})
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return string(b)
}

// kindOf returns the letter that a record of m begins with.
func kindOf(m Message) string {
	switch {
	case m.Role == User:
		return "u"
	case m.FinishReason == FinishError:
		return "e"
	}
	return "a"
}

// parseRecord returns the message that a record holds.
func parseRecord(record string) (Message, error) {
	head, content, ok := strings.Cut(record, "\n")
	seq, meta, ok2 := strings.Cut(head, " ")
	if !ok || !ok2 || len(seq) < 2 {
		return Message{}, fmt.Errorf("session: a record of %d bytes is malformed", len(record))
	}
	var h header
	if err := json.Unmarshal([]byte(meta), &h); err != nil {
		return Message{}, fmt.Errorf("session: a record's header is malformed: %w", err)
	}
	n, err := strconv.ParseInt(seq[1:], 10, 64)
	if err != nil {
		return Message{}, fmt.Errorf("session: a record's number is malformed: %w", err)
	}
	m := Message{
		Role: Assistant, Content: content, Timestamp: time.UnixMilli(h.Time).UTC(), ID: h.ID,
		FinishReason: h.Reason, Seq: n, Model: h.Model, Usage: h.Usage, Estimate: h.Estimate, Failure: h.Failure, Epochs: h.Epochs,
	}
	if seq[0] == 'u' {
		m.Role = User
	}
	return m, nil
}

// answer reads what a script returned, element by element. The first error stays.
type answer struct {
	rest []rueidis.RedisMessage
	err  error
}

func (a *answer) next() rueidis.RedisMessage {
	if len(a.rest) == 0 {
		if a.err == nil {
			a.err = fmt.Errorf("session: a script's answer is too short")
		}
		return rueidis.RedisMessage{}
	}
	m := a.rest[0]
	a.rest = a.rest[1:]
	return m
}

// strings returns the next element, a list; what is nil in it becomes "".
func (a *answer) strings() []string {
	m := a.next()
	if a.err != nil {
		return nil
	}
	s, err := m.AsStrSlice()
	a.fail(err)
	return s
}

func (a *answer) string() string {
	m := a.next()
	if a.err != nil || m.IsNil() {
		return ""
	}
	s, err := m.ToString()
	a.fail(err)
	return s
}

func (a *answer) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *answer) int(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	a.fail(err)
	return n
}

// id parses an id; "" is the nil one.
func (a *answer) id(s string) uuid.UUID {
	if s == "" {
		return uuid.Nil
	}
	id, err := uuid.Parse(s)
	a.fail(err)
	return id
}

func (a *answer) message(record string) Message {
	m, err := parseRecord(record)
	a.fail(err)
	return m
}

func (a *answer) messages() []Message {
	records := a.strings()
	out := make([]Message, len(records))
	for i, r := range records {
		out[i] = a.message(r)
	}
	return out
}

// newestLast reads what the prelude's history returned.
func (a *answer) newestLast() []Message {
	out := a.messages()
	slices.Reverse(out)
	return out
}

// running reads what the prelude's running returned.
func (a *answer) running() *Running {
	f := a.strings()
	if a.err != nil || len(f) != 6 || f[0] == "" {
		return nil
	}
	return &Running{
		Reply: a.id(f[0]), User: Position{ID: a.id(f[1]), Seq: a.int(f[2])},
		Seq: a.int(f[3]), Model: f[4], Epochs: a.epochs(f[5]),
	}
}

// epochs parses "number:length number:length ".
func (a *answer) epochs(s string) []Epoch {
	var out []Epoch
	for _, f := range strings.Fields(s) {
		n, at, _ := strings.Cut(f, ":")
		out = append(out, Epoch{N: a.int(n), At: int(a.int(at))})
	}
	return out
}
