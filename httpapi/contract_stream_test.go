package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkStream checks the text of a stream, whole or cut anywhere: its lines, each chunk against
// openapi.yaml, the order of the chunks, and that ids count the bytes that were sent.
func (c *contract) checkStream(header http.Header, body []byte) error {
	for name, want := range map[string]string{"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "X-Vercel-Ai-Ui-Message-Stream": "v1"} {
		if got := header.Get(name); got != want {
			return fmt.Errorf("%s is %q on a stream, want %q", name, got, want)
		}
	}
	if bytes.ContainsRune(body, '\r') {
		return errors.New("a line that ends in CR")
	}
	events := strings.Split(string(body), "\n\n")
	s := streamState{at: -1}
	for i, event := range events[:len(events)-1] { // behind the last blank line is what was cut
		if err := s.event(c, event); err != nil {
			return fmt.Errorf("event %d, %q: %w", i, event, err)
		}
	}
	if s.done && events[len(events)-1] != "" {
		return errors.New("something follows [DONE]")
	}
	return nil
}

// streamState is how far a stream has come.
type streamState struct {
	last  string // type of the chunk before
	reply string // the reply's id
	at    int    // bytes of the reply so far; -1: not known, a resumed stream begins somewhere
	done  bool
}

// follows says which types may come behind which; "" is a stream's beginning, which is the
// beginning of a reply or, resumed, anywhere in one of its parts.
var follows = map[string][]string{
	"":                {"start", "text-delta", "text-end", "reasoning-delta", "reasoning-end"},
	"start":           {"text-start", "reasoning-start", "finish", "abort", "error"},
	"text-start":      {"text-delta"},
	"text-delta":      {"text-delta", "text-end"},
	"text-end":        {"reasoning-start", "finish", "abort", "error"},
	"reasoning-start": {"reasoning-delta"},
	"reasoning-delta": {"reasoning-delta", "reasoning-end"},
	"reasoning-end":   {"text-start", "finish", "abort", "error"},
}

func (s *streamState) event(c *contract, event string) error {
	if s.done {
		return errors.New("it follows [DONE]")
	}
	if event == ": ping" {
		return nil
	}
	if event == "data: [DONE]" {
		s.done = true
		if s.last != "finish" && s.last != "abort" && s.last != "error" {
			return errors.New("[DONE] without the reply's end")
		}
		return nil
	}
	idLine, dataLine, ok := strings.Cut(event, "\n")
	id, hasID := strings.CutPrefix(idLine, "id: ")
	data, hasData := strings.CutPrefix(dataLine, "data: ")
	if !ok || !hasID || !hasData || strings.ContainsAny(data, "\r\n") {
		return errors.New(`want a line "id: …" and a line "data: …"`)
	}
	if !utf8.ValidString(data) {
		return errors.New("not UTF-8: a character was cut")
	}
	if err := c.checkJSON("StreamChunk", []byte(data)); err != nil {
		return err
	}
	var chunk struct{ Type, ID, MessageID, Delta string }
	if err := json.Unmarshal([]byte(data), &chunk); err != nil {
		return err
	}
	return s.chunk(chunk.Type, chunk.ID+chunk.MessageID, chunk.Delta, id)
}

func (s *streamState) chunk(kind, reply, delta, id string) error {
	allowed := false
	for _, next := range follows[s.last] {
		allowed = allowed || next == kind
	}
	if !allowed {
		return fmt.Errorf("%s behind %q", kind, s.last)
	}
	s.last = kind
	if len(delta) > 16<<10 {
		return errors.New("a delta of more than 16 KiB")
	}
	parts := strings.Split(id, ":")
	if s.reply == "" {
		s.reply = parts[0]
	}
	if parts[0] != s.reply || reply != "" && reply != s.reply {
		return errors.New("another reply's id")
	}
	position := parts[len(parts)-1]
	if kind == "finish" || kind == "abort" || kind == "error" {
		if len(parts) != 2 || position != "end" {
			return errors.New("the end of a reply has the id <reply>:end")
		}
		return nil
	}
	offset, err := strconv.Atoi(position)
	if err != nil || len(parts) > 3 || len(parts) < 2 {
		return errors.New("the id is not <reply>:<offset> or <reply>:<epoch>:<offset>")
	}
	switch {
	case kind == "start":
		s.at = 0
	case kind == "reasoning-start" && s.at >= 0, kind == "text-start" && s.at > 0:
		s.at += 2 // of the mark
	}
	if kind == "text-start" && offset > 0 { // a page shows what is before
		s.at = offset
	}
	if s.at < 0 {
		s.at = offset - len(delta)
	}
	if s.at += len(delta); offset != s.at || offset < 0 {
		return fmt.Errorf("the id counts %d bytes, %d were sent", offset, s.at)
	}
	return nil
}

