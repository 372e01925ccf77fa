package httpapi_test

import (
	"bufio"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// costFrameShapes are frames of chathub.v1, each answered by a refusal or a pong.
func costFrameShapes() []costShape {
	return []costShape{
		{name: "many fields", head: `{"type":"ping"`, piece: `,"x":1`, tail: "}", times: 60_000},
		{name: "types", head: `{"type":"ping"`, piece: `,"type":"ping"`, tail: "}", times: 25_000},
		{name: "ids", head: `{"type":"ping"`, piece: `,"id":"` + someID + `"`, tail: "}", times: 8_000},
		{name: "wrong ids", head: `{"type":"ping"`, piece: `,"id":[]`, tail: "}", times: 48_000},
		{name: "contents", head: `{"type":"ping"`, piece: `,"content":"x"`, tail: "}", times: 25_000},
		{name: "a list of objects", head: `{"type":"ping","x":[`, piece: ",{}", tail: "]}", times: 130_000},
		{name: "a long field", head: `{"type":"ping","x":"`, piece: "xxxxxxxx", tail: `"}`, times: 48_000},
		{name: "a long name", head: `{"type":"ping","`, piece: "xxxxxxxx", tail: `":1}`, times: 48_000},
		{name: "a long content", head: `{"type":"message","content":"`, piece: "xxxxxxxx", tail: `"}`, times: 48_000},
		{name: "a long content, escaped", head: `{"type":"message","content":"`, piece: `\u20ac`, tail: `"}`, times: 64_000},
		{name: "a long text", head: `hello`, piece: "xxxxxxxx", times: 48_000},
		{name: "a long type", head: `{"type":"`, piece: "xxxxxxxx", tail: `"}`, times: 48_000},
		{name: "a long id", head: `{"type":"stop","id":"`, piece: "xxxxxxxx", tail: `"}`, times: 48_000},
		{name: "deep", head: `{"type":"ping","x":`, piece: "[", times: 390_000},
		{name: "braces", head: `{`, piece: `{`, times: 390_000},
	}
}

// costDeepShapes are frames of deep-chat, each answered by an error.
func costDeepShapes() []costShape {
	return []costShape{
		{name: "messages that are empty", head: `{"messages":[`, piece: ",{}", tail: "]}", times: 130_000},
		{name: "messages that are null", head: `{"messages":[`, piece: ",null", tail: "]}", times: 78_000},
		{name: "messages of the user", head: `{"messages":[`, piece: `,{"role":"user"}`, tail: "]}", times: 24_000},
		{name: "lists of messages", head: `{"x":1`, piece: `,"messages":[{},{}]`, tail: "}", times: 20_000},
		{name: "roles", head: `{"messages":[{"role":"ai"`, piece: `,"role":"user"`, tail: "}]}", times: 27_000},
		{name: "texts", head: `{"messages":[{"role":"ai"`, piece: `,"text":"x"`, tail: "}]}", times: 35_000},
		{name: "a long role", head: `{"messages":[{"role":"`, piece: `xxxxxxxx`, tail: `"}]}`, times: 48_000},
		{name: "a long text", head: `{"messages":[{"role":"user","text":"`, piece: `xxxxxxxx`, tail: `"}]}`, times: 48_000},
		{name: "files", head: `{"messages":[{"role":"user","files":[`, piece: `,{"src":"data:"}`, tail: `]}]}`, times: 24_000},
		{name: "deep", head: `{"messages":`, piece: `[`, times: 390_000},
	}
}

// TestFrameCost: the same for frames, which have at most 6 times what a message
// may have: what is allocated is a small multiple of that, whatever is in one.
func TestFrameCost(t *testing.T) {
	const most = 4 * costMB
	r := newRig(t, forgetful)
	for dialect, shapes := range map[string][]costShape{"chathub.v1": costFrameShapes(), "deep-chat": costDeepShapes()} {
		for _, s := range shapes {
			t.Run(dialect+" "+s.name, func(t *testing.T) {
				var text strings.Builder
				if err := s.writeTo(&text); err != nil {
					t.Fatal(err)
				}
				frame := masked(0x81, text.String())
				sock, err := dialectSocket(r.addr(), dialect)
				if err != nil {
					t.Fatal(err)
				}
				defer sock.close()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if _, err := io.WriteString(sock.conn, frame); err != nil {
					t.Fatal(err)
				}
				answer, err := sock.read()
				runtime.ReadMemStats(&after)
				if err != nil || !strings.Contains(string(answer), "error") && string(answer) != `{"type":"pong"}` {
					t.Fatalf("answered by %.200s, %v", answer, err)
				}
				if cost := after.TotalAlloc - before.TotalAlloc; cost > most {
					t.Errorf("%d KiB were allocated for a frame of %d KiB", cost>>10, len(frame)>>10)
				}
			})
		}
	}
}

// dialectSocket opens a WebSocket of this dialect, and reads ready.
func dialectSocket(addr, dialect string) (*refSocket, error) {
	c, err := dialRef(addr, refDial{})
	if err != nil {
		return nil, err
	}
	s := &refSocket{conn: c, in: bufio.NewReader(c)}
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Protocol: "+dialect+"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err == nil {
		_, err = http.ReadResponse(s.in, nil)
	}
	if err == nil && dialect == "chathub.v1" {
		_, err = s.read()
	}
	if err != nil {
		s.close()
	}
	return s, err
}
