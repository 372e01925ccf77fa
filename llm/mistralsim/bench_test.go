package mistralsim

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkFlatOut is the cost of a token over loopback, written as fast as it
// goes, together with that of a client that only reads.
func BenchmarkFlatOut(b *testing.B) {
	for _, flush := range []int{1, 32} {
		b.Run(fmt.Sprintf("flush=%d", flush), func(b *testing.B) { benchmark(b, Answer{Flush: flush}) })
	}
}

// BenchmarkHandler is the same without a network: frames and nothing else.
func BenchmarkHandler(b *testing.B) {
	cfg := saying(Answer{Tokens: benchTokens(b.N), Flush: 32})
	cfg.Record = -1
	sim := New(cfg)
	r := request(b.Context(), streamed)
	b.ReportAllocs()
	b.ResetTimer()
	sim.ServeHTTP(sink{httptest.NewRecorder()}, r)
}

// benchmark streams b.N tokens of 26 bytes.
func benchmark(b *testing.B, ans Answer) {
	ans.Tokens = benchTokens(b.N)
	cfg := saying(ans)
	cfg.Record = -1
	_, srv := serve(b, cfg)
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	b.ResetTimer()
	resp := ask(b.Context(), b, srv, streamed)
	size, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size / int64(b.N))
}

func benchTokens(n int) []string {
	return strings.SplitAfter(strings.Repeat("a token of twenty-six by. ", n), ". ")[:n]
}
