package session

import "time"

// outage is Redis being away for somebody who waits for it. The zero outage is
// none. Whoever has it guards it.
type outage struct {
	since time.Time // zero: it is there
	told  bool      // that it lasts for too long
}

// lasts notes that Redis did not answer. It tells whether that is new, and,
// once, that it has been so for AwayAfter.
func (o *outage) lasts() (begins, tooLong bool) {
	now := time.Now()
	if begins = o.since.IsZero(); begins {
		o.since = now
	}
	tooLong = !o.told && now.Sub(o.since) >= AwayAfter
	o.told = o.told || tooLong
	return begins, tooLong
}
