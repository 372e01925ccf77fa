package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// costShape is a body that is large in one way: head, then so many of a piece,
// then tail. Behind a bracket the first piece has a space for its comma.
type costShape struct {
	name, head, piece, tail string
	times                   int
	status                  int
}

func (s costShape) size() int { return len(s.head) + s.times*len(s.piece) + len(s.tail) }

// writeTo sends the body piece by piece, so that the sender needs no memory.
func (s costShape) writeTo(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	_, _ = io.WriteString(out, s.head)
	for i := range s.times {
		piece := s.piece
		if i == 0 && piece[0] == ',' && strings.HasSuffix(s.head, "[") {
			piece = " " + piece[1:]
		}
		if _, err := io.WriteString(out, piece); err != nil {
			return err
		}
	}
	_, _ = io.WriteString(out, s.tail)
	return out.Flush()
}

const costMB = 1 << 20

// costSDKShapes are bodies of POST /api/chat. someID stands for the conversation.
func costSDKShapes() []costShape {
	const list = `{"id":"` + someID + `","trigger":"submit-message","messages":[`
	const user = `{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}]}`
	const part = `,{"type":"text","text":"01234567890123456789"}`
	return []costShape{
		{"80,000 text parts", list + `{"id":"m","role":"user","parts":[`, part, "]}]}", 80_000, 413},
		{"80,000 empty text parts", list + `{"id":"m","role":"user","parts":[`, `,{"type":"text","text":""}`, `,{"type":"text","text":"hi"}]}]}`, 80_000, 200},
		{"a million parts", list + `{"id":"m","role":"user","parts":[`, ",{}", `]}]}`, 1_000_000, 400},
		{"parts of another kind", list + `{"id":"m","role":"user","parts":[`, `,{"type":"reasoning","text":"` + strings.Repeat("x", 1000) + `"}`, `]}]}`, 30_000, 400},
		{"parts that are none", list + `{"id":"m","role":"user","parts":[`, ",1", `]}]}`, 15 * costMB, 400},
		{"an answer's parts that are none", list + `{"id":"a","role":"assistant","parts":[`, ",1", `]},` + user + `]}`, 15 * costMB, 200},
		{"texts that are none", list + `{"id":"m","role":"user","parts":[`, `,{"type":[]}`, `]}]}`, 2 * costMB, 400},
		{"messages that are empty", list, ",{}", "]}", 15 * costMB / 3, 400},
		{"messages that are null", list, ",null", "]}", 15 * costMB / 5, 400},
		{"messages of the user", list, ",{\"id\":\"m\",\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"hi\"}]}", "]}", 15 * costMB / 64, 404},
		{"lists of messages", strings.TrimSuffix(list, `,"messages":[`), `,"messages":[{},{}]`, "}", 15 * costMB / 18, 400},
		{"lists of parts", list + `{"id":"m","role":"user"`, `,"parts":[{"type":"text","text":"hi"}]`, "}]}", 15 * costMB / 40, 200},
		{"texts of one part", list + `{"id":"m","role":"user","parts":[{"type":"text"`, `,"text":"hi"`, "}]}]}", 15 * costMB / 12, 200},
		{"long ids", list, `,{"id":"` + strings.Repeat("i", 10_000) + `","role":"user"}`, "," + user + "]}", 1_600, 404},
		{"a long id of the message", list + `{"role":"user","id":"`, "iiiiiiii", `"}]}`, 30 * costMB / 8, 400},
		{"a long id", `{"messages":[` + user + `],"id":"`, "iiiiiiii", `"}`, 30 * costMB / 8, 404},
		{"a long trigger", `{"messages":[` + user + `],"trigger":"`, "iiiiiiii", `","id":"` + someID + `"}`, 30 * costMB / 8, 400},
		{"a long messageId", list + user + `],"messageId":"`, "iiiiiiii", `"}`, 30 * costMB / 8, 200},
		{"a long text", list + `{"id":"m","role":"user","parts":[{"type":"text","text":"`, "iiiiiiii", `"}]}]}`, 30 * costMB / 8, 413},
		{"a long text, escaped", list + `{"id":"m","role":"user","parts":[{"type":"text","text":"`, `\u0069`, `"}]}]}`, 30 * costMB / 6, 413},
		{"a long text of wide letters", list + `{"id":"m","role":"user","parts":[{"type":"text","text":"`, "世界", `"}]}]}`, 30 * costMB / 6, 413},
		{"a long answer", list + `{"id":"a","role":"assistant","parts":[{"type":"text","text":"`, "iiiiiiii", `"}]},` + user + "]}", 30 * costMB / 8, 200},
		{"a file", list + `{"id":"a","role":"assistant","parts":[{"type":"file","url":"data:image/png;base64,`, "iVBORw0K", `"}]},` + user + "]}", 30 * costMB / 8, 200},
		{"a tool's output", list + `{"id":"a","role":"assistant","parts":[{"type":"tool-x","output":[`, `,{"name":"x","size":1.5e3,"ok":true,"more":null}`, `]}]},` + user + "]}", 30 * costMB / 48, 200},
		{"metadata", list + `{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}],"metadata":{"x":"`, "xxxxxxxx", `"}}]}`, 30 * costMB / 8, 200},
		{"another field", list + user + `],"x":"`, "xxxxxxxx", `"}`, 30 * costMB / 8, 200},
		{"a long name", list + user + `],"`, "messages", `":1}`, 30 * costMB / 8, 200},
		{"a long name inside", list + user + `],"x":[{"`, "xxxxxxxx", `":1}]}`, 30 * costMB / 8, 200},
		{"a long number", list + user + `],"x":1`, "00000000", `}`, 30 * costMB / 8, 200},
		{"white space", list + user + `],`, "        ", `"x":1}`, 30 * costMB / 8, 200},
		{"many names", list + user + `]`, `,"name":1`, `}`, 30 * costMB / 9, 200},
		{"deep", list + user + `],"x":`, "[", "", 30 * costMB, 400},
		{"deep objects", list + user + `],"x":`, `{"x":`, "", 30 * costMB / 5, 400},
		{"deep often", list + user + `],"x":[`, "," + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "]}", 1600, 200},
		{"too large", list + user + `],"x":"`, "xxxxxxxx", `"}`, 33 * costMB / 8, 413},
		{"too large, and white space", list + user + `]}`, "        ", ``, 33 * costMB / 8, 413},
	}
}

