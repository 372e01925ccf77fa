package redisstore

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// startCluster starts three masters and returns their addresses.
func startCluster(t *testing.T) []string {
	t.Helper()
	var servers []*redisServer
	for range 3 {
		servers = append(servers, startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000",
			"--cluster-port", portOf(freeAddr(t))))
	}
	var addrs []string
	for i, s := range servers {
		addrs = append(addrs, s.addr)
		first, last := i*16384/3, (i+1)*16384/3-1
		if got := s.ask(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", first, last)); got != "+OK" {
			t.Fatal(got)
		}
		for _, other := range servers[:i] {
			bus := other.args[len(other.args)-1]
			if got := s.ask("CLUSTER MEET 127.0.0.1 " + portOf(other.addr) + " " + bus); got != "+OK" {
				t.Fatal(got)
			}
		}
	}
	for _, s := range servers {
		eventually(t, "the cluster is whole", func() bool {
			info := s.ask("CLUSTER INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return addrs
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func TestCluster(t *testing.T) {
	t.Parallel()
	addrs := startCluster(t)
	cfg := Config{URL: "redis://" + strings.Join(addrs, ",")}
	t.Run("the table", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Sessions { return newNode(t, cfg) })
	})
	a, b := newNode(t, cfg), newNode(t, cfg).settle(t)
	t.Run("two nodes", func(t *testing.T) {
		for range 5 { // in different slots
			testTwoNodes(t, a, b)
		}
	})
	t.Run("killed nodes", func(t *testing.T) {
		for range 3 {
			dead := newNode(t, cfg)
			said := dead.begin(t)
			b.follow(t, said.Text.Ref)
			dead.stop()
			b.take(t, said.Text.Ref, said.Text.Reply)
		}
	})
	t.Run("counters", func(t *testing.T) { testCounter(t, a.store, b.store) })
	t.Run("check", func(t *testing.T) {
		if err := a.store.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a conversation has one slot", func(t *testing.T) {
		ref := busy(t, a, b)
		c, err := a.store.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slots := map[int64]int{}
		for _, redis := range c.Nodes() {
			for _, k := range keysIn(t, redis) {
				if !strings.Contains(k, ref.ID.String()) {
					continue
				}
				slot, err := redis.Do(t.Context(), redis.B().Arbitrary("CLUSTER", "KEYSLOT").Args(k).Build()).AsInt64()
				if err != nil {
					t.Fatal(err)
				}
				slots[slot]++
			}
		}
		if len(slots) != 1 {
			t.Errorf("keys by slot: %v", slots)
		}
	})
	t.Run("known by one address", func(t *testing.T) {
		n := openNode(t, Config{URL: "redis://" + addrs[0]})
		n.store.option.ForceSingleClient = false
		n.run(t)
		for range 10 {
			said := n.begin(t)
			said.Text.Append([]byte("text"))
			shown(t, said.Text, 4)
			n.end(t, said.Text)
		}
	})
}

// testTwoNodes does what takes two nodes.
func testTwoNodes(t *testing.T, a, b *node) {
	t.Helper()
	said := a.begin(t)
	ref, reply := said.Text.Ref, said.Text.Reply
	copied := b.follow(t, ref)
	text := passage(20 << 10)
	said.Text.Append([]byte(text))
	reads(t, copied, text)
	if err := a.Yield(t.Context(), said.Text); err != nil {
		t.Fatal(err)
	}
	taken := b.take(t, ref, reply)
	reads(t, taken.Text, text)
	taken.Text.Append([]byte("!"))
	if err := a.Stop(t.Context(), ref, reply); err != nil {
		t.Fatal(err)
	}
	b.await(t, "stopping", ref.ID.String(), reply.String())
	if err := b.Finish(t.Context(), taken.Text, session.Message{FinishReason: session.FinishStopped}); err != nil {
		t.Fatal(err)
	}
	if got := a.last(t, ref).Content; got != text+"!" {
		t.Errorf("stored %d bytes", len(got))
	}
	if err := a.Connect(t.Context(), ref, session.Claim{Connection: reply}); err != nil {
		t.Fatal(err)
	}
	a.Disconnect(ref, reply)
	if err := b.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}
