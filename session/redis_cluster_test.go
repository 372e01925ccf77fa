package session

import (
	"fmt"
	"net"
	"strings"
	"testing"
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
	url := "redis://" + strings.Join(addrs, ",")
	t.Run("the table", func(t *testing.T) {
		testStore(t, func(t *testing.T) Store { return newNode(t, RedisConfig{URL: url}) })
	})
	a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
	t.Run("two nodes", func(t *testing.T) {
		for range 5 { // in different slots
			r, written := a.begin(t)
			copied := b.follow(r)
			text := passage(20 << 10)
			written.write(text)
			copied.reads(t, text)
			if err := a.Yield(t.Context(), r.conversation, r.id); err != nil {
				t.Fatal(err)
			}
			got, err := b.Adopt(t.Context(), r.conversation, r.id)
			if err != nil || got.Text != text {
				t.Fatalf("adopt: %d bytes, %v", len(got.Text), err)
			}
			written = b.write(t, r.id, text)
			written.write("!")
			if _, err := a.Stop(t.Context(), r.conversation, Message{ID: r.id, FinishReason: FinishStopped}); err != nil {
				t.Fatal(err)
			}
			written.is(t, "the writer knows", func() bool { return written.lost })
			if err := b.Delete(t.Context(), r.conversation); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a conversation has one slot", func(t *testing.T) {
		id := busy(t, a, b)
		slots := map[int64]int{}
		for _, c := range (*a.dialed(t)).Nodes() {
			for _, k := range keysOf(t, c) {
				if !strings.Contains(k, id.ID.String()) {
					continue
				}
				slot, err := c.Do(t.Context(), c.B().Arbitrary("CLUSTER", "KEYSLOT").Args(k).Build()).AsInt64()
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
		r, err := NewRedis(RedisConfig{URL: "redis://" + addrs[0]})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 10 {
			round(t, r, create(t, r))
		}
	})
}
