package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestWriteSession: what is written in pieces is what encoding/json makes of it whole,
// with thoughts and without.
func TestWriteSession(t *testing.T) {
	const text, thoughts = "\xff\x80", "\xff\x81"
	long := strings.Repeat("é\"\n👋", 10_000)
	s := session.Session{ID: uuid.New()}
	for _, content := range []string{
		"", "hi", long, thoughts + "hm", thoughts + long, thoughts + long + text + long,
		"so " + thoughts + "a" + text + "far" + thoughts + "b" + text + ", so good", `","content":"`, `"messages":[`,
	} {
		s.Messages = append(s.Messages, session.Message{
			Role: session.Assistant, Content: content, ID: uuid.New(), FinishReason: session.FinishStop, Timestamp: session.Now(),
		})
	}
	for n := range len(s.Messages) + 1 {
		some := s
		some.Messages = s.Messages[:n:n]
		if n == 0 {
			some.Messages = []session.Message{}
		}
		var got, want bytes.Buffer
		if err := WriteSession(&got, some); err != nil {
			t.Fatal(err)
		}
		enc := json.NewEncoder(&want)
		if err := enc.Encode(some); err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := json.Unmarshal(got.Bytes(), &a); err != nil {
			t.Fatalf("%d messages: %v", n, err)
		}
		if err := json.Unmarshal(want.Bytes(), &b); err != nil {
			t.Fatal(err)
		}
		again := func(v any) string { out, _ := json.Marshal(v); return string(out) }
		if again(a) != again(b) {
			t.Errorf("%d messages:\n%.300s\nwant\n%.300s", n, again(a), again(b))
		}
	}
}

// stalled is a reader that stalls at its first piece.
type stalled func()

func (s stalled) Write(p []byte) (int, error) {
	s()
	return 0, io.ErrShortWrite
}

// TestStalledReaderHoldsAPiece: nor does a message that has thoughts take its size once
// more for everybody who is slow to read it.
func TestStalledReaderHoldsAPiece(t *testing.T) {
	const most = 1 << 20
	long := strings.Repeat("a long message ", 8*most/15)
	s := session.Session{ID: uuid.New(), Messages: []session.Message{
		{Role: session.Assistant, Content: "\xff\x81" + long + "\xff\x80" + long, ID: uuid.New(), FinishReason: session.FinishStop},
	}}
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	var held int64
	_ = WriteSession(stalled(func() { held = max(held, live()-before) }), s)
	if held > most {
		t.Errorf("%d bytes are held", held)
	}
	runtime.KeepAlive(s)
}
