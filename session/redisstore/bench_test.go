package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// BenchmarkTurn does a turn, from its message to its reply's end, in conversations
// of some length, and reports what it costs Redis.
func BenchmarkTurn(b *testing.B) {
	for _, turns := range []int{1, 20, 200} {
		b.Run(fmt.Sprintf("turns=%d", turns), func(b *testing.B) {
			server := startRedis(b)
			n := newNode(b, Config{URL: "redis://" + server.addr})
			ref := storetest.Made(b, n, session.Creation{ID: uuid.New()})
			turn := func() {
				said := n.ask(b, ref)
				said.Text.Append([]byte("This is what the model says, in some sixty characters or so."))
				n.end(b, said.Text)
			}
			for range turns - 1 {
				turn()
			}
			_, before, _ := server.spent()
			b.ResetTimer()
			for b.Loop() {
				turn()
			}
			b.StopTimer()
			_, after, _ := server.spent()
			b.ReportMetric((after-before)/float64(b.N)*1e6, "redis-µs/turn")
		})
	}
}

// paced is a reply that is written at an even pace, and knows how long each token
// took until it could be shown.
type paced struct {
	text *session.Text
	all  *sync.WaitGroup

	mu      sync.Mutex
	written []time.Time // when the text reached each multiple of tokenSize
	shown   int
	took    []time.Duration
}

const tokenSize = 5

func (p *paced) Grew(bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.shown < p.text.Safe()/tokenSize; p.shown++ {
		p.took = append(p.took, now.Sub(p.written[p.shown]))
		p.all.Done()
	}
}

func (*paced) Ended() {}
func (*paced) Away()  {}

// Followed implements session.TextWatcher.
func (*paced) Followed() bool { return true }

// BenchmarkAppend writes 500 replies at 50 tokens a second each, an operation
// being one token of each, and reports what a token costs: until it is stored,
// here, and in Redis. With a follower, another node copies every reply.
func BenchmarkAppend(b *testing.B) {
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%v", followed), func(b *testing.B) {
			const replies, rate = 500, 50
			server := startRedis(b)
			n, other := newNode(b, Config{URL: "redis://" + server.addr}), newNode(b, Config{URL: "redis://" + server.addr})
			var all sync.WaitGroup
			pages := make([]*paced, replies)
			for i := range pages {
				said := n.begin(b)
				pages[i] = &paced{all: &all, text: said.Text}
				said.Text.Watcher(pages[i])
				if followed {
					other.follow(b, said.Text.Ref)
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
					p.written = append(p.written, time.Now())
					p.mu.Unlock()
					p.text.Append([]byte("token"))
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

// spent returns the scripts and CPU seconds of Redis, and those of this process.
func (s *redisServer) spent() (scripts, redis, self float64) {
	for line := range strings.Lines(s.ask("INFO commandstats") + "\n" + s.ask("INFO cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		f, _ := strconv.ParseFloat(value, 64)
		switch {
		case name == "used_cpu_sys" || name == "used_cpu_user":
			redis += f
		case strings.HasPrefix(name, "cmdstat_evalsha"):
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			f, _ = strconv.ParseFloat(calls, 64)
			scripts += f
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		self = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return scripts, redis, self
}

// BenchmarkKill ends processes that write a reply, and reports how long it takes
// until another node, which follows it, has taken it over.
func BenchmarkKill(b *testing.B) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		b.Run(name, func(b *testing.B) {
			url := "redis://" + startRedis(b).addr
			n := newNode(b, Config{URL: url}).settle(b)
			var took []time.Duration
			for b.Loop() {
				b.StopTimer()
				w := startWriter(b, url)
				shown(b, n.follow(b, w.ref), 60)
				b.StartTimer()
				began := time.Now()
				w.signal(b, signal)
				n.await(b, "orphaned", w.ref.ID.String(), w.reply.String())
				_, _, err := n.Take(b.Context(), w.ref, w.reply)
				took = append(took, time.Since(began))
				if err != nil {
					b.Fatal(err)
				}
				w.signal(b, syscall.SIGKILL)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
			b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
		})
	}
}

// BenchmarkPause has Redis answer nobody for a second, again and again, and reports
// how often a node that lives was held dead.
func BenchmarkPause(b *testing.B) {
	for _, what := range []string{"ALL", "WRITE"} {
		b.Run(what, func(b *testing.B) {
			server := startRedis(b)
			url := "redis://" + server.addr
			a, n := newNode(b, Config{URL: url}), newNode(b, Config{URL: url}).settle(b)
			said := a.begin(b)
			n.follow(b, said.Text.Ref)
			alarms := 0
			for b.Loop() {
				if got := server.ask("CLIENT PAUSE 1000 " + what); got != "+OK" {
					b.Fatal(got)
				}
				for began := time.Now(); time.Since(began) < 1500*time.Millisecond; time.Sleep(5 * time.Millisecond) {
					if !n.store.Alive(a.store.node) {
						alarms++
						break
					}
				}
			}
			b.ReportMetric(float64(alarms), "false-alarms")
		})
	}
}
