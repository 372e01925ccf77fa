package session

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Counter counts what clients do, for limits. A key stands for one client and one kind of
// thing. All methods may be called concurrently. Those with a context may return
// ErrUnavailable.
type Counter interface {
	// Take counts one thing, of which there may be perMinute in a minute, all at once or
	// spread. It returns 0, or, if there were too many, the time until the next may come,
	// and does not count it.
	Take(ctx context.Context, key string, perMinute int) (time.Duration, error)
	// Enter counts reply among those that run for key, or reports that most run
	// already. A reply that is counted is not counted twice.
	Enter(ctx context.Context, key string, reply uuid.UUID, most int) (bool, error)
	// Full tells whether most replies run for key, so that Enter would refuse one
	// more.
	Full(ctx context.Context, key string, most int) (bool, error)
	// Leave ends what Enter began. It does not wait.
	Leave(key string, reply uuid.UUID)
}

// maxBuckets is how many keys of one minute are remembered; a bucket takes about 200 bytes.
// A client with more addresses than that has as many limits anyway.
const maxBuckets = 1 << 16

// Counts is a Counter in this process. The zero value is ready.
type Counts struct {
	mu      sync.Mutex // guards what follows
	buckets map[string]*rate.Limiter
	older   map[string]*rate.Limiter // as they were when buckets was begun
	begun   time.Time                // when buckets was
	running map[string]map[uuid.UUID]struct{}
}

var _ Counter = (*Counts)(nil)

// Take implements Counter.
func (c *Counts) Take(_ context.Context, key string, perMinute int) (time.Duration, error) {
	now := time.Now()
	c.mu.Lock()
	b := c.bucket(now, key, perMinute)
	c.mu.Unlock()
	taken := b.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait, nil
}

// bucket returns key's bucket. One that was not used for a minute is full
// again and as good as new, so it is forgotten. c.mu is held.
func (c *Counts) bucket(now time.Time, key string, perMinute int) *rate.Limiter {
	if c.buckets == nil || now.Sub(c.begun) > time.Minute || len(c.buckets) >= maxBuckets {
		c.older, c.buckets, c.begun = c.buckets, make(map[string]*rate.Limiter), now
	}
	b := c.buckets[key]
	if b == nil {
		if b = c.older[key]; b == nil {
			b = rate.NewLimiter(rate.Limit(perMinute)/60, perMinute)
		}
		c.buckets[key] = b
	}
	return b
}

// Enter implements Counter.
func (c *Counts) Enter(_ context.Context, key string, reply uuid.UUID, most int) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	replies := c.running[key]
	if _, known := replies[reply]; known {
		return true, nil
	}
	if len(replies) >= most {
		return false, nil
	}
	if replies == nil {
		if c.running == nil {
			c.running = make(map[string]map[uuid.UUID]struct{})
		}
		replies = make(map[uuid.UUID]struct{})
		c.running[key] = replies
	}
	replies[reply] = struct{}{}
	return true, nil
}

// Full implements Counter.
func (c *Counts) Full(_ context.Context, key string, most int) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running[key]) >= most, nil
}

// Leave implements Counter.
func (c *Counts) Leave(key string, reply uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	replies := c.running[key]
	delete(replies, reply)
	if len(replies) == 0 {
		delete(c.running, key)
	}
}
