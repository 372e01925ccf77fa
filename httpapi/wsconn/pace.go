package wsconn

import (
	"errors"
	"time"
)

// How fast a WebSocket's peer is read: readsAtOnce reads at once, then readsPerSecond. A read
// carries few frames, since the buffer is small. A peer that was slowed by maxFloodWait in all
// without a floodBreak is dropped; reads into a message's own buffer are slowed but do not
// count for that. After this process was suspended, as many reads are free as would have been
// allowed meanwhile.
const (
	readsAtOnce    = 1000
	readsPerSecond = 100
	maxFloodWait   = 3 * time.Second
	floodBreak     = time.Second
)

var errFlood = errors.New("wsconn: the peer sends too much")

// pace limits a rate by the generic cell rate algorithm: it is the time, as clock tells it,
// at which the whole burst is allowed again. The zero value is ready; it has no lock.
type pace int64

// next counts one more at now, and returns how long it has to wait; a negative result is how
// long ago it could have come.
func (p *pace) next(now int64) time.Duration {
	const every = pace(time.Second / readsPerSecond)
	*p = max(*p, pace(now)) + every
	return time.Duration(*p - pace(now) - readsAtOnce*every)
}

// slow counts a read into a buffer of size bytes, and sleeps if the peer is too fast.
// Errors: errFlood, after which nothing may be read.
func (c *Conn) slow(now int64, size int) error {
	if c.excused() {
		return nil
	}
	wait := c.reads.next(now)
	if wait <= 0 {
		if wait <= -floodBreak {
			c.waited = 0
		}
		return nil
	}
	if size <= readBuffer { // not a message's own buffer
		c.waited += wait
	}
	if c.waited > maxFloodWait {
		c.cfg.Refused("frames")
		return errFlood
	}
	time.Sleep(wait)
	return nil
}

// excused reports whether a read is free, and counts it.
func (c *Conn) excused() bool {
	if late := c.cfg.Lateness(); late != c.lateness {
		c.freeReads += int((late - c.lateness) * readsPerSecond / time.Second)
		c.lateness = late
	}
	if c.freeReads == 0 {
		return false
	}
	c.freeReads--
	return true
}
