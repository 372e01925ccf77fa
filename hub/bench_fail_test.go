//go:build unix

package hub

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/llm"
	"lumos/backend/session"
)

// BenchmarkFailedReply is a reply whose service answers 500 and quotes what it was
// sent, in conversations of different lengths with messages of 4 KB. The CPU is
// the whole process', the service's and the client's part included.
func BenchmarkFailedReply(b *testing.B) {
	for _, messages := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			history := make([]session.Message, messages)
			for i := range history {
				history[i] = session.Message{Role: session.User, Content: strings.Repeat(fmt.Sprintf("word%d ", i), 1000)[:4096]}
				if i%2 == 1 {
					history[i].Role = session.Assistant
				}
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = fmt.Fprintf(w, `{"message":"cannot answer %s"}`, history[0].Content[:2000])
			}))
			defer server.Close()
			model, err := llm.NewMistral(llm.Config{BaseURL: server.URL, MaxRetries: -1})
			if err != nil {
				b.Fatal(err)
			}
			h := New(Config{Sessions: session.NewManager(session.NewMemory(0, 0)), Model: model, MaxContextTokens: 8000, Logger: slog.New(slog.DiscardHandler)})
			before := cpuTime(b)
			for b.Loop() {
				a := asking{h: h, r: newReply(session.Ref{ID: uuid.New()}, uuid.New(), "m"), began: time.Now()}
				m, err := a.ask(context.Background(), history)
				if err == nil {
					b.Fatal("an answer")
				}
				a.report(End{Message: m}, err)
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "µs-CPU/op")
		})
	}
}

func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
