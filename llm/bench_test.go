package llm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// reply is a stream of n tokens as Mistral sends them, padding included.
func reply(n int) []byte {
	words := []string{" the", " of", "Hello", ",", " streaming", "\\n\\n", " is", " a", " caf\\u00e9", " 你好", ".", " tokens", "ization", " 😀"}
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `data: {"id":"53197a20c4f04a9d8f6f7bb1e1f3d0aa","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"p":"%s"}`+"\n\n",
			words[i%len(words)], strings.Repeat("abcdefghijkl", 3)[:i*7%36])
	}
	b.WriteString(finish("stop"))
	return b.Bytes()
}

// chunks is a reader that brings size bytes a read, or one event when size is 0.
type chunks struct {
	data []byte
	size int
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := min(c.size, len(c.data))
	if c.size == 0 {
		n = bytes.Index(c.data, []byte("\n\n")) + 2
	}
	n = copy(b, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}

// consume reads a whole stream as a call does, for one that wants no Content.
func consume(tb testing.TB, m *Mistral, r io.Reader) (calls int) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	w := newWatch(cancel, time.Minute)
	defer w.stop()
	c := call{m: m, ctx: ctx, given: echo{done: true}, budget: NewBudget(1, time.Hour)}
	c.begin()
	c.opts.StreamingFunc = func(context.Context, []byte) error { calls++; return nil }
	if f := c.read(ctx, r, "text/event-stream", w); f != nil {
		tb.Fatal(f.Error)
	}
	return calls
}

func BenchmarkStream(b *testing.B) {
	const tokens = 5000
	stream := reply(tokens)
	m, err := NewMistral(Config{})
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{0, 4 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("read=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			for b.Loop() {
				consume(b, m, &chunks{stream, size})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens, "ns/token")
		})
	}
}

// TestStreamAllocates holds the token path to no allocation per token.
func TestStreamAllocates(t *testing.T) {
	m, err := NewMistral(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 4 << 10} {
		few, many := reply(100), reply(10_100)
		count := func(stream []byte) float64 {
			return testing.AllocsPerRun(5, func() { consume(t, m, &chunks{stream, size}) })
		}
		if more := count(many) - count(few); more > 20 {
			t.Errorf("reads of %d: 10,000 tokens more made %.0f allocations more", size, more)
		}
	}
}

func BenchmarkEstimateTokens(b *testing.B) {
	text := strings.Repeat("The quick brown fox, 你好, jumps over 13 lazy dogs.\n", 200)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		EstimateTokens(text)
	}
}
