package llm

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// outcome is what a stream came to.
type outcome struct {
	text, thought, finish string
	usage                 usage
	err                   string // "", "cut", "bad"
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
	var got, thought strings.Builder
	c := call{m: m, ctx: ctx, collect: true, given: echo{done: true}, budget: NewBudget(1, time.Hour)}
	c.begin()
	c.opts.StreamingFunc = func(_ context.Context, b []byte) error {
		if len(b) == 0 || !utf8.Valid(b) {
			t.Errorf("streamed %q", b)
		}
		got.Write(b)
		return nil
	}
	c.opts.StreamingReasoningFunc = func(_ context.Context, thoughts, _ []byte) error {
		thought.Write(thoughts)
		return nil
	}
	f := c.read(ctx, r, "text/event-stream", w)
	if got.String() != c.text.String() {
		t.Errorf("streamed %q, returned %q", got.String(), c.text.String())
	}
	o := outcome{text: c.text.String(), thought: thought.String(), finish: c.finish, usage: c.usage}
	switch {
	case f == nil:
	case errors.Is(f.Error, io.ErrUnexpectedEOF):
		o.err = "cut"
	default:
		o.err = "bad"
	}
	return o
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
