package main

import (
	"errors"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	d := newTiming()
	for i := 1; i <= 1000; i++ {
		d.add(time.Duration(i)*time.Millisecond, 1)
	}
	p := percentilesOf(d)
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"p50", p.P50, 500}, {"p90", p.P90, 900}, {"p99", p.P99, 990}, {"p99.9", p.P999, 999}, {"max", p.Max, 1000}} {
		if c.got < c.want*0.999 || c.got > c.want*1.002 { // three digits
			t.Errorf("%s: got %v, want %v", c.what, c.got, c.want)
		}
	}
	if p.Count != 1000 {
		t.Errorf("count %d", p.Count)
	}
	d.add(time.Hour, 1)
	d.add(-time.Second, 1)
	if p := percentilesOf(d); p.Count != 1002 || p.Max < 119_000 {
		t.Errorf("beyond the range: %+v", p)
	}
}

func TestStamps(t *testing.T) {
	s := newStamps(2, 4)
	at := func(d time.Duration) time.Time { return s.begin.Add(d) }
	for i, ms := range []int64{10, 10, 20, 30} {
		s.slot(3)[i].Store(ms * 1e6) // conversation 3 has the slot of 1
	}
	d := newTiming()
	s.late(d, 1, 0, 3, at(25*time.Millisecond), at(0))
	if d.TotalCount() != 3 || d.Max() < 14_900 || d.Max() > 15_100 || d.Min() > 5_010 {
		t.Errorf("count %d, min %d, max %d", d.TotalCount(), d.Min(), d.Max())
	}
	d = newTiming()
	s.late(d, 1, 0, 4, at(40*time.Millisecond), at(15*time.Millisecond))
	if d.TotalCount() != 2 {
		t.Errorf("%d counted, of 2 that were sent while connected", d.TotalCount())
	}
}

func TestTallySums(t *testing.T) {
	tally := newTally()
	for n := range 20 {
		tally.of(n).record(func(s *shard) { s.Replies++; s.added.add(time.Millisecond, 2) })
	}
	for i := range 2 * maxReasons {
		tally.of(0).fail(errors.New(string(rune('a' + i))))
	}
	tally.of(1).fail(inexactf("byte 1"))
	sum := tally.sum()
	if sum.Replies != 20 || sum.added.TotalCount() != 40 || sum.Inexact != 1 || tally.counts().Replies != 20 {
		t.Errorf("got %+v", sum.counts)
	}
	if len(sum.failures) != maxReasons+2 || sum.failures["other"] != maxReasons {
		t.Errorf("failures %v", sum.failures)
	}
}

func TestCompareTakesMedians(t *testing.T) {
	rep := func(cpu float64) *report { return &report{CPUPerMillion: cpu} }
	row := compare([]*report{rep(30), rep(10), rep(90)}, []*report{rep(60), rep(10)}, cpus)[0]
	if row.Hub != 30 || row.Floor != 35 || row.Ratio != 30.0/35 {
		t.Errorf("got %+v", row)
	}
}
