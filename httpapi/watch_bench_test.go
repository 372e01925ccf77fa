package httpapi_test

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// watchMany opens so many watchers of a session, which read whatever comes until
// they are closed.
func watchMany(what string) (closed func(), err error) {
	f := strings.Fields(what)
	n, err := strconv.Atoi(f[2])
	var socks []*refSocket
	var reading sync.WaitGroup
	closed = func() {
		for _, s := range socks {
			s.close()
		}
		reading.Wait()
	}
	for range n {
		s, failed := dialRefSocket(f[0], "/ws/"+f[1]+"?watch=1", refDial{})
		if failed == nil {
			socks = append(socks, s)
			_, failed = s.read()
		}
		if failed != nil {
			return closed, failed
		}
		reading.Go(func() { _, _ = io.Copy(io.Discard, s.conn.TCPConn) })
	}
	return closed, err
}

// BenchmarkWatchers tells what a watcher costs this process per token, beyond
// what a token costs that nobody watches: replies of 100 tokens, 20 ms apart. The
// watchers are another process's.
func BenchmarkWatchers(b *testing.B) {
	const tokens = 100
	alone := 0.0
	for _, n := range []int{0, 2, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			quiet := slog.New(slog.DiscardHandler)
			r := newRig(b, forgetful, withHub(func(c *hub.Config) { c.Logger = quiet }), withAPI(func(c *httpapi.Config) { c.Logger = quiet }))
			r.answer("go", mistralsim.Answer{Tokens: strings.Split(strings.Repeat("token |", tokens), "|")[:tokens], Pace: 20 * time.Millisecond})
			p, err := dialRefSocket(r.addr(), "/ws", refDial{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.close()
			page := refPage{}
			take := func() *refFrame {
				raw, err := p.read()
				if err != nil {
					b.Fatal(err)
				}
				f, err := page.take(raw)
				if err != nil {
					b.Fatal(err)
				}
				return f
			}
			take()
			if n > 0 {
				watchers := startRole(b, fmt.Sprintf("watch %s %s %d", r.addr(), page.session, n))
				defer watchers.stop()
			}
			before := processorTime(b)
			for b.Loop() {
				if err := p.say(newID(), "go"); err != nil {
					b.Fatal(err)
				}
				for take().Type != "finish" {
				}
			}
			each := float64(processorTime(b)-before) / float64(b.N*tokens)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(each/1e3, "µs/token")
			if n == 0 {
				alone = each
			} else {
				b.ReportMetric((each-alone)/float64(n)/1e3, "µs/token/watcher")
			}
		})
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
