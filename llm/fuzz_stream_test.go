package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tmaxmax/go-sse"
	"github.com/tmc/langchaingo/llms"
)

// outcome is what a stream came to.
type outcome struct {
	text, thought, finish, tools string
	usage                        usage
	err                          string // "", "cut", "bad"
}

// pieces is a reader whose reads are as long as the bytes of cuts say.
type pieces struct {
	data, cuts []byte
	at         int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := len(p.data)
	if len(p.cuts) > 0 {
		n = min(n, 1+int(p.cuts[p.at%len(p.cuts)]))
		p.at++
	}
	n = copy(b, p.data[:min(n, len(b))])
	p.data = p.data[n:]
	return n, nil
}

// readAs runs the real reader.
func readAs(t testing.TB, r io.Reader) outcome {
	m, err := NewMistral(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := newWatch(cancel, time.Minute)
	defer w.stop()
	var got strings.Builder
	c := call{m: m, ctx: ctx, collect: true, given: echo{done: true}}
	c.opts.StreamingFunc = func(_ context.Context, b []byte) error {
		if len(b) == 0 || !utf8.Valid(b) {
			t.Errorf("streamed %q", b)
		}
		got.Write(b)
		return nil
	}
	f := c.read(ctx, r, w)
	if got.String() != c.text.String() {
		t.Errorf("streamed %q, returned %q", got.String(), c.text.String())
	}
	o := outcome{text: c.text.String(), thought: c.thought.String(), finish: c.finish, usage: c.usage, tools: toolText(c.tools)}
	switch {
	case f == nil:
	case errors.Is(f.Error, io.ErrUnexpectedEOF):
		o.err = "cut"
	default:
		o.err = "bad"
	}
	return o
}

func toolText(calls []llms.ToolCall) string {
	b, _ := json.Marshal(calls)
	return string(b)
}

// oracle reads the same stream with go-sse and encoding/json.
func oracle(stream []byte) outcome {
	var o outcome
	var calls []llms.ToolCall
	done := false
	for e, err := range sse.Read(bytes.NewReader(stream), &sse.ReadConfig{MaxEventSize: 1 << 22}) {
		if err != nil {
			o.err = "bad"
			break
		}
		if e.Data == "" {
			continue
		}
		if e.Data == "[DONE]" {
			done = true
			break
		}
		said, ok := understand(json.RawMessage(e.Data))
		if ok && said.tools != "" {
			calls, err = joinTools(calls, []byte(said.tools))
			ok = err == nil
		}
		o.text += said.text
		o.thought += said.thought
		if said.usage != nil {
			o.usage = *said.usage
		}
		if said.finish != "" && ok {
			o.finish = said.finish
		}
		if !ok || o.finish == "error" {
			o.err = "bad"
			break
		}
	}
	o.tools = toolText(calls)
	if o.finish != "" && o.finish != "error" {
		o.err = ""
	} else if o.err == "" && (done || o.finish == "") {
		o.err = "cut"
	}
	return o
}

type saying struct {
	text, thought, finish, tools string
	usage                        *usage
}

// pair is a member of an object.
type pair struct {
	key   string
	value json.RawMessage
}

func pairs(object json.RawMessage) (all []pair, ok bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, false
		}
		all = append(all, pair{key.(string), value})
	}
	return all, true
}

func understand(data json.RawMessage) (said saying, ok bool) {
	if !json.Valid(data) || tooDeep(data) {
		return said, false
	}
	top, ok := pairs(data)
	if !ok {
		return said, false
	}
	object, message, named, chose := false, false, false, false
	for _, p := range top {
		switch p.key {
		case "choices":
			chose = true
			said.text, said.thought, said.finish, said.tools = "", "", "", ""
			var choices []json.RawMessage
			if json.Unmarshal(p.value, &choices) != nil {
				return saying{}, false
			}
			for _, choice := range choices {
				if !said.choose(choice) {
					return saying{}, false
				}
			}
		case "usage":
			said.usage = nil
			if counts, ok := pairs(p.value); ok {
				said.usage = &usage{}
				for _, c := range counts {
					n, err := strconv.ParseUint(string(c.value), 10, 32)
					if err != nil || n > 999_999_999 || len(c.value) > 9 {
						n = 0
					}
					switch c.key {
					case "prompt_tokens":
						said.usage.prompt = int(n)
					case "completion_tokens":
						said.usage.completion = int(n)
					case "total_tokens":
						said.usage.total = int(n)
					}
				}
			}
		case "object":
			object = strings.EqualFold(string(p.value), `"error"`)
		case "error":
			named = string(p.value) != "null"
		case "message", "detail":
			message = true
		}
	}
	if object || named || message && !chose {
		return saying{}, false
	}
	return said, true
}

