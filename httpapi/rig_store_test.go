package httpapi_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"lumos/backend/session"
	"lumos/backend/session/redisstore"
	"lumos/backend/session/storetest"
)

// store opens what a rig keeps its sessions in.
type store func() (session.Backend, session.Kind)

// shared opens a store like Redis that needs no time and no network.
func shared() (session.Backend, session.Kind) { return new(storetest.Shared).Node() }

// onRedis returns a node's store in a Redis; ttl is as in its Config. It is closed behind
// the rig's end, if the rig opens it.
func onRedis(t testing.TB, addr string, ttl time.Duration) store {
	return func() (session.Backend, session.Kind) {
		s, err := redisstore.Open(redisstore.Config{URL: "redis://" + addr, TTL: ttl, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s, s.Kind()
	}
}

// behind returns a store whose calls f may fail.
func (s store) behind(f *storetest.Faults) store {
	return func() (session.Backend, session.Kind) {
		b, kind := s()
		f.Backend = b
		return f, kind
	}
}

// failing has all calls fail with err but those for texts: what a reply says is shown
// when it is stored, and these tests are about what is not shown.
func failing(err error) func(storetest.Call) error {
	return func(c storetest.Call) error {
		if c.Method == "Append" || c.Method == "Read" {
			return nil
		}
		return err
	}
}

// onStores runs a test on every kind of store.
func onStores(t *testing.T, test func(t *testing.T, stores rigOption)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, withStore(session.Memory)) })
	t.Run("redis", func(t *testing.T) { test(t, withStore(onRedis(t, miniredis.RunT(t).Addr(), 0))) })
}

// nodesOnStores runs a test on two nodes that share a store; the calls of the first
// one's are f's to fail.
func nodesOnStores(t *testing.T, test func(t *testing.T, near, far rigOption, f *storetest.Faults)) {
	t.Helper()
	run := func(name string, near, far func(t *testing.T) store) {
		t.Run(name, func(t *testing.T) {
			f := new(storetest.Faults)
			test(t, withStore(near(t).behind(f)), withStore(far(t)), f)
		})
	}
	var s storetest.Shared
	one := func(*testing.T) store { return s.Node }
	run("shared", one, one)
	var addr string
	run("redis", func(t *testing.T) store {
		addr = miniredis.RunT(t).Addr()
		return onRedis(t, addr, 0)
	}, func(t *testing.T) store { return onRedis(t, addr, 0) })
}
