package hub

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const someID = "6f1c2f4e-3c1b-4a58-9a0e-2d5f6c7b8a90"

func TestParseRequest(t *testing.T) {
	id := uuid.MustParse(someID)
	for _, tt := range []struct {
		frame   string
		typ     string // "": an error
		content string
		id, of  uuid.UUID
	}{
		{frame: "hello", typ: "message", content: "hello"},
		{frame: "", typ: "message"},
		{frame: ` {"type":"ping"}`, typ: "message", content: ` {"type":"ping"}`},
		{frame: `"x"`, typ: "message", content: `"x"`},
		{frame: `{"type":"message","content":"\u00e9\ud83d\udc4b"}`, typ: "message", content: "é👋"},
		{frame: `{"type":"message","id":"` + someID + `","content":"x","more":[1]}`, typ: "message", content: "x", id: id},
		{frame: `{"type":"message","id":"` + strings.ToUpper(someID) + `","content":"x"}`, typ: "message", content: "x", id: id},
		{frame: `{"type":"stop"}`, typ: "stop"},
		{frame: `{"type":"stop","id":"` + someID + `"}`, typ: "stop", id: id},
		{frame: `{"type":"regenerate","of":"` + someID + `"}`, typ: "regenerate", of: id},
		{frame: "{\"type\":\n\"ping\"}\n", typ: "ping"},
		{frame: `{"type":"message","id":"` + someID + `"}`, id: id},
		{frame: `{"type":"message","id":"` + someID + `","content":7}`, id: id},
		{frame: `{"type":"none","id":"` + someID + `"}`, id: id},
		{frame: `{"type":"message","id":"` + someID[:35] + `","content":"x"}`},
		{frame: `{"type":"message","content":"x"`},
		{frame: `{"type":"message","content":"x"}{}`},
		{frame: `{}`},
		{frame: `{`},
	} {
		r, err := parseRequest([]byte(tt.frame))
		if r.ID != tt.id {
			t.Errorf("%s: id %v, want %v", tt.frame, r.ID, tt.id)
		}
		if tt.typ == "" {
			var told *Error
			if !errors.As(err, &told) || told.Code != CodeInvalid || told.Text == "" {
				t.Errorf("%s: error %v, want %s", tt.frame, err, CodeInvalid)
			}
			continue
		}
		if err != nil || r.Type != tt.typ || r.Of != tt.of {
			t.Errorf("%s: got %+v, %v", tt.frame, r, err)
		}
		if content := r.Content; content != nil && *content != tt.content || content == nil && tt.content != "" {
			t.Errorf("%s: content %v, want %q", tt.frame, content, tt.content)
		}
	}
}

// FuzzRequest: no frame brings the parser down, and none means two things.
func FuzzRequest(f *testing.F) {
	for _, frame := range []string{
		"hello", "", "{", "{}", `{"type":"message","content":"hi","id":"` + someID + `"}`, `{"type":"regenerate","of":null}`,
		`{"type":"stop","id":7}`, `{"Type":"PING"}`, `{"type":"ping","type":"stop"}`, "{\"type\":\"message\",\"content\":\"\xff\"}",
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		kept := string(frame)
		r, err := parseRequest(frame)
		if string(frame) != kept {
			t.Fatal("the frame was changed")
		}
		if len(frame) == 0 || frame[0] != '{' {
			if err != nil || r.Type != "message" || *r.Content != kept || r.ID != uuid.Nil {
				t.Fatalf("%q is %+v, %v", frame, r, err)
			}
			return
		}
		if err != nil {
			var told *Error
			if !errors.As(err, &told) || told.Code != CodeInvalid || told.Text == "" || len(told.Text) > 300 {
				t.Fatalf("%q: %v", frame, err)
			}
			if b := errorFrame(told, r.ID).AppendJSON(nil); !json.Valid(b) {
				t.Fatalf("%q is refused with %q", frame, b)
			}
			return
		}
		switch r.Type {
		case "message":
			if r.Content == nil {
				t.Fatalf("%q: a message without content", frame)
			}
		case "stop", "regenerate", "ping":
		default:
			t.Fatalf("%q: type %q", frame, r.Type)
		}
		if !json.Valid(frame) {
			t.Fatalf("%q passes", frame)
		}
		// Of names that are exactly so the last value counts.
		var fields map[string]any
		if json.Unmarshal(frame, &fields) != nil {
			return // a number that is none of Go's
		}
		for name, got := range map[string]any{"type": r.Type, "id": r.ID, "of": r.Of} {
			want := fields[name]
			if id, ok := got.(uuid.UUID); ok && want != nil {
				text, _ := want.(string)
				want, got = strings.ToLower(text), id.String()
			}
			if want == nil && name != "type" {
				want = uuid.Nil
			}
			if got != want {
				t.Fatalf("%q: %s is %v, want %v", frame, name, got, want)
			}
		}
		if content, given := fields["content"].(string); given != (r.Content != nil) || given && content != *r.Content {
			t.Fatalf("%q: the content is %v, want %q", frame, r.Content, content)
		}
	})
}

