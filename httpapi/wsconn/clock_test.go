package wsconn

import (
	"testing"
	"time"

	"lumos/backend/session/storetest"
)

// TestClockThatIsSetBack: a peer is not too fast because the machine's clock was set back,
// and what it has sent since counts as a sign of life.
func TestClockThatIsSetBack(t *testing.T) {
	before := time.Now()
	c := Conn{began: before}
	after := storetest.SetBack(before.Add(time.Second), time.Hour)
	if wait := c.reads.next(c.clock(before)); wait > 0 {
		t.Errorf("the first read waits %v", wait)
	}
	if wait := c.reads.next(c.clock(after)); wait > 0 {
		t.Errorf("behind the change a read waits %v", wait)
	}
	c.active.Store(c.clock(after))
	if c.Active().Before(before) {
		t.Error("it was last active before the change")
	}
}
