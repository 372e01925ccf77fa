package session

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

func (n *node) dialed(t testing.TB) *rueidis.Client {
	t.Helper()
	c, err := n.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// keysOf lists what a Redis holds.
func keysOf(t testing.TB, c rueidis.Client) []string {
	t.Helper()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "chathub:ready" })
}

// busy leaves every key that a conversation can have.
func busy(t testing.TB, a, b *node) uuid.UUID {
	id := uuid.New()
	if _, err := a.Create(t.Context(), Creation{ID: id, Owner: "ann", Key: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	r, written := a.ask(t, id)
	written.write("one")
	a.ends(t, r, written)
	if _, err := a.Say(t.Context(), id, edit(r.said.User.ID, "edited")); err != nil {
		t.Fatal(err)
	}
	s, err := a.Get(t.Context(), id, End)
	if err != nil {
		t.Fatal(err)
	}
	r.id = s.Running.Reply
	written = a.write(t, r.id, "")
	written.write("two")
	b.follow(r).reads(t, "two")
	if err := a.Connect(t.Context(), id, Claim{Connection: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestEveryKeyRunsOut(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, RedisConfig{URL: url}), newNode(t, RedisConfig{URL: url})
		id := busy(t, a, b)
		keys := keysOf(t, *a.dialed(t))
		if len(keys) != 11 { // all of keyNames, with two texts, and idem:
			t.Errorf("%d keys: %v", len(keys), keys)
		}
		for _, k := range keys {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			most := DefaultTTL
			switch {
			case strings.HasPrefix(k, "idem:"):
				most = 2 * DefaultTTL
			case k == key(id, "turn"):
				most = leaseTTL
			}
			if err != nil || ms <= 0 || ms > most.Milliseconds() {
				t.Errorf("%s lives for %d ms, %v", k, ms, err)
			}
		}
		if err := b.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		// A deletion leaves its own name, and the text of an ended reply to
		// those that still read it; both for a minute at most.
		for _, k := range keysOf(t, *a.dialed(t)) {
			ms, err := a.raw(t, "PTTL", k).AsInt64()
			if err != nil || ms <= 0 || ms > time.Minute.Milliseconds() || !strings.Contains(k, ":text:") {
				t.Errorf("%s is left for %d ms, %v", k, ms, err)
			}
		}
		empty := uuid.New()
		if _, err := a.Create(t.Context(), Creation{ID: empty}); err != nil {
			t.Fatal(err)
		}
		if ms, err := a.raw(t, "PTTL", key(empty, "session")).AsInt64(); err != nil || ms <= 0 || ms > emptyTTL.Milliseconds() {
			t.Errorf("an empty session lives for %d ms, %v", ms, err)
		}
	})
}

// TestHeldSessionsLive has one of two sessions outlive its time.
func TestHeldSessionsLive(t *testing.T) {
	server := startRedis(t)
	a := newNode(t, RedisConfig{URL: "redis://" + server.addr, TTL: 700 * time.Millisecond})
	held, free := create(t, a), create(t, a)
	if err := a.Hold(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	exists := func(id uuid.UUID) bool {
		n, err := a.raw(t, "EXISTS", key(id, "session")).AsInt64()
		return err == nil && n == 1
	}
	eventually(t, "the free one expires", func() bool { return !exists(free) })
	if !exists(held) {
		t.Fatal("a held session expired")
	}
	a.Release(held)
	eventually(t, "the other one expires", func() bool { return !exists(held) })
	if found(t, a, held) {
		t.Error("it is found")
	}
}

// TestOneSlot holds the keys of a conversation to one hash tag.
func TestOneSlot(t *testing.T) {
	id := uuid.New()
	for _, name := range append([]string{"text:" + uuid.NewString(), "text:gone"}, keyNames...) {
		if k := key(id, name); !strings.HasPrefix(k, "{"+id.String()+"}:") {
			t.Errorf("key %s", k)
		}
	}
	for _, s := range scripts {
		if s == appendScript {
			continue // its keys are writer.keys
		}
		if !strings.HasPrefix(s.source, luaFile("prelude")) {
			t.Errorf("%s stands without the prelude", s.name)
		}
	}
}

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
				if !strings.Contains(k, id.String()) {
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

func TestRedisURL(t *testing.T) {
	tests := []struct {
		url   string
		addrs string
		check func(o rueidis.ClientOption) bool
	}{
		{"redis://localhost:6379", "localhost:6379", nil},
		{"redis://cache", "cache:6379", nil},
		{"valkey://cache/2", "cache:6379", func(o rueidis.ClientOption) bool { return o.SelectDB == 2 }},
		{"redis://u:p%40ss@h:1/3", "h:1", func(o rueidis.ClientOption) bool {
			return o.Username == "u" && o.Password == "p@ss" && o.SelectDB == 3
		}},
		{"redis://u:p@a:1,b:2,c", "a:1 b:2 c:6379", func(o rueidis.ClientOption) bool { return o.Password == "p" }},
		{"redis://a:1,b:2?db=4", "a:1 b:2", func(o rueidis.ClientOption) bool { return o.SelectDB == 4 }},
		{"rediss://a:1,b,[::1]:3,[::2]", "a:1 b:6379 [::1]:3 [::2]:6379", func(o rueidis.ClientOption) bool {
			return o.TLSConfig != nil && o.TLSConfig.ServerName == ""
		}},
		{"unix:///run/redis.sock", "/run/redis.sock", nil},
		{"", "", nil},
		{"localhost:6379", "", nil},
		{"http://localhost:6379", "", nil},
		{"redis://u:secret@h:port", "", nil},
		{"redis://u:secret@h:1/x", "", nil},
		{"unix://", "", nil},
	}
	for i, tt := range tests {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			o, err := redisOption(tt.url)
			if tt.addrs == "" {
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", tt.url, err)
				}
				if _, err := NewRedis(RedisConfig{URL: tt.url}); err == nil {
					t.Error("a store without a Redis")
				}
				return
			}
			if err != nil || strings.Join(o.InitAddress, " ") != tt.addrs || tt.check != nil && !tt.check(o) {
				t.Errorf("%s: %v, %v", tt.url, o.InitAddress, err)
			}
		})
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, record := range []string{"", "u1", "u1 {}", "u1{}\nx", "u {}\nx", "ux {}\nx", "u1 {\nx"} {
		if m, err := parseRecord(record); err == nil {
			t.Errorf("%q is %+v", record, m)
		}
	}
	a := &answer{}
	_ = a.string()
	if a.err == nil || a.running() != nil || a.strings() != nil {
		t.Error("an answer that is too short is none")
	}
	a = &answer{}
	if a.epochs("1:x"); a.err == nil {
		t.Error("epochs without a length")
	}
}