// costChatShapes are bodies of POST /chat and POST /sessions.
func costChatShapes(status int) []costShape {
	return []costShape{
		{"many fields", `{"message":"hi"`, `,"x":1`, "}", 60_000, status},
		{"many messages", `{"x":1`, `,"message":"hi"`, "}", 25_000, status},
		{"a list of objects", `{"message":"hi","x":[`, ",{}", "]}", 130_000, status},
		{"a list of lists", `{"message":"hi","x":[`, ",[]", "]}", 130_000, status},
		{"a long field", `{"message":"hi","x":"`, "xxxxxxxx", `"}`, 48_000, status},
		{"a long name", `{"message":"hi","`, "xxxxxxxx", `":1}`, 48_000, status},
		{"deep", `{"message":"hi","x":`, "[", "", 390_000, 400},
		{"too large", `{"message":"hi","x":"`, "xxxxxxxx", `"}`, 4 * costMB, 413},
	}
}

// costOf posts a body, of which the server is told the length unless it is
// chunked, and returns how many bytes were allocated meanwhile, here and there.
func (r *rig) costOf(t *testing.T, path string, s costShape, chunked bool) int64 {
	t.Helper()
	c, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(rigPatience)); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := make(chan struct{})
	go func() { // it may be answered, and closed, before it has sent all
		defer close(sent)
		if chunked {
			_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n", path)
			_ = s.writeTo(chunks{c})
			_, _ = io.WriteString(c, "0\r\n\r\n")
			return
		}
		_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: hub\r\nContent-Length: %d\r\n\r\n", path, s.size())
		_ = s.writeTo(c)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	<-sent
	runtime.ReadMemStats(&after)
	if resp.StatusCode != s.status {
		t.Errorf("status %s, want %d: %.300s", resp.Status, s.status, body)
	}
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// chunks makes each write a chunk.
type chunks struct{ io.Writer }

func (c chunks) Write(p []byte) (int, error) {
	_, _ = fmt.Fprintf(c.Writer, "%x\r\n", len(p))
	_, _ = c.Writer.Write(p)
	_, err := io.WriteString(c.Writer, "\r\n")
	return len(p), err
}

// TestBodyCost: whatever a body of up to 33 MiB looks like, all that is allocated
// from its first byte to the answer is a small multiple of what a message may
// have. What allocates in proportion to what it is sent, or more, cannot pass.
func TestBodyCost(t *testing.T) {
	const most = costMB // 16 messages, with what the test itself needs
	r := newRig(t, forgetful)
	r.do("POST", "/chat", `{"message":"hi"}`).want(200) // what is made once
	r.do("POST", "/sessions", ``).want(201)
	test := func(path string, shapes []costShape) {
		for _, s := range shapes {
			for how, chunked := range map[string]bool{"": false, ", chunked": true} {
				if raceEnabled && chunked {
					continue // the detector takes ten times as long
				}
				t.Run(path+" "+s.name+how, func(t *testing.T) {
					s.head = strings.Replace(s.head, someID, newID(), 1)
					if cost := r.costOf(t, path, s, chunked); cost > most {
						t.Errorf("%d KiB were allocated for a body of %d KiB", cost>>10, s.size()>>10)
					}
				})
			}
		}
	}
	test("/api/chat", costSDKShapes())
	test("/chat", costChatShapes(200))
	test("/sessions", costChatShapes(201))
}
