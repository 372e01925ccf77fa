package main

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"time"
)

// stamps are the times at which the simulator sent each token, by client and
// token, so that clients can tell how late theirs came. Writer and reader meet
// through the network only, hence the atomics.
type stamps struct {
	tokens int // a reply
	begin  time.Time
	at     []atomic.Int64 // nanoseconds after begin
}

func newStamps(clients, tokens int) *stamps {
	return &stamps{tokens: tokens, begin: time.Now(), at: make([]atomic.Int64, clients*tokens)}
}

// slot is where a conversation's stamps are; one replaces another that ended.
func (s *stamps) slot(n int) []atomic.Int64 {
	n %= len(s.at) / s.tokens
	return s.at[n*s.tokens : (n+1)*s.tokens]
}

// late records how long the tokens from one to another took until a time;
// those sent before since are left out, since there was nobody to take them.
func (s *stamps) late(t timing, n, from, to int, until, since time.Time) {
	received, oldest := int64(until.Sub(s.begin)), int64(since.Sub(s.begin))
	slot := s.slot(n)
	for from < to {
		sent, same := slot[from].Load(), 1
		for from+same < to && slot[from+same].Load() == sent {
			same++
		}
		if sent >= oldest && sent <= received {
			t.add(time.Duration(received-sent), same)
		}
		from += same
	}
}

// stampWriter notes when a reply's tokens are written. The simulator writes
// whole events, the first of them without text, and flushes each write.
type stampWriter struct {
	http.ResponseWriter
	of   *stamps
	slot []atomic.Int64 // nil: not a reply
	sent int            // events so far
}

// Write notes the time and writes.
func (w *stampWriter) Write(b []byte) (int, error) {
	if w.slot != nil {
		now := int64(time.Since(w.of.begin))
		events := w.sent + bytes.Count(b, []byte("\n\n"))
		for i := max(w.sent, 1); i < events && i <= len(w.slot); i++ {
			w.slot[i-1].Store(now)
		}
		w.sent = events
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *stampWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
