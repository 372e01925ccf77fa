package session

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"
)

// Unfollowed implements Log. A node that follows looks every second; while
// Redis was away it could not, so that time does not count.
func (r *Redis) Unfollowed(ctx context.Context, ref Ref, reply uuid.UUID) (time.Duration, error) {
	status, rest, err := r.step(ctx, unfollowedScript, ref, reply.String())
	switch {
	case err != nil:
		return 0, err
	case status == "not found":
		return 0, ErrNotFound
	case status == "lost":
		return 0, ErrLost
	}
	a := &answer{rest: rest}
	since := time.Duration(math.MaxInt64)
	if ms := a.string(); ms != "" {
		since = max(0, time.Duration(a.int(ms))*time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.writers[reply]; w != nil && !w.outage.since.IsZero() {
		since = 0
	} else if w != nil && !w.back.IsZero() {
		since = min(since, time.Since(w.back))
	}
	return since, a.err
}
