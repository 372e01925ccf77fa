package main

import "testing"

func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		allocated, objects uint64
		want               bool
	}{
		{0, 0, true},
		{1<<20 - 1, 1 << 20, true},
		{1 << 20, 1 << 20, false},
		{6 << 20, 23 << 20, true}, // 5,000 idle connections with Redis
		{12 << 20, 23 << 20, false},
	} {
		if got := quiet(c.allocated, c.objects); got != c.want {
			t.Errorf("%d bytes allocated of %d: %t", c.allocated, c.objects, got)
		}
	}
}
