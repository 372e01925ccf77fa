package session

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// dialing is one try to connect, on which any number may wait.
type dialing struct {
	done chan struct{} // closed when err is set
	err  error
}

var errRedisClosed = errors.New("session: the store was closed")

// connect returns the client, made if there is none yet. rueidis connects
// again by itself, but cannot begin without a Redis.
func (r *Redis) connect(ctx context.Context) (rueidis.Client, error) {
	if c := r.client.Load(); c != nil {
		return *c, nil
	}
	d, err := r.dialOnce()
	if err != nil {
		return nil, err
	}
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.err != nil {
		return nil, d.err
	}
	return *r.client.Load(), nil
}

// dialOnce returns the try that is under way, begun if there is none.
func (r *Redis) dialOnce() (*dialing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errRedisClosed
	}
	if r.dial == nil {
		d := &dialing{done: make(chan struct{})}
		r.dial = d
		r.tasks.Go(func() { r.dialAndLoad(d) })
	}
	return r.dial, nil
}

func (r *Redis) dialAndLoad(d *dialing) {
	d.err = Rescue(r.log, "connecting to Redis", uuid.Nil, func() error {
		c, err := rueidis.NewClient(r.option)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		defer cancel()
		_ = r.load(ctx, c) // what is missing is loaded when that shows
		r.client.Store(&c)
		return nil
	})
	r.mu.Lock()
	r.dial = nil
	r.mu.Unlock()
	close(d.done)
}
