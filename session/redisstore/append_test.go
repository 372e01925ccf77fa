package redisstore

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestAppendScript holds append.lua to what it does with a text that is not just as
// long as the writer believes, among others that are.
func TestAppendScript(t *testing.T) {
	for name, tt := range map[string]struct {
		there     string
		at        int
		bytes     string
		want      string
		published string // behind the header: from where on, and what is new
	}{
		"the first":              {"", 0, "one", "one", "0\none"},
		"the next":               {"one", 3, " two", "one two", "3\n two"},
		"nothing":                {"one", 3, "", "one", "3\n"},
		"all was here before":    {"one two", 3, " two", "one two", "7\n"},
		"part was here before":   {"one t", 3, " two", "one two", "5\nwo"},
		"more than all was":      {"one two three", 3, " two", "one two three", "13\n"},
		"some was lost":          {"one", 7, " three", "one", "3\n"},
		"all was lost":           {"", 7, " three", "", "0\n"},
		"bytes of no characters": {"\xff\x00", 2, "\x00\xff", "\xff\x00\x00\xff", "2\n\x00\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			onRedis(t, func(t *testing.T, url string) {
				appendScripted(t, url, tt.there, tt.at, tt.bytes, tt.want, tt.published)
			})
		})
	}
}

func appendScripted(t *testing.T, url, there string, at int, bytes, want, published string) {
	n := openNode(t, Config{URL: url})
	defer n.store.Close()
	hears, itself := n.subscribe(t, channelOf("other")), n.subscribe(t, channelOf("self"))
	c, err := n.store.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	keys, args := make([]string, 12), []string{"self", "10000", "4", "2"}
	for i := range 4 {
		id := uuid.New()
		ids = append(ids, id)
		k := keysOf(id)
		keys[i], keys[4+i] = k[fenceKey], k[textKey]
		n.raw(t, "SET", k[fenceKey], "self fence")
		if i == 1 {
			args = append(args, "self fence", strconv.Itoa(at), bytes)
			if there != "" {
				n.raw(t, "SET", k[textKey], there, "PX", "5000000")
			}
			keys[8] = k[followersKey]
			n.raw(t, "ZADD", k[followersKey], "1", "other", "2", "self")
			continue
		}
		args = append(args, "self fence", "0", "beside")
		switch i {
		case 0:
			keys[10] = k[headKey]
			n.raw(t, "HSET", k[headKey], "v", "another's")
		case 2:
			keys[11] = k[headKey]
			n.raw(t, "HSET", k[headKey], "v", "mine")
		case 3: // it is followed, but another writes it
			keys[9] = k[followersKey]
			n.raw(t, "ZADD", k[followersKey], "1", "other")
			n.raw(t, "SET", k[fenceKey], "another fence")
		}
	}
	args = append(args, "2", "4", "1", "mine", "3", "mine")
	sizes, err := c.Do(t.Context(), appendScript.command(c, keys, args)).AsIntSlice()
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{-2 - 6, int64(len(want)), 6, -1}; !slices.Equal(sizes, want) {
		t.Errorf("lengths %v, want %v", sizes, want)
	}
	for i, want := range []string{"beside", want, "beside", ""} {
		got, err := n.raw(t, "GET", keysOf(ids[i])[textKey]).ToString()
		if got != want || (err != nil) != (want == "") {
			t.Errorf("text %d is %q, %v; want %q", i, got, err, want)
		}
		ms, err := n.raw(t, "PTTL", keysOf(ids[i])[textKey]).AsInt64()
		if want != "" && ms <= 0 || err != nil {
			t.Errorf("text %d lives for %d ms, %v", i, ms, err)
		}
	}
	if got, want := hears(t), "text "+ids[1].String()+" self fence "+published; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	// Whatever else was told would come before this.
	for name, hears := range map[string]func(testing.TB) string{"other": hears, "self": itself} {
		n.raw(t, "PUBLISH", channelOf(name), "last")
		if got := hears(t); got != "last" {
			t.Errorf("%s is told %q as well", name, got)
		}
	}
}

// TestAppendRights: who may append, for each of many at once, and who is told that
// the conversation has changed.
func TestAppendRights(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		n := newNode(t, Config{URL: url}).hears(t)
		var texts []*session.Text
		for _, holder := range []string{"", "another", "mine", "changed", "mine"} {
			said := n.begin(t)
			texts = append(texts, said.Text)
			switch holder {
			case "":
				n.raw(t, "DEL", key(said.Text.Ref, fenceKey))
			case "another":
				n.raw(t, "SET", key(said.Text.Ref, fenceKey), holder)
			case "changed":
				n.raw(t, "HSET", key(said.Text.Ref, headKey), "v", "another's")
			}
			n.store.mu.Lock()
			n.store.ownTexts[said.Text.Ref.ID].asked = time.Time{}
			n.store.mu.Unlock()
		}
		c, err := n.store.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		command, _ := n.store.appendCommand(c, texts)
		sizes, err := c.Do(t.Context(), command).AsIntSlice()
		if want := []int64{-1, -1, 0, -2, 0}; err != nil || !slices.Equal(sizes, want) {
			t.Errorf("got %v, %v; want %v", sizes, err, want)
		}
	})
}

