package httpapi_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// TestLongSession: a session is written in pieces, and is what was said to the byte,
// whatever falls on their edges.
func TestLongSession(t *testing.T) {
	r := newRig(t)
	id := r.newSession()
	var want []string
	for n, unit := range []string{"é", "👋", "\"", "\\", "\n", "\u0000", "\u2028", "<>&", "x"} {
		for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, 40 << 10} {
			text := "pqr"[:n%4%3] + strings.Repeat(unit, size/len(unit))
			said := fmt.Sprint(n, " of ", size)
			r.answer(said, mistralsim.Answer{Tokens: []string{text}})
			r.do("POST", "/chat", chatBody(id, said)).want(200)
			want = append(want, said, text)
		}
	}
	var got []string
	for _, m := range r.session(id).Messages {
		got = append(got, m.Content)
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("message %d has %d bytes, want %d", i, len(got[i]), len(want[i]))
			}
		}
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
}

// TestStalledReadersOfASession: S6. Readers that stall on a long session hold a piece of
// it each, and not the whole.
func TestStalledReadersOfASession(t *testing.T) {
	const readers, each, most = 120, 6 << 20, 24 << 20
	r := newRig(t)
	id := r.newSession()
	token := strings.Repeat("0123456789abcdef", 1<<10)
	for _, said := range []string{"one", "two", "three"} {
		r.answer(said, mistralsim.Answer{Tokens: slices.Repeat([]string{token}, each/3/len(token))})
		r.do("POST", "/chat", chatBody(id, said)).want(200)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse)
	}
	before := heap()
	for range readers {
		c, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = fmt.Fprintf(c, "GET /sessions/%s HTTP/1.1\r\nHost: hub\r\n\r\n", id)
		in := bufio.NewReaderSize(c, 16) // the answer has begun
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("answered by %q, %v", line, err)
		}
	}
	if took := heap() - before; took > most {
		t.Errorf("%d stalled readers hold %d MiB, want at most %d", readers, took>>20, most>>20)
	}
	if got := r.do("GET", "/sessions/"+id, "").want(http.StatusOK); len(got.body) < each {
		t.Errorf("another reads %d bytes", len(got.body))
	}
}
