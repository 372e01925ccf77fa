package redisstore

import (
	"context"
	"errors"

	"github.com/redis/rueidis"
)

var errClosed = errors.New("the store was closed")

// connect returns the client, made if there is none yet. rueidis reconnects by
// itself, but its client cannot be made while Redis is away. All who wait share one
// attempt.
func (s *Store) connect(ctx context.Context) (rueidis.Client, error) {
	if c := s.client.Load(); c != nil {
		return *c, nil
	}
	select {
	case r := <-s.dial.DoChan("", s.dialAndLoad):
		if r.Err != nil {
			return nil, r.Err
		}
		return *s.client.Load(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dialAndLoad makes the client, unless an attempt that has just ended made it.
func (s *Store) dialAndLoad() (any, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	s.tasks.Add(1)
	s.mu.Unlock()
	defer s.tasks.Done()
	if s.client.Load() != nil {
		return nil, nil
	}
	c, err := rueidis.NewClient(s.option)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	_ = s.load(ctx, c) // what is missing is loaded when that shows
	s.client.Store(&c)
	return nil, nil
}
