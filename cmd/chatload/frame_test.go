package main

import (
	"encoding/json"
	"testing"
)

func TestParseFrame(t *testing.T) {
	var f frame
	for _, c := range []struct {
		name, in string
		ok       func() bool
	}{
		{"delta", `{"type":"text-delta","id":"r","delta":"a b","offset":31}`, func() bool {
			return string(f.kind) == "text-delta" && string(f.id) == "r" && string(f.delta) == "a b" && !f.escaped && f.offset == 31
		}},
		{"any order, white space, unknown members", " {\t\"offset\" : 7 , \"x\":{\"delta\":[1,\"}\"]}, \"y\":null,\"delta\":\"\\\"\\\\\",\"type\":\"text-delta\"}\n", func() bool {
			return f.offset == 7 && string(f.delta) == `\"\\` && f.escaped && string(f.kind) == "text-delta"
		}},
		{"start", `{"type":"start","messageId":"m","messageMetadata":{"conversation_id":"c","model":"x"},"after":"u","epoch":2}`, func() bool {
			return string(f.id) == "m" && string(f.after) == "u" && f.epoch == 2 && f.conversation == nil
		}},
		{"ready", `{"type":"ready","conversation_id":"c","messages":[{"id":"a]"}],"running":"r"}`, func() bool {
			return string(f.conversation) == "c" && string(f.messages) == `[{"id":"a]"}]` && f.offset == -1 && f.epoch == -1
		}},
		{"empty", `{}`, func() bool { return f.kind == nil }},
	} {
		if err := parseFrame(&f, []byte(c.in)); err != nil || !c.ok() {
			t.Errorf("%s: got %+v, %v", c.name, f, err)
		}
	}
	for _, in := range []string{"", "x", "[]", `"a"`, "{", `{"a`, `{"a":`, `{"a":1`, `{"a":"b`, `{"a":"b\"`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `{"a":}`, `{"a":[}`, `{"offset":-1}`, `{"offset":"x"}`} {
		if err := parseFrame(&f, []byte(in)); err == nil {
			t.Errorf("%q passed", in)
		}
	}
}

func TestParseEvent(t *testing.T) {
	var f frame
	in := `{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"say \"}\""},"finish_reason":null}]}`
	if err := parseEvent(&f, []byte(in)); err != nil || string(f.kind) != "text-delta" || string(f.delta) != `say \"}\"` {
		t.Errorf("got %+v, %v", f, err)
	}
	if err := parseEvent(&f, []byte("[DONE]")); err != nil || string(f.kind) != "finish" {
		t.Errorf("got %+v, %v", f, err)
	}
	if err := parseEvent(&f, []byte(`{"object":"error"}`)); err == nil {
		t.Error("an error event passed")
	}
}

// FuzzParseFrame holds the scanner against encoding/json.
func FuzzParseFrame(f *testing.F) {
	f.Add([]byte(`{"type":"text-delta","id":"r","delta":"a\u00e9\ud83d\ude00\n\"","offset":31}`))
	f.Add([]byte(`{"offset":7,"x":{"delta":[1,"}"]},"delta":"\\"}`))
	f.Add([]byte(`{"type":"x","messageId":"m","delta":"\ud83d"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got frame
		err := parseFrame(&got, b)
		var want struct {
			Type, Delta *string
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(b, &keys) != nil || json.Unmarshal(b, &want) != nil || keys == nil {
			return
		}
		if string(keys["type"]) == "null" || string(keys["delta"]) == "null" || want.Type == nil || want.Delta == nil ||
			keys["type"] == nil || keys["delta"] == nil || repeats(b) {
			return
		}
		if err != nil {
			if n, bad := number(keys["offset"]); bad == nil && n >= 0 && keys["epoch"] == nil {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		text, err := unescape(nil, got.delta)
		if err == nil && string(text) != *want.Delta && json.Valid([]byte(`"`+string(got.delta)+`"`)) && !broken(*want.Delta) {
			t.Fatalf("%q: got %q, want %q", b, text, *want.Delta)
		}
	})
}

// repeats says whether a member's name comes twice, or is spelled such that
// encoding/json takes it for another.
func repeats(b []byte) bool {
	seen := map[string]bool{}
	again := false
	members(b, func(key, _ []byte, _ bool) error {
		name := string(key)
		for _, known := range []string{"type", "delta"} {
			if name != known && (len(name) == len(known) || len(name) > len(known)+1) {
				again = true
			}
		}
		again = again || seen[name]
		seen[name] = true
		return nil
	})
	return again
}

// broken says whether encoding/json put U+FFFD where it read no character.
func broken(s string) bool {
	for _, r := range s {
		if r == '\uFFFD' {
			return true
		}
	}
	return false
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: "plain", ``: "", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `a\u0041\u00e9\u2028`: "aAé\u2028", `\uD83D\ude00!`: "😀!",
	} {
		if got, err := unescape(nil, []byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`\`, `\x`, `\u12`, `\u12g4`, `\ud83d`, `\ud83dx`, `\ud83d\u0041`, `\ude00`} {
		if got, err := unescape(nil, []byte(in)); err == nil {
			t.Errorf("%q passed as %q", in, got)
		}
	}
}

func TestParseFrameDoesNotAllocate(t *testing.T) {
	var f frame
	b := []byte(`{"type":"text-delta","id":"0b8d4c1e-0f5c-4b8e-9a53-0a4b7e1f2d3c","delta":" a token of about 26 bytes","offset":123456}`)
	if n := testing.AllocsPerRun(100, func() {
		if err := parseFrame(&f, b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
