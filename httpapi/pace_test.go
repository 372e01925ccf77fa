package httpapi

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Now().UnixNano()
	for i := range readsAtOnce {
		if wait := p.next(now); wait != 0 {
			t.Fatalf("number %d at once waits %v", i+1, wait)
		}
	}
	const every = time.Second / readsPerSecond
	if wait := p.next(now); wait != every {
		t.Errorf("one more waits %v, want %v", wait, every)
	}
	now += int64(time.Second)
	for i := range readsPerSecond - 1 {
		if wait := p.next(now); wait != 0 {
			t.Fatalf("a second later number %d waits %v", i+1, wait)
		}
	}
	if wait := p.next(now + int64(time.Hour)); wait != 0 {
		t.Errorf("after an hour of quiet it waits %v", wait)
	}
}
