package wsconn

import (
	"errors"
	"time"
)

// How fast a peer of a WebSocket is read. The first readsAtOnce reads are free, then
// there are readsPerSecond. A read that fills the small buffer behind another one costs
// fullReadCost: it carries many tiny frames. A peer that accumulates floodPatience of
// waiting without a floodBreak is dropped. Reads into a message's own buffer are slowed
// but not held against the peer, and reads for the time in which this process was
// suspended are free.
const (
	readsAtOnce    = 1000
	readsPerSecond = 100
	fullReadCost   = 10
	floodPatience  = 3 * time.Second
	floodBreak     = time.Second
)

var errFlood = errors.New("wsconn: the peer sends too much")

// pace is how fast something happened: the time, as clock tells it, at which all of
// its burst is there again (the generic cell rate algorithm). The zero
// value is ready; it has no lock.
type pace int64

// next counts one more, of this cost, at now and returns how long it has to
// wait; what is below 0 is how long ago it could have come already.
func (p *pace) next(now int64, cost int) time.Duration {
	const every = pace(time.Second / readsPerSecond)
	*p = max(*p, pace(now)) + pace(cost)*every
	return time.Duration(*p - pace(now) - readsAtOnce*every)
}

// slow is told of a read of n bytes into a buffer of size. It waits if the peer
// is too fast. Errors: errFlood, behind which nothing may be read.
func (c *Conn) slow(now int64, n, size int) error {
	cost, before := 1, c.filled
	c.filled = n == size && size <= buffer && size > len(c.first) // a frame's first bytes are always there
	if c.filled && before {
		cost = fullReadCost
	}
	if c.excused() {
		return nil
	}
	wait := c.reads.next(now, cost)
	if wait <= 0 {
		if wait <= -floodBreak {
			c.waited = 0
		}
		return nil
	}
	if size <= buffer { // not a message's own buffer
		c.waited += wait
	}
	if c.waited > floodPatience {
		c.cfg.Refused("frames")
		return errFlood
	}
	time.Sleep(wait)
	return nil
}

// excused tells whether a read is one of those that are free.
func (c *Conn) excused() bool {
	if late := c.cfg.Lateness(); late != c.late {
		c.free += int((late - c.late) * readsPerSecond / time.Second)
		c.late = late
	}
	if c.free == 0 {
		return false
	}
	c.free--
	return true
}