// TestCheckStream shows that the check sees what is wrong with a stream.
func TestCheckStream(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	const r = "c2f0c3a4-5a43-4d0e-9a53-0c8f5c1b2d77"
	event := func(id, data string) string { return "id: " + r + ":" + id + "\ndata: " + data + "\n\n" }
	start := event("0", `{"type":"start","messageId":"`+r+`","messageMetadata":{"conversation_id":"7d0f6a52-2f5e-4c53-9a07-3a0a3f7f1c11","model":"m"}}`)
	textStart := event("0", `{"type":"text-start","id":"`+r+`"}`)
	delta := func(id, text string) string {
		return event(id, `{"type":"text-delta","id":"`+r+`","delta":"`+text+`"}`)
	}
	textEnd := func(id string) string { return event(id, `{"type":"text-end","id":"`+r+`"}`) }
	thought := func(id string) string { return event(id, `{"type":"reasoning-end","id":"`+r+`"}`) }
	think := func(id, text string) string {
		if text == "" {
			return event(id, `{"type":"reasoning-start","id":"`+r+`"}`)
		}
		return event(id, `{"type":"reasoning-delta","id":"`+r+`","delta":"`+text+`"}`)
	}
	abort := event("end", `{"type":"abort"}`)
	done := "data: [DONE]\n\n"
	for _, tt := range []struct {
		name, body string
		right      bool
	}{
		{"whole", ": ping\n\n" + start + textStart + delta("3", "é!") + ": ping\n\n" + delta("7", "👍") + textEnd("7") + abort + done, true},
		{"cut in an event", start + textStart + delta("3", "é!") + "id: c2f0", true},
		{"resumed", delta("9", "é!") + delta("10", "x") + textEnd("10") + abort + done, true},
		{"resumed in another epoch", strings.ReplaceAll(delta("9", "é!"), r+":9", r+":2:9"), true},
		{"resumed at the end", textEnd("12") + event("end", `{"type":"error","errorText":"No."}`) + done, true},
		{"key of the WebSocket", start + event("0", `{"type":"text-start","id":"`+r+`","offset":0}`), false},
		{"null", event("end", `{"type":"error","errorText":null}`), false},
		{"type that is not the protocol's", event("0", `{"type":"ready"}`), false},
		{"lost bytes", start + textStart + delta("3", "é!") + delta("9", "👍"), false},
		{"doubled bytes", start + textStart + delta("3", "é!") + delta("3", "👍"), false},
		{"no text-end", start + textStart + delta("1", "x") + abort, false},
		{"no text-start", start + delta("1", "x"), false},
		{"done too early", start + textStart + done, false},
		{"no text", start + abort + done, true},
		{"parts", start + think("2", "") + think("3", "x") + thought("3") + event("5", `{"type":"text-start","id":"`+r+`"}`) + delta("6", "y") + textEnd("6") + abort + done, true},
		{"a part that is not ended", start + think("2", "") + think("3", "x") + event("5", `{"type":"text-start","id":"`+r+`"}`), false},
		{"a mark that is not counted", start + think("0", ""), false},
		{"neighbours of a kind", start + think("2", "") + think("3", "x") + thought("3") + think("5", ""), false},
		{"an empty part", start + textStart + textEnd("0") + abort + done, false},
		{"chunk behind the end", start + textStart + textEnd("0") + abort + delta("1", "x"), false},
		{"event behind done", textEnd("0") + abort + done + abort, false},
		{"CRLF", strings.ReplaceAll(start, "\n", "\r\n"), false},
		{"no id", strings.Replace(textEnd("0"), "id: "+r+":0\n", "", 1), false},
		{"id of another reply", start + strings.ReplaceAll(textStart, "c2f0", "d2f0"), false},
		{"end without :end", event("7", `{"type":"abort"}`), false},
		{"delta over 16 KiB", delta(strconv.Itoa(2*8193), strings.Repeat("é", 8193)), false},
		{"character cut in two", delta("1", "\xc3"), false},
		{"empty delta", delta("0", ""), false},
	} {
		err := c.checkStream(streamHeader, []byte(tt.body))
		if right := err == nil; right != tt.right {
			t.Errorf("%s: right = %v, want %v: %v", tt.name, right, tt.right, err)
		}
	}
}
