package filestore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// fillWith fills a directory with conversations of turns rounds each: a message of 80
// bytes, and a reply of 1,000 that came in 20 batches.
func fillWith(t testing.TB, dir string, conversations, turns int) {
	t.Helper()
	s, err := Open(dir, quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	refs := make([]session.Ref, conversations)
	for i := range refs {
		got, err := s.Create(ctx, session.Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		refs[i] = got.Ref()
	}
	message, piece := strings.Repeat("question ", 9), []byte(strings.Repeat("answer ", 7)+".")
	const together = 100
	for range turns {
		for start := 0; start < len(refs); start += together {
			texts := make([]*session.Text, 0, together)
			for _, ref := range refs[start:min(start+together, len(refs))] {
				said, err := s.Say(ctx, ref, session.Turn{
					User:  session.Message{ID: uuid.New(), Content: message, Timestamp: session.Now()},
					Reply: uuid.New(), Model: "mistral-small-latest",
				})
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, said.Text)
			}
			for range 20 {
				for _, text := range texts {
					text.Append(piece)
				}
				s.b.Append(ctx, texts)
			}
			for _, text := range texts {
				usage := &session.Usage{PromptTokens: 100, CompletionTokens: 200, TotalTokens: 300}
				if err := s.Finish(ctx, text, session.Message{FinishReason: session.FinishStop, Usage: usage}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// inChild has another process do what fills a directory, so that this one's memory
// is what a start takes.
func inChild(b *testing.B, dir string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFill$")
	cmd.Env = append(os.Environ(), fillDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
}

const fillDir = "FILESTORE_TEST_FILL"

// TestFill is what inChild runs.
func TestFill(t *testing.T) {
	if dir := os.Getenv(fillDir); dir != "" {
		fillWith(t, dir, 20_000, 5)
		return
	}
	fillWith(t, t.TempDir(), 10, 2)
}

// BenchmarkOpen is a start on 20,000 conversations with 100,000 turns.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	inChild(b, dir)
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		cpu := cpuTime()
		b.StartTimer()
		s, err := Open(dir, quiet(Config{Sync: Never}))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(cpuTime()-cpu)/1e6, "cpu-ms")
		b.ReportMetric(float64(s.Stats().Size)/1e6, "MB-on-disk")
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.Sys)/1e6, "MB-from-the-system")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
		if s.Len() != 20_000 {
			b.Fatal(s.Len())
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkCompact is a compaction of 20,000 conversations with 100,000 turns, and
// how long a message then takes until it is acknowledged.
func BenchmarkCompact(b *testing.B) {
	dir := b.TempDir()
	inChild(b, dir)
	s := opened(b, dir, Config{})
	ref := made(b, s.Manager)
	for b.Loop() {
		done := make(chan error)
		go func() { done <- s.b.compact(context.Background()) }()
		var says []time.Duration
		for busy := true; busy; {
			select {
			case err := <-done:
				if err != nil {
					b.Fatal(err)
				}
				busy = false
			case <-time.After(time.Millisecond):
				began := time.Now()
				said, err := s.Say(b.Context(), ref, session.Turn{
					User:  session.Message{ID: uuid.New(), Content: "hi", Timestamp: session.Now()},
					Reply: uuid.New(), Model: "m",
				})
				if err != nil {
					b.Fatal(err)
				}
				says = append(says, time.Since(began))
				if err := s.Finish(b.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
					b.Fatal(err)
				}
			}
		}
		slices.Sort(says)
		b.ReportMetric(float64(says[len(says)/2].Microseconds()), "say-p50-us")
		b.ReportMetric(float64(says[len(says)*99/100].Microseconds()), "say-p99-us")
		b.ReportMetric(float64(says[len(says)-1].Microseconds()), "say-max-us")
	}
}

// textsOf returns the texts of n replies that run in a store, whose work is done in
// the background.
func textsOf(b *testing.B, m *session.Manager, n int) []*session.Text {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	return started(b, m, n)
}

// started returns the texts of n replies that run in a store.
func started(b *testing.B, m *session.Manager, n int) []*session.Text {
	b.Helper()
	ctx := b.Context()
	texts := make([]*session.Text, n)
	for i := range texts {
		got, err := m.Create(ctx, session.Creation{ID: uuid.New()})
		if err != nil {
			b.Fatal(err)
		}
		said, err := m.Say(ctx, got.Ref(), session.Turn{
			User:  session.Message{ID: uuid.New(), Content: "hi", Timestamp: session.Now()},
			Reply: uuid.New(), Model: "m",
		})
		if err != nil {
			b.Fatal(err)
		}
		texts[i] = said.Text
	}
	return texts
}

// BenchmarkAppend is a token of 26 bytes in 1, 10 or 500 replies, which are stored
// at once, without the queue that gathers them.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 500} {
		b.Run(fmt.Sprintf("memory/replies=%d", n), func(b *testing.B) {
			m := session.NewMemory(session.Config{})
			tokens(b, textsOf(b, m, n), func([]*session.Text) {}, func() int64 { return 0 })
		})
		for name, mode := range map[string]SyncMode{"file": Never, "synced": Always} {
			b.Run(fmt.Sprintf("%s/replies=%d", name, n), func(b *testing.B) {
				s := opened(b, b.TempDir(), Config{Sync: mode})
				store := func(texts []*session.Text) { s.b.Append(b.Context(), texts) }
				tokens(b, started(b, s.Manager, n), store, func() int64 { return s.Stats().Size })
			})
		}
	}
}

// tokens appends to texts, and stores that.
func tokens(b *testing.B, texts []*session.Text, store func([]*session.Text), written func() int64) {
	token := []byte("a token of twenty-six byte")
	before, cpu, n := written(), cpuTime(), 0
	for b.Loop() {
		for _, t := range texts {
			t.Append(token)
		}
		store(texts)
		n += len(texts)
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(n), "cpu-ns/token")
	b.ReportMetric(float64(written()-before)/float64(n*len(token)), "written/payload")
	for _, t := range texts {
		if t.Safe() != t.Appended() {
			b.Fatal("a text is not stored")
		}
	}
}

func inMemory(testing.TB) (*session.Manager, func() Stats) {
	return session.NewMemory(session.Config{}), func() Stats { return Stats{} }
}

func inFile(t testing.TB) (*session.Manager, func() Stats) {
	s := opened(t, t.TempDir(), Config{})
	return s.Manager, s.Stats
}

// BenchmarkTurn is a turn of one conversation: a message, a reply of 2,000 bytes
// in one piece, and its end.
func BenchmarkTurn(b *testing.B) {
	reply := []byte(strings.Repeat("0123456789", 200))
	for name, open := range map[string]func(testing.TB) (*session.Manager, func() Stats){"memory": inMemory, "file": inFile} {
		b.Run(name, func(b *testing.B) {
			m, stats := open(b)
			ref := made(b, m)
			before, turns := stats(), 0
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				said, err := m.Say(b.Context(), ref, session.Turn{
					User:  session.Message{ID: uuid.New(), Content: "a question of thirty-two bytes?!", Timestamp: session.Now()},
					Reply: uuid.New(), Model: "mistral-small-latest",
				})
				if err != nil {
					b.Fatal(err)
				}
				said.Text.Append(reply)
				if err := m.Finish(b.Context(), said.Text, session.Message{FinishReason: session.FinishStop}); err != nil {
					b.Fatal(err)
				}
				if turns++; turns%100 == 0 {
					ref = made(b, m)
				}
			}
			b.ReportMetric(float64(cpuTime()-began)/float64(turns), "cpu-ns/turn")
			b.ReportMetric(float64(stats().Size-before.Size)/float64(turns*(len(reply)+32)), "written/payload")
		})
	}
}

func made(t testing.TB, m *session.Manager) session.Ref {
	t.Helper()
	got, err := m.Create(t.Context(), session.Creation{ID: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	return got.Ref()
}

// BenchmarkPaced is 500 replies at 50 tokens a second, and 50 messages a second:
// what a token costs, how long it takes until it may be shown, and a message until
// it is acknowledged, and the bytes that are written for each of the payload.
func BenchmarkPaced(b *testing.B) {
	for name, open := range map[string]func(testing.TB) (*session.Manager, func() Stats){"memory": inMemory, "file": inFile} {
		b.Run(name, func(b *testing.B) {
			m, stats := open(b)
			for b.Loop() {
				paced(b, m, stats)
			}
		})
	}
}

func paced(b *testing.B, m *session.Manager, stats func() Stats) {
	texts := textsOf(b, m, 500)
	delays := &delays{began: make([]atomic.Int64, len(texts))}
	for i, t := range texts {
		t.Watcher(&clock{delays, i})
	}
	token := []byte("a token of twenty-six byte")
	before, cpu, payload := stats(), cpuTime(), 0
	var says []time.Duration
	var turns sync.WaitGroup
	for i, t := range texts {
		turns.Go(func() { // each by itself, as models write
			time.Sleep(time.Duration(i) * 20 * time.Millisecond / time.Duration(len(texts)))
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range 200 {
				<-tick.C
				delays.began[i].Store(time.Now().UnixNano())
				t.Append(token)
			}
		})
	}
	for range 200 {
		time.Sleep(20 * time.Millisecond)
		ref := made(b, m)
		began := time.Now()
		_, err := m.Say(b.Context(), ref, session.Turn{
			User:  session.Message{ID: uuid.New(), Content: "hi", Timestamp: session.Now()},
			Reply: uuid.New(), Model: "m",
		})
		if err != nil {
			b.Fatal(err)
		}
		says = append(says, time.Since(began))
	}
	turns.Wait()
	for _, t := range texts {
		payload += t.Appended()
		if err := m.Finish(b.Context(), t, session.Message{FinishReason: session.FinishStop}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(payload/len(token)), "cpu-ns/token")
	b.ReportMetric(float64(stats().Size-before.Size)/float64(payload), "written/payload")
	delays.mu.Lock()
	defer delays.mu.Unlock()
	for name, all := range map[string][]time.Duration{"token": delays.all, "say": says} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-us")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-us")
	}
}

// delays are how long tokens took until they could be shown.
type delays struct {
	began []atomic.Int64 // by text
	mu    sync.Mutex
	all   []time.Duration
}

type clock struct {
	*delays
	i int
}

func (c *clock) Grew(bool) {
	d := time.Duration(time.Now().UnixNano() - c.began[c.i].Load())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, d)
}

func (c *clock) Ended() {}
func (c *clock) Away()  {}

// Followed implements session.TextWatcher.
func (c *clock) Followed() bool { return true }
