package httpapi

import (
	"errors"
	"time"
)

// How fast a peer of a WebSocket is read: so many reads at once, and then so
// many a second. Each brings what the peer has sent by then, so a client that
// sends a long message as fast as it can is within it; one that sends frame
// upon frame, of whatever kind, waits in its own TCP window and costs little.
// One that goes on so for about three seconds is dropped: what it has sent would
// otherwise keep the connection busy long after it has left.
const (
	readsAtOnce    = 1000
	readsPerSecond = 100
	hurriedReads   = 300
)

var errFlood = errors.New("httpapi: the peer sends too much")

// pace is how fast something happened: the time, in Unix nanoseconds, at which
// all of its burst is there again (the generic cell rate algorithm). The zero
// value is ready; it has no lock.
type pace int64

// next counts one more at now and returns how long it has to wait.
func (p *pace) next(now int64) time.Duration {
	const every = pace(time.Second / readsPerSecond)
	*p = max(*p, pace(now)) + every
	return time.Duration(max(0, *p-pace(now)-readsAtOnce*every))
}
