package httpapi

import (
	"errors"
	"time"
)

// How fast a peer of a WebSocket is read: so many reads at once, and then so
// many a second. A read brings what the peer has sent by then, so who asks and
// waits for the answer is within it, and so is who sends one long message: it
// is read in large pieces. A read that fills the small buffer has found frames
// in a row, up to 42 of them, and counts for more. Who floods, with frames of
// whatever kind, waits in its own TCP window; who goes on with it is dropped,
// since what it has sent would keep the connection busy after it has left.
const (
	readsAtOnce    = 1000
	readsPerSecond = 100
	fullReadCost   = 10
	mostFullReads  = 50 // that came too fast, each of which waits for 100 ms
)

var errFlood = errors.New("httpapi: the peer sends too much")

// pace is how fast something happened: the time, in Unix nanoseconds, at which
// all of its burst is there again (the generic cell rate algorithm). The zero
// value is ready; it has no lock.
type pace int64

// next counts one more, of this cost, at now and returns how long it has to wait.
func (p *pace) next(now int64, cost int) time.Duration {
	const every = pace(time.Second / readsPerSecond)
	*p = max(*p, pace(now)) + pace(cost)*every
	return time.Duration(max(0, *p-pace(now)-readsAtOnce*every))
}

// slow is told of a read of n bytes into a buffer of size. It waits if the peer
// is too fast. Errors: errFlood.
func (c *conn) slow(now int64, n, size int) error {
	cost, full := 1, n == size && size <= wsBuffer
	if full {
		cost = fullReadCost
	}
	wait := c.reads.next(now, cost)
	switch {
	case wait == 0:
		c.flooded = 0
		return nil
	case full:
		if c.flooded++; c.flooded > mostFullReads {
			c.metrics.Rejected("frames")
			return errFlood
		}
	}
	time.Sleep(wait)
	return nil
}
