package session

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
)

func TestRedis(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		testStore(t, func(t *testing.T) Store {
			return newNode(t, RedisConfig{URL: "redis://" + miniredis.RunT(t).Addr()})
		})
	})
	t.Run("redis", func(t *testing.T) {
		server := startRedis(t)
		testStore(t, func(t *testing.T) Store {
			return newNode(t, RedisConfig{URL: "redis://" + server.addr})
		})
	})
}
