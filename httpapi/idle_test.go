package httpapi_test

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// TestIdleStack holds that a connection that waits has a stack of 2 KiB, also
// once it was talked on and has answered pings: most of what it costs.
func TestIdleStack(t *testing.T) {
	if raceEnabled {
		return // the detector's own frames need more
	}
	const connections = 300
	r := newRig(t)
	before := stackBytes()
	for range connections {
		s, err := dialRefSocket(r.addr(), "/ws", refDial{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if _, err := s.read(); err != nil { // ready
			t.Fatal(err)
		}
		// What answers a ping of the hub's, then something that has to be read whole.
		if err := s.writeFrame(refPong, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.write(`{"type":"ping"}`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.read(); err != nil {
			t.Fatal(err)
		}
		if err := s.writeFrame(refPong, nil); err != nil {
			t.Fatal(err)
		}
	}
	each := 0
	eventually(t, "no connection has more than the smallest stack", func() bool {
		each = int(stackBytes()-before) / connections
		return each < 3<<10
	})
	t.Logf("%d bytes of stack a connection", each)
}

// stackBytes is what all goroutines that are left have for stacks.
func stackBytes() int64 {
	runtime.GC()
	runtime.GC() // what ended goroutines had is kept until the second
	s := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
