package mistralsim

import (
	"context"
	"time"
)

// pacer holds tokens back to the schedule of a reply: token i is due at
// start + first + i*pace, whatever happened to those before it. One timer
// serves the whole reply.
type pacer struct {
	first, pace time.Duration
	start       time.Time
	timer       *time.Timer
}

// wait returns when token i is due, or errGone when ctx ends before.
func (c *pacer) wait(ctx context.Context, i int) error {
	due := c.first + time.Duration(i)*c.pace
	if due <= 0 {
		return nil
	}
	d := time.Until(c.start.Add(due))
	if d <= 0 {
		return nil
	}
	if c.timer == nil {
		c.timer = time.NewTimer(d)
	} else {
		c.timer.Reset(d)
	}
	select {
	case <-c.timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}

// left returns how long it is until token i is due.
func (c *pacer) left(i int) time.Duration {
	return time.Until(c.start.Add(c.first + time.Duration(i)*c.pace))
}

// held moves the schedule so that token i, if it was held beyond its time, is
// due now and the others follow at their pace.
func (c *pacer) held(i int) {
	if late := time.Since(c.start) - c.first - time.Duration(i)*c.pace; late > 0 {
		c.start = c.start.Add(late)
	}
}

func (c *pacer) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}
