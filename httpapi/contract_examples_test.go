package httpapi_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestProtocolExamples holds the conversation in PROTOCOL.md to asyncapi.yaml, and its offsets to
// the bytes of the text.
func TestProtocolExamples(t *testing.T) {
	file, err := os.Open("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	frames, text := 0, ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if frame, ok := strings.CutPrefix(lines.Text(), "→ "); ok {
			checkFrame(t, toHub, []byte(frame))
			frames++
		}
		frame, ok := strings.CutPrefix(lines.Text(), "← ")
		if !ok {
			continue
		}
		checkFrame(t, fromHub, []byte(frame))
		frames++
		var told struct {
			Type, Delta string
			Offset      int
			Messages    []struct{ Content string }
		}
		if err := json.Unmarshal([]byte(frame), &told); err != nil {
			t.Fatal(err)
		}
		text += told.Delta
		if strings.HasPrefix(told.Type, "text-") && told.Type != "text-end" && told.Offset != len(text) {
			t.Errorf("the example's offset is %d behind %q", told.Offset, text)
		}
		for _, m := range told.Messages {
			if m.Content != text {
				t.Errorf("the example's reply is %q, its deltas make %q", m.Content, text)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if frames < 10 {
		t.Errorf("%d frames found in PROTOCOL.md", frames)
	}
}
