package main

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// timing is a distribution of durations, kept in microseconds up to two
// minutes with three digits. It is not safe for concurrent use.
type timing struct{ *hdrhistogram.Histogram }

func newTiming() timing { return timing{hdrhistogram.New(1, (2 * time.Minute).Microseconds(), 3)} }

// add records d n times; one beyond the range counts as the range's end.
func (t timing) add(d time.Duration, n int) {
	t.RecordValues(min(max(d.Microseconds(), 1), t.HighestTrackableValue()), int64(n))
}

// counts is what the clients count.
type counts struct {
	Joined        int // conversations, and idle connections, that got their `ready`
	Conversations int // that came to their end
	Replies       int // rebuilt whole and right
	Bytes         int // of text, each counted once
	Frames        int // that brought text
	Wire          int // bytes of those frames' payload
	Drops         int // connections dropped on purpose, or lost in a restart
	Lost          int // connections lost otherwise
	Restarts      int // times that a reply went back to before what the client held
	Refused       int // connections that the peer refused for now
	Absent        int // connections that found no peer
	Inexact       int // replies that failed by their text
}

func (c *counts) add(o *counts) {
	c.Joined += o.Joined
	c.Conversations += o.Conversations
	c.Replies += o.Replies
	c.Bytes += o.Bytes
	c.Frames += o.Frames
	c.Wire += o.Wire
	c.Drops += o.Drops
	c.Lost += o.Lost
	c.Restarts += o.Restarts
	c.Refused += o.Refused
	c.Absent += o.Absent
	c.Inexact += o.Inexact
}

// shard is where some of the clients write what they see.
type shard struct {
	mu sync.Mutex // guards everything below
	counts
	added    timing         // from the simulator's send to the client's receipt, per token
	acked    timing         // from the message to its acknowledgement
	first    timing         // from the message to its reply's first text
	connect  timing         // from when the connection was due to the upgrade's end
	ready    timing         // from there to `ready`
	resume   timing         // from the loss of a connection to the next `ready`
	failures map[string]int // by what went wrong
}

// tally is the sum of the shards; they spare the clients one common lock.
type tally struct{ shards [8]shard }

func newTally() *tally {
	t := new(tally)
	for i := range t.shards {
		t.shards[i].reset()
	}
	return t
}

func (s *shard) reset() {
	s.added, s.acked, s.first = newTiming(), newTiming(), newTiming()
	s.connect, s.ready, s.resume = newTiming(), newTiming(), newTiming()
	s.failures = make(map[string]int)
}

// of is the shard of the client with this number.
func (t *tally) of(n int) *shard { return &t.shards[n%len(t.shards)] }

// counts is the sum so far.
func (t *tally) counts() (sum counts) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.add(&s.counts)
		s.mu.Unlock()
	}
	return sum
}

// sum is everything so far in one shard.
func (t *tally) sum() *shard {
	sum := new(shard)
	sum.reset()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.counts.add(&s.counts)
		sum.added.Merge(s.added.Histogram)
		sum.acked.Merge(s.acked.Histogram)
		sum.first.Merge(s.first.Histogram)
		sum.connect.Merge(s.connect.Histogram)
		sum.ready.Merge(s.ready.Histogram)
		sum.resume.Merge(s.resume.Histogram)
		for what, n := range s.failures {
			sum.failures[what] += n
		}
		s.mu.Unlock()
	}
	return sum
}

// record does one update under the shard's lock.
func (s *shard) record(update func(*shard)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	update(s)
}

// maxReasons bounds the reasons that are told apart.
const maxReasons = 20

// fail counts a conversation that ended before its end.
func (s *shard) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, wrong := errors.AsType[*inexact](err); wrong {
		s.Inexact++
	}
	what := err.Error()
	if i := strings.LastIndex(what, "->"); i >= 0 { // net's errors name a port each
		what = what[i+2:]
	}
	if _, known := s.failures[what]; !known && len(s.failures) >= maxReasons {
		what = "other"
	}
	s.failures[what]++
}