// choose adds a choice if it is the one with index 0.
func (said *saying) choose(choice json.RawMessage) bool {
	members, ok := pairs(choice)
	ours := true
	var text, thought, finish, tools string
	for _, p := range members {
		switch p.key {
		case "index":
			ours = string(p.value) == "0" || string(p.value) == "null"
		case "finish_reason":
			finish = ""
			if json.Unmarshal(p.value, &finish) != nil {
				return false
			}
		case "delta":
			text, thought, tools = "", "", ""
			if string(p.value) == "null" {
				continue
			}
			deltas, isObject := pairs(p.value)
			if !isObject {
				return false
			}
			for _, d := range deltas {
				switch d.key {
				case "content":
					text, thought = "", ""
					if !spell(d.value, &text, &thought) {
						return false
					}
				case "tool_calls":
					if tools = string(d.value); tools == "null" {
						tools = ""
					}
				}
			}
		}
	}
	if ours {
		said.text += text
		said.thought += thought
		if finish != "" {
			said.finish = finish
		}
		if tools != "" {
			said.tools = tools
		}
	}
	return ok
}

// spell adds a content's text.
func spell(content json.RawMessage, text, thought *string) bool {
	var s *string
	if json.Unmarshal(content, &s) == nil {
		if s != nil {
			*text += *s
		}
		return true
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		return false
	}
	for _, raw := range parts {
		var s string
		if raw[0] == '"' {
			_ = json.Unmarshal(raw, &s)
			*text += s
			continue
		}
		members, ok := pairs(raw)
		if !ok {
			return false
		}
		kind := `"text"`
		var of = map[string]json.RawMessage{}
		for _, p := range members {
			if p.key == "type" {
				kind = string(p.value)
			}
			of[p.key] = p.value
		}
		switch kind {
		case `"text"`:
			if v := of["text"]; v != nil {
				if json.Unmarshal(v, &s) != nil {
					return false
				}
				*text += s
			}
		case `"thinking"`:
			if v := of["thinking"]; v != nil && !spell(v, thought, thought) {
				return false
			}
		}
	}
	return true
}

// tooDeep says that values are nested deeper than the scanner goes into: the
// fuzzer takes both for malformed.
func tooDeep(data []byte) bool {
	depth, deepest := 0, 0
	for _, b := range data {
		switch b {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest > 50
}

// FuzzStream holds the stream reader to go-sse and encoding/json, whatever the
// stream and wherever reads cut it.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		hello, strings.ReplaceAll(hello, "\n", "\r\n"), strings.ReplaceAll(hello, "\n", "\r"), "\xef\xbb\xbf" + hello,
		event(`"\u00e9\ud83d\ude00\ud83d"`) + event("\"\xff你\"") + finish("stop"),
		event(`[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"4"}]`) + finish("length"),
		"data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\"}}]}\n\n" + finish("stop"),
		`data: {"choices":[{"index":1,"delta":{"content":"a"}},{"delta":{"content":"b","tool_calls":[{"id":"x"}]}}],"usage":{"prompt_tokens":3}}` + "\n\n" + finish("error"),
		`data: {"object":"error","message":"x","code":"1300"}` + "\n\n", `data: {"error":{"message":"x"}}` + "\n\n", `data: {"detail":"x"}` + "\n\n",
		// Events alike but for their content, whose rest has an effect.
		strings.Repeat(`data: {"choices":[{"delta":{"content":"a","content":"b"}}]}`+"\n\n", 2) + finish("stop"),
		`data: {"choices":[{"delta":{"content":""},"index":1}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":"a"},"index":1}]}` + "\n\n" + finish("stop"),
		`data: {"choices":[{"delta":{"content":"a"}}],"object":"error","p":"x","object":""}` + "\n\n" + `data: {"choices":[{"delta":{"content":"a"}}],"object":"error","p":"x"}` + "\n\n",
		": c\n\ndata\n\ndata:\n\n" + event(`"a"`) + event(`"b","content":"c"`) + "data: {} x\n\n",
		`data: {"choices":[{"delta":{"content":"a"}}],"choices":[{"delta":{"content":"b"},"delta":null,"index":1e0}],"n":[-0.5e+3,0,true,false,{"a":[]}]}` + "\n\n",
	} {
		f.Add([]byte(s), []byte{0})
		f.Add([]byte(s), []byte{3, 50, 7})
		f.Add([]byte(s), []byte{})
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if tooDeep(stream) {
			return
		}
		want := oracle(stream)
		if got := readAs(t, &pieces{data: stream, cuts: cuts}); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}
