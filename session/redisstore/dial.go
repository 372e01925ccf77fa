package redisstore

import (
	"context"
	"errors"

	"github.com/redis/rueidis"
)

// dialing is one attempt to connect. Any number of goroutines may wait for it.
type dialing struct {
	done chan struct{} // closed when err is set
	err  error
}

var errClosed = errors.New("the store was closed")

// connect returns the client, made if there is none yet. rueidis reconnects by
// itself, but its client cannot be made while Redis is away.
func (s *Store) connect(ctx context.Context) (rueidis.Client, error) {
	if c := s.client.Load(); c != nil {
		return *c, nil
	}
	d, err := s.dialOnce()
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
	return *s.client.Load(), nil
}

// dialOnce returns the attempt that is under way, or begins one.
func (s *Store) dialOnce() (*dialing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.dial == nil {
		d := &dialing{done: make(chan struct{})}
		s.dial = d
		s.tasks.Go(func() { s.dialAndLoad(d) })
	}
	return s.dial, nil
}

func (s *Store) dialAndLoad(d *dialing) {
	c, err := rueidis.NewClient(s.option)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		_ = s.load(ctx, c) // what is missing is loaded when that shows
		cancel()
		s.client.Store(&c)
	}
	s.mu.Lock()
	s.dial = nil
	s.mu.Unlock()
	d.err = err
	close(d.done)
}
