package session

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestUnfollowed has other nodes come, leave and die.
func TestUnfollowed(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b, c := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		r, written := a.begin(t)
		since := func() time.Duration {
			d, err := a.Unfollowed(t.Context(), r.conversation, r.id)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := since(); d < time.Hour {
			t.Errorf("nobody ever followed; %v", d)
		}
		followed := func() bool { return since() < pollEvery }
		left := func() bool { return since() > 2*pollEvery }
		b.follow(r)
		eventually(t, "it is followed", followed)
		b.Unfollow(r.id)
		eventually(t, "the last one has left", left)
		c.follow(r)
		eventually(t, "it is followed again", followed)
		c.stop() // as a kill would
		eventually(t, "the node is dead", left)

		// While Redis is away nobody can say that he follows.
		a.mu.Lock()
		a.writers[r.id].outage.since = time.Now()
		a.mu.Unlock()
		if d := since(); d != 0 {
			t.Errorf("during an outage: %v", d)
		}
		written.write("text")
		written.keeps(t, 4)
		if d := since(); d > time.Minute {
			t.Errorf("behind an outage: %v", d)
		}
		a.ends(t, r, written)
		if _, err := a.Unfollowed(t.Context(), r.conversation, r.id); !errors.Is(err, ErrLost) {
			t.Errorf("of what has ended: %v, want ErrLost", err)
		}
		if _, err := a.Unfollowed(t.Context(), Ref{ID: uuid.New()}, r.id); !errors.Is(err, ErrNotFound) {
			t.Errorf("in no session: %v, want ErrNotFound", err)
		}
	})
}
