package session

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestGivenUpAttempt: of a page's two attempts to connect the one that it gave
// up does not win, wherever and whenever its claim comes.
func TestGivenUpAttempt(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		id, client := made(t, a, Creation{ID: uuid.New()}), uuid.New()
		attempt := func(alive ...error) (Claim, *int) {
			asked := 0
			return Claim{Connection: uuid.New(), Client: client, Alive: func(context.Context) error {
				asked++
				return alive[min(asked, len(alive))-1]
			}}, &asked
		}
		holds := func(c Claim) {
			t.Helper()
			if got, err := a.raw(t, "GET", key(id.ID, "conn")).ToString(); err != nil || !strings.Contains(got, c.Connection.String()) {
				t.Errorf("%q has the conversation, %v", got, err)
			}
		}
		gone := errors.New("gone")
		first, asked := attempt(gone)
		if err := a.Connect(t.Context(), id, first); err != nil || *asked != 0 {
			t.Errorf("where nobody was: %v, asked %d times", err, *asked)
		}
		stray, _ := attempt(gone)
		if err := b.Connect(t.Context(), id, stray); err != ErrGivenUp {
			t.Errorf("an attempt that was given up: %v, want ErrGivenUp", err)
		}
		holds(first)
		second, asked := attempt(nil)
		if err := b.Connect(t.Context(), id, second); err != nil || *asked != 1 {
			t.Errorf("the page comes again: %v, asked %d times", err, *asked)
		}
		holds(second)

		// It was alive, and then given up for another before its claim came.
		third, _ := attempt(nil)
		late, asked := attempt(nil, gone)
		alive := late.Alive
		late.Alive = func(ctx context.Context) error {
			err := alive(ctx)
			if *asked == 1 {
				if err := b.Connect(ctx, id, third); err != nil {
					t.Error(err)
				}
			}
			return err
		}
		if err := a.Connect(t.Context(), id, late); err != ErrGivenUp || *asked != 2 {
			t.Errorf("an attempt that was given up meanwhile: %v, want ErrGivenUp; asked %d times", err, *asked)
		}
		holds(third)

		other := Claim{Connection: uuid.New(), Client: uuid.New(), Alive: func(context.Context) error { return gone }}
		if err := a.Connect(t.Context(), id, other); err != nil {
			t.Errorf("another client, which is the newest: %v", err)
		}
		holds(other)
	})
}
