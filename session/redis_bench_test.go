package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// paced is a reply that is written at an even pace, and knows how long each
// token took until it could be shown.
type paced struct {
	mu      sync.Mutex
	text    []byte
	written []time.Time // when the text reached each multiple of tokenSize
	shown   int
	took    []time.Duration
	all     *sync.WaitGroup
}

const tokenSize = 5

func (p *paced) From(off, limit int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.text[off:]
	return b[:min(len(b), max(limit, utf8.UTFMax)):len(b)]
}

func (p *paced) Stored(n int, _ bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.shown < n/tokenSize; p.shown++ {
		p.took = append(p.took, now.Sub(p.written[p.shown]))
		p.all.Done()
	}
}

func (*paced) Away() {}
func (*paced) Lost() { panic("the right to write is lost") }

// BenchmarkAppend writes 500 replies at 50 tokens a second each, an operation
// being one token of each, and reports what a token costs: until it is stored,
// here, and in Redis. With a follower, another node copies every reply.
func BenchmarkAppend(b *testing.B) {
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%v", followed), func(b *testing.B) {
			const replies, rate = 500, 50
			server := startRedis(b)
			n, other := newNode(b, RedisConfig{URL: "redis://" + server.addr}), newNode(b, RedisConfig{URL: "redis://" + server.addr})
			var all sync.WaitGroup
			pages := make([]*paced, replies)
			wakes := make([]func(), replies)
			for i := range pages {
				id := create(b, n)
				turn := submit("hi")
				if _, err := n.Say(b.Context(), id, turn); err != nil {
					b.Fatal(err)
				}
				pages[i] = &paced{all: &all, text: make([]byte, 0, b.N*tokenSize)}
				wakes[i], _ = n.Write(turn.Reply, pages[i])
				if followed {
					other.Follow(id, turn.Reply, 0, 0, &page{})
				}
			}
			commands, redisCPU, cpu := server.spent()
			all.Add(replies * b.N)
			tick := time.NewTicker(time.Second / rate / 10)
			defer tick.Stop()
			b.ResetTimer()
			for i := 0; i < 10*b.N; i++ { // a tenth of the replies at a time
				<-tick.C
				for j := i % 10; j < replies; j += 10 {
					p := pages[j]
					p.mu.Lock()
					p.text = append(p.text, "token"...)
					p.written = append(p.written, time.Now())
					p.mu.Unlock()
					wakes[j]()
				}
			}
			all.Wait()
			b.StopTimer()
			commands2, redisCPU2, cpu2 := server.spent()
			tokens := float64(replies * b.N)
			var took []time.Duration
			for _, p := range pages {
				took = append(took, p.took...)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric((cpu2-cpu)/tokens*1e6, "cpu-s/Mtoken")
			b.ReportMetric((redisCPU2-redisCPU)/tokens*1e6, "redis-cpu-s/Mtoken")
			b.ReportMetric((commands2-commands)/tokens*1000, "commands/ktoken")
		})
	}
}

// spent returns the commands and CPU seconds of Redis, and those of this process.
func (s *redisServer) spent() (commands, redis, self float64) {
	for line := range strings.Lines(s.ask("INFO commandstats") + "\n" + s.ask("INFO cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		f, _ := strconv.ParseFloat(value, 64)
		switch {
		case name == "used_cpu_sys" || name == "used_cpu_user":
			redis += f
		case strings.HasPrefix(name, "cmdstat_evalsha"):
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			f, _ = strconv.ParseFloat(calls, 64)
			commands += f
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		self = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return commands, redis, self
}
