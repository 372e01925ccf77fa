package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// countedFor is how long a reply counts at most, whether or not its end was counted.
const countedFor = 15 * time.Minute

var _ session.Counter = (*Store)(nil)

// Take implements session.Counter. All nodes share the counts, whose keys expire by
// themselves.
func (s *Store) Take(ctx context.Context, key string, perMinute int) (time.Duration, error) {
	answer, err := s.run(ctx, takeScript, []string{"hub:take:" + key}, []string{strconv.Itoa(perMinute)})
	if err != nil {
		return 0, err
	}
	wait, err := answer.AsInt64()
	return time.Duration(wait) * time.Microsecond, err
}

// Enter implements session.Counter. A reply that another node counted counts as this
// node's from now on. Replies of dead nodes are dropped when they would be the reason
// for a refusal.
func (s *Store) Enter(ctx context.Context, key string, reply uuid.UUID, most int) (bool, error) {
	return s.enter(ctx, key, reply.String(), most)
}

// Full implements session.Counter.
func (s *Store) Full(ctx context.Context, key string, most int) (bool, error) {
	room, err := s.enter(ctx, key, "", most)
	return err == nil && !room, err
}

// enter counts a reply and returns true, or false if most are counted already. With "" it only
// reports whether there is room.
func (s *Store) enter(ctx context.Context, key, reply string, most int) (bool, error) {
	args := []string{s.node, reply, strconv.Itoa(most), millis(countedFor)}
	for {
		answer, err := s.run(ctx, enterScript, []string{"hub:running:" + key}, args)
		if err != nil {
			return false, err
		}
		nodes, err := answer.AsStrSlice()
		if err != nil || len(nodes) == 0 {
			return err == nil, err
		}
		dead := slices.DeleteFunc(nodes, s.Alive)
		if len(dead) == 0 {
			return false, nil
		}
		args = append(args[:4], dead...)
	}
}

// Leave implements session.Counter. When it fails, the reply counts until its time
// is over.
func (s *Store) Leave(key string, reply uuid.UUID) {
	s.tasks.Go(func() {
		_ = s.try(context.Background(), func(ctx context.Context, client rueidis.Client) error {
			return client.Do(ctx, client.B().Zrem().Key("hub:running:"+key).Member(s.node+" "+reply.String()).Build()).Error()
		})
	})
}
