package session

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// TestAppendScript holds append.lua to what it does with a text that is not
// just as long as the writer believes, among others that are.
func TestAppendScript(t *testing.T) {
	for name, tt := range map[string]struct {
		there     string
		at        int
		bytes     string
		want      string
		published string // behind the header; empty: nothing is
	}{
		"the first":              {"", 0, "one", "one", "0\none"},
		"the next":               {"one", 3, " two", "one two", "3\n two"},
		"all was here before":    {"one two", 3, " two", "one two", ""},
		"part was here before":   {"one t", 3, " two", "one two", "5\nwo"},
		"more than all was":      {"one two three", 3, " two", "one two three", ""},
		"some was lost":          {"one", 7, " three", "one", ""},
		"all was lost":           {"", 7, " three", "", ""},
		"bytes of no characters": {"\xff\x00", 2, "\x00\xff", "\xff\x00\x00\xff", "2\n\x00\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			onRedis(t, func(t *testing.T, url string) {
				n := newNode(t, RedisConfig{URL: url})
				hears := n.subscribe(t, "chathub:other")
				var some []appending
				for range 3 {
					w := n.newWriter(Ref{ID: uuid.New()}, uuid.New())
					if err := n.raw(t, "SET", w.turn, w.lease, "PX", "10000").Error(); err != nil {
						t.Fatal(err)
					}
					some = append(some, appending{w: w, lease: w.lease, at: "0", text: []byte("beside"), epoch: "7"})
				}
				w := some[1].w
				some[1].at, some[1].text = strconv.Itoa(tt.at), []byte(tt.bytes)
				if tt.there != "" {
					if err := n.raw(t, "SET", w.text, tt.there, "PX", "5000000").Error(); err != nil {
						t.Fatal(err)
					}
				}
				if tt.published != "" {
					if err := n.raw(t, "ZADD", w.followers, "1", "other", "2", n.node).Error(); err != nil {
						t.Fatal(err)
					}
				}
				c := *n.dialed(t)
				sizes, err := c.Do(t.Context(), n.appendCommand(c, some)).AsIntSlice()
				if err != nil {
					t.Fatal(err)
				}
				if want := []int64{6, int64(len(tt.want)), 6}; !slices.Equal(sizes, want) {
					t.Errorf("lengths %v, want %v", sizes, want)
				}
				for i, want := range []string{"beside", tt.want, "beside"} {
					got, err := n.raw(t, "GET", some[i].w.text).ToString()
					if got != want || (err != nil) != (want == "") {
						t.Errorf("text %d is %q, %v; want %q", i, got, err, want)
					}
					ms, err := n.raw(t, "PTTL", some[i].w.text).AsInt64()
					if want != "" && ms <= 0 || err != nil {
						t.Errorf("text %d lives for %d ms, %v", i, ms, err)
					}
				}
				if tt.published != "" {
					want := "text " + w.ref.ID.String() + " " + w.reply.String() + " 7 " + tt.published
					if got := hears(t); got != want {
						t.Errorf("told %q, want %q", got, want)
					}
				}
				// Whatever else was told would come before this.
				if err := n.raw(t, "PUBLISH", "chathub:other", "last").Error(); err != nil {
					t.Fatal(err)
				}
				if got := hears(t); got != "last" {
					t.Errorf("told %q as well", got)
				}
			})
		})
	}
}

// subscribe hears a channel; the returned function gives the next message.
func (n *node) subscribe(t *testing.T, channel string) (next func(t testing.TB) string) {
	t.Helper()
	c, err := rueidis.NewClient(n.option)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan string), make(chan struct{})
	t.Cleanup(func() { cancel(); <-done; c.Close() })
	go func() {
		defer close(done)
		_ = c.Receive(ctx, c.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) {
			select {
			case heard <- m.Message:
			case <-ctx.Done():
			}
		})
	}()
	eventually(t, "it is subscribed", func() bool {
		subscribers, err := n.raw(t, "PUBSUB", "NUMSUB", channel).ToArray()
		if err != nil || len(subscribers) != 2 {
			t.Fatalf("%v, %v", subscribers, err)
		}
		number, err := subscribers[1].AsInt64()
		return err == nil && number == 1
	})
	return func(t testing.TB) string {
		t.Helper()
		select {
		case m := <-heard:
			return m
		case <-time.After(time.Minute):
			t.Fatal("nothing is told")
			return ""
		}
	}
}

// TestAppendRights: who may append, for each of many at once.
func TestAppendRights(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		n := newNode(t, RedisConfig{URL: url})
		var some []appending
		for _, holder := range []string{"", "another", "mine", ""} {
			w := n.newWriter(Ref{ID: uuid.New()}, uuid.New())
			if holder == "mine" {
				holder = w.lease
			}
			if holder != "" {
				if err := n.raw(t, "SET", w.turn, holder).Error(); err != nil {
					t.Fatal(err)
				}
			}
			some = append(some, appending{w: w, lease: w.lease, at: "0", text: []byte("text"), epoch: "0"})
		}
		c := *n.dialed(t)
		sizes, err := c.Do(t.Context(), n.appendCommand(c, some)).AsIntSlice()
		if want := []int64{-2, -1, 4, -2}; err != nil || !slices.Equal(sizes, want) {
			t.Errorf("got %v, %v; want %v", sizes, err, want)
		}
		for i, a := range some {
			if there, err := n.raw(t, "EXISTS", a.w.text).AsInt64(); err != nil || there == 1 != (i == 2) {
				t.Errorf("text %d is there: %d, %v", i, there, err)
			}
		}
	})
}

// TestLineCut cuts a node's connections to Redis amid a reply, again and again.
func TestLineCut(t *testing.T) {
	t.Parallel()
	n := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	r, written := n.begin(t)
	all := passage(4000)
	for cut, done := 0, 0; done < len(all); cut++ {
		end := min(done+100, len(all))
		for end < len(all) && all[end]&0xc0 == 0x80 {
			end++
		}
		written.write(all[done:end])
		done = end
		written.keeps(t, done) // so that there is a connection to cut
		if cut%5 == 0 {
			if err := n.raw(t, "CLIENT", "KILL", "TYPE", "normal").Error(); err != nil { // all but this one
				t.Fatal(err)
			}
		}
	}
	written.keeps(t, len(all))
	n.ends(t, r, written)
	if got := n.last(t, r.conversation).Content; got != all {
		t.Errorf("stored are %d bytes, want %d; common: %d", len(got), len(all), common(got, all))
	}
}

// TestLineIdle: a connection that was not used for a while is made anew.
func TestLineIdle(t *testing.T) {
	t.Parallel()
	n := newNode(t, RedisConfig{URL: "redis://" + startRedis(t).addr})
	c := *n.dialed(t)
	l := &line{r: n.Redis}
	defer l.close()
	first := l.open(c)
	if err := first.Do(t.Context(), first.B().Ping().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if l.open(c) != first {
		t.Error("a connection in use was made anew")
	}
	l.used = time.Now().Add(-2 * lineIdle)
	second := l.open(c)
	if second == first {
		t.Error("an idle connection was kept")
	}
	if err := second.Do(t.Context(), second.B().Ping().Build()).Error(); err != nil {
		t.Error(err)
	}
	eventually(t, "the idle connection is closed", func() bool {
		return first.Do(t.Context(), first.B().Ping().Build()).Error() != nil
	})
}