// FuzzDeepChatRequest holds what is taken of a widget's frame to encoding/json.
func FuzzDeepChatRequest(f *testing.F) {
	for _, frame := range []string{
		`{"messages":[{"role":"user","text":"hi"}]}`, `{"messages":[{"text":"a","role":"user"},{"role":"ai","text":"b"},null]}`, `{"messages":null}`, "null",
		`{"messages":[{"role":"user"}],"messages":[{"text":"\ud83d","role":"ai","role":"user"}],"Messages":7}`, `{"messages":[{"role":7}]}`, `{"messages":{}}`, "hello", "",
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := DeepChat{EndPhrase: "[DONE]"}.request(frame)
		want, ok := deepChatOracle(frame)
		if (err == nil) != ok || ok && (r.Type != "message" || *r.Content != want || r.ID != uuid.Nil) {
			t.Fatalf("%q: %+v, %v; want %q, %v", frame, r, err, want, ok)
		}
		var told *Error
		if err != nil && (!errors.As(err, &told) || told.Code != CodeInvalid || len(told.Text) > 300) {
			t.Fatalf("%q: %v", frame, err)
		}
	})
}

// deepChatOracle reads a frame as a whole; false: it says nothing.
func deepChatOracle(frame []byte) (text string, ok bool) {
	var fields map[string]json.RawMessage
	if !utf8.Valid(frame) || json.Unmarshal(frame, &fields) != nil {
		return "", false
	}
	var messages []map[string]json.RawMessage
	if raw := fields["messages"]; raw != nil && json.Unmarshal(raw, &messages) != nil {
		return "", false
	}
	for _, m := range messages {
		var role, said string
		if m["role"] != nil && json.Unmarshal(m["role"], &role) != nil || m["text"] != nil && json.Unmarshal(m["text"], &said) != nil {
			return "", false
		}
		if role == "user" {
			text, ok = said, true
		}
	}
	return text, ok
}

func TestParseID(t *testing.T) {
	for text, right := range map[string]bool{
		someID: true, strings.ToUpper(someID): true, "": false, someID[1:]: false, someID + "0": false,
		"{" + someID + "}": false, "urn:uuid:" + someID: false, strings.ReplaceAll(someID, "-", ""): false,
		strings.Replace(someID, "-", "0", 1): false, strings.Replace(someID, "6", "g", 1): false,
		"00000000-0000-0000-0000-000000000000": true,
	} {
		if _, err := ParseID(text); (err == nil) != right {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 0, 1: 1, time.Millisecond: 1, time.Second: 1, time.Second + 1: 2, time.Minute: 60} {
		if got := Seconds(d); got != want {
			t.Errorf("%v is %d s, want %d", d, got, want)
		}
	}
}
