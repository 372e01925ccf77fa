package httpapi_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// deafCounter counts replies, but while it is deaf its answers get lost.
type deafCounter struct {
	session.Counter
	deaf atomic.Bool
}

func (c *deafCounter) Enter(ctx context.Context, key string, reply uuid.UUID, most int) (bool, error) {
	ok, err := c.Counter.Enter(ctx, key, reply, most)
	if c.deaf.Load() {
		return false, session.ErrUnavailable
	}
	return ok, err
}

// TestReplyThatNeverRanIsNotCounted: a reply whose count has no answer does not run, and
// is counted no longer.
func TestReplyThatNeverRanIsNotCounted(t *testing.T) {
	counter := &deafCounter{Counter: new(session.Counts)}
	r := newRig(t, withSecret(t), withHub(func(c *hub.Config) {
		c.Limits.RepliesPerClient, c.Limits.Counter = 1, counter
	}))
	mine := authorized(tokenOf(t, "me"))
	counter.deaf.Store(true)
	r.do("POST", "/chat", chatBody("", "hi"), mine).wantError(http.StatusServiceUnavailable, "store_unavailable")
	counter.deaf.Store(false)
	r.do("POST", "/chat", chatBody("", "hi"), mine).want(http.StatusOK)
}