// TestReadRights: a text is read under its fence only, also where the reply was
// yielded, which has none.
func TestReadRights(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		a, b := newNode(t, Config{URL: url}).hears(t), newNode(t, Config{URL: url}).hears(t)
		said := a.begin(t)
		said.Text.Append([]byte("some text"))
		shown(t, said.Text, 9)
		running := said.Text
		c, err := b.store.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read := func(fence string, from int, want string) {
			t.Helper()
			text := session.StoredText(running.Ref, &session.Message{ID: running.Reply})
			text.Fence = fence
			got, err := c.Do(t.Context(), b.store.readCommand(c, text, from)).ToArray()
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				if want != "moved" {
					t.Errorf("under %q: moved, want %q", fence, want)
				}
				return
			}
			if size, err := got[0].AsInt64(); size != 9 || err != nil {
				t.Errorf("under %q: length %d, %v", fence, size, err)
			}
			if text, err := got[1].ToString(); text != want || err != nil {
				t.Errorf("under %q: %q, %v, want %q", fence, text, err, want)
			}
		}
		read(running.Fence, 0, "some text")
		read(running.Fence, 5, "text")
		read(running.Fence, 9, "")
		read(running.Fence, 20, "") // it has lost some: the length tells
		read("another", 0, "moved")
		read("", 0, "moved")
		if err := a.Yield(t.Context(), said.Text); err != nil {
			t.Fatal(err)
		}
		read(running.Fence, 0, "moved")
		read("", 5, "text")
		taken := b.take(t, running.Ref, running.Reply)
		read("", 0, "moved")
		read(taken.Text.Fence, 0, "some text")
	})
}

// TestShownOnceStored looks into Redis whenever text may be shown.
func TestShownOnceStored(t *testing.T) {
	a := newNode(t, Config{URL: "redis://" + startRedis(t).addr})
	said := a.begin(t)
	text := passage(10 << 10)
	for rest := text; rest != ""; {
		n := boundary(rest, min(len(rest), 300))
		said.Text.Append([]byte(rest[:n]))
		rest = rest[n:]
		safe := said.Text.Safe()
		size, err := a.raw(t, "STRLEN", key(said.Text.Ref, textKey)).AsInt64()
		if err != nil || int(size) < safe {
			t.Fatalf("%d bytes are shown, Redis has %d (%v)", safe, size, err)
		}
	}
	shown(t, said.Text, len(text))
}

// TestLineCut cuts a node's connections to Redis amid a reply, again and again.
func TestLineCut(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	n := newNode(t, Config{URL: "redis://" + server.addr})
	said := n.begin(t)
	all := passage(4000)
	for cut, done := 0, 0; done < len(all); cut++ {
		end := boundary(all, min(done+100, len(all)))
		said.Text.Append([]byte(all[done:end]))
		done = end
		shown(t, said.Text, done) // so that there is a connection to cut
		if cut%5 == 0 {
			if got := server.ask("CLIENT KILL TYPE normal"); !strings.HasPrefix(got, ":") {
				t.Fatal(got)
			}
		}
	}
	n.end(t, said.Text)
	if got := n.last(t, said.Text.Ref).Content; got != all {
		t.Errorf("stored are %d bytes, want %d; common: %d", len(got), len(all), common(got, all))
	}
}

// TestLineIdle: a connection that was not used for a while is made anew.
func TestLineIdle(t *testing.T) {
	t.Parallel()
	n := newNode(t, Config{URL: "redis://" + startRedis(t).addr})
	c, err := n.store.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &appendConn{tasks: &n.store.tasks}
	defer l.close()
	first := l.open(c)
	if err := first.Do(t.Context(), first.B().Ping().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if l.open(c) != first {
		t.Error("a connection in use was made anew")
	}
	l.used = time.Now().Add(-2 * appendConnIdle)
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

// TestFinishAmidAppends ends replies whose last text is on its way to Redis.
func TestFinishAmidAppends(t *testing.T) {
	t.Parallel()
	a := newNode(t, Config{URL: "redis://" + startRedis(t).addr})
	for range 200 {
		said := a.begin(t)
		said.Text.Append([]byte("one "))
		shown(t, said.Text, 4)
		said.Text.Append([]byte("two"))
		a.end(t, said.Text)
		if got := a.last(t, said.Text.Ref).Content; got != "one two" {
			t.Fatalf("stored %q", got)
		}
	}
}

// TestTextLost has Redis lose text whose writer lives, and that of a dead one.
func TestTextLost(t *testing.T) {
	t.Parallel()
	onRedis(t, func(t *testing.T, url string) {
		text := passage(3000)
		for name, left := range map[string]int{"all": 0, "some": 1000, "amid a character": boundary(text, 1000) + 1} {
			for left < len(text) && name == "amid a character" && text[left]&0xC0 != 0x80 {
				left++
			}
			t.Run("the writer appends it again: "+name, func(t *testing.T) {
				a, b := newNode(t, Config{URL: url}), newNode(t, Config{URL: url})
				said := a.begin(t)
				said.Text.Append([]byte(text))
				shown(t, said.Text, len(text))
				a.raw(t, "SET", key(said.Text.Ref, textKey), text[:left])
				said.Text.Append([]byte("more"))
				copied := b.follow(t, said.Text.Ref)
				reads(t, copied, text+"more")
				a.end(t, said.Text)
				if got := b.last(t, said.Text.Ref).Content; got != text+"more" {
					t.Errorf("stored %d bytes", len(got))
				}
				if !strings.Contains(a.log.String(), "lost text") {
					t.Error("it does not say so in its log")
				}
			})
			t.Run("the end tells it: "+name, func(t *testing.T) {
				a := newNode(t, Config{URL: url})
				said := a.begin(t)
				said.Text.Append([]byte(text))
				shown(t, said.Text, len(text))
				a.raw(t, "SET", key(said.Text.Ref, textKey), text[:left])
				a.end(t, said.Text)
				if got := a.last(t, said.Text.Ref).Content; got != text {
					t.Errorf("stored %d bytes", len(got))
				}
			})
		}
	})
}
