//go:build unix

package mistralsim

import (
	"io"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPaced is what 200 replies of 50 tokens a second cost. They take their
// time whatever the machine does, so look at cpu-ns/token, which has the clients
// in it, not at ns/op.
func BenchmarkPaced(b *testing.B) {
	const replies = 200
	each := max(b.N/replies, 1)
	cfg := saying(Answer{Tokens: benchTokens(each), Pace: 20 * time.Millisecond})
	cfg.Record = -1
	_, srv := serve(b, cfg)
	before := cpuTime(b)
	var wg sync.WaitGroup
	for range replies {
		wg.Go(func() {
			if _, err := io.Copy(io.Discard, ask(b.Context(), b, srv, streamed).Body); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(replies*each), "cpu-ns/token")
}

// cpuTime is the CPU time that the process has used, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
