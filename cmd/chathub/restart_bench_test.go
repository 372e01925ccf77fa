package main

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/filestore"
)

// BenchmarkRestart tells how long one node takes from its start to readyz with 20,000
// conversations of five turns in its directory, and what memory it has then:
//
//	go test ./cmd/chathub -run - -bench Restart -benchtime 5x
func BenchmarkRestart(b *testing.B) {
	const conversations, turns = 20_000, 5
	c := &cluster{model: startSimulated(b)}
	dir := b.TempDir()
	fill(b, dir, conversations, turns)
	c.join(b, 1, "", "DATA_DIR="+dir, "GOMAXPROCS="+os.Getenv("GOMAXPROCS"))
	one := c.nodes[0]
	var took time.Duration
	for b.Loop() {
		one.kill()
		began := time.Now()
		if err := one.start(); err != nil {
			b.Fatal(err)
		}
		if status := one.status("/readyz"); status != http.StatusOK {
			b.Fatalf("readyz is %d", status)
		}
		took += time.Since(began)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(one.metric(b, "process_cpu_seconds_total"), "cpu-s/start")
	b.ReportMetric(one.metric(b, "process_resident_memory_bytes")/(1<<20), "MiB")
	if n := one.metric(b, "chathub_sessions"); n != conversations {
		b.Errorf("%v conversations are there", n)
	}
}

// fill fills a directory with conversations: of messages of 80 bytes and replies of
// 1,000.
func fill(b *testing.B, dir string, conversations, turns int) {
	s, err := filestore.Open(dir, filestore.Config{Sync: filestore.Never})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	question, answer := strings.Repeat("question", 10), []byte(strings.Repeat("an answer ", 100))
	talk := func() error {
		made, err := s.New(ctx, "", uuid.Nil)
		for range turns {
			if err != nil {
				break
			}
			var said session.Said
			if said, err = s.Say(ctx, made.Ref(), session.Turn{
				User: session.Message{ID: uuid.New(), Content: question, Timestamp: session.Now()}, Reply: uuid.New(), Model: "m",
			}); err == nil {
				said.Text.Append(answer)
				err = s.Finish(ctx, said.Text, session.Message{FinishReason: session.FinishStop})
			}
		}
		return err
	}
	const together = 50 // share a write
	var work sync.WaitGroup
	for range together {
		work.Go(func() {
			for range conversations / together {
				if err := talk(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
