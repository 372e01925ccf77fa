package main

import (
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// frames reads a page's connection in the background.
type frames struct {
	got  chan frame
	over chan error // the end of the connection
}

func (p *page) background() frames {
	f := frames{make(chan frame, 1000), make(chan error, 1)}
	go func() {
		defer close(f.got)
		for {
			one, err := p.read(2 * patience)
			if err != nil {
				f.over <- err
				return
			}
			f.got <- one
		}
	}()
	return f
}

// until takes frames up to one of a type, or to the end of the connection.
func (f frames) until(t testing.TB, kind string) (frame, error) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case one, ok := <-f.got:
			if !ok {
				return frame{}, <-f.over
			}
			if one.Type == kind {
				return one, nil
			}
		case <-limit.C:
			t.Fatalf("no %s came", kind)
		}
	}
}

// ends takes frames up to a reply's finish. A page that was being looked for news
// for while the store was away is sent away with 1013; it comes back to its node
// then, as every client does, and reads the rest.
func (f frames) ends(t testing.TB, g *page, at *node, p *plan) {
	t.Helper()
	_, err := f.until(t, "finish")
	if closeCode(err) == 1013 {
		g.connect(t, at)
		g.readTo(t, p.text)
		if g.last().partial {
			g.expect(t, "finish")
		}
	} else if err != nil {
		t.Fatalf("waiting for the finish: %v", err)
	}
}

// silent holds that nothing was sent.
func (f frames) silent(t testing.TB) {
	t.Helper()
	select {
	case one, ok := <-f.got:
		if !ok {
			return
		}
		t.Errorf("sent while Redis could not know it: %+v", one)
	default:
	}
}

// refuses holds that a node takes no new work and says why, and still lives.
func refuses(t *testing.T, at *node, session string) {
	t.Helper()
	if status := at.status("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d, want 503", status)
	}
	if status := at.status("/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d, want 200", status)
	}
	for path, body := range map[string]any{
		"/sessions": nil,
		"/chat":     chatMessageBody{"hello", session},
	} {
		a := at.call(t, "POST", path, body, nil)
		if a.status != http.StatusServiceUnavailable || a.code() != "store_unavailable" {
			t.Errorf("POST %s: %d %s, want 503 store_unavailable", path, a.status, a.body)
		}
	}
}

// recovers holds that a node works again, without a restart and with no more
// goroutines than it had.
func recovers(t *testing.T, at *node, goroutines int) {
	t.Helper()
	eventually(t, "it is ready", func() bool { return at.status("/readyz") == http.StatusOK })
	const idle = 12 // what idle connections to Redis and the model take
	eventually(t, "no goroutine is stuck", func() bool { return at.goroutines(t) <= goroutines+idle })
}

// goroutines is how many a node has.
func (n *node) goroutines(t testing.TB) int { return int(n.metric(t, "go_goroutines")) }

// metric is what a node's /metrics says of a name.
func (n *node) metric(t testing.TB, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)`).FindSubmatch(n.call(t, "GET", "/metrics", nil, nil).body)
	if m == nil {
		t.Fatalf("no %s in /metrics", name)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestRedisAway kills Redis in the middle of a reply that both nodes show, and
// starts it again.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	before := []int{a.goroutines(t), b.goroutines(t)}
	g, p := c.say(t, a, 1, 60, 20)
	e := &events{}
	defer e.close()
	if err := e.open(b, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	e.readTo(t, p.before(20))
	idle := newPage(t)
	idle.open(t, b)
	idle.connect(t, b)

	c.redis.kill()
	p.release() // the model goes on, and ends
	in := g.background()
	id := newID()
	// Not by parallel subtests, which would wait for other tests, and Redis must be back
	// before followers are sent away.
	var away sync.WaitGroup
	for _, at := range c.nodes {
		away.Go(func() {
			refuses(t, at, g.session)
			lost := &page{session: g.session}
			if err := lost.dial(at, 0); err != nil {
				t.Error(err)
				return
			}
			if code := lost.closes(t); code != 1013 {
				t.Errorf("a newcomer at node %s is closed with %d, want 1013", at.name, code)
			}
		})
	}
	away.Go(func() {
		if err := idle.write(frame{Type: "message", ID: id, Content: "hello"}); err != nil {
			t.Error(err)
			return
		}
		// It is sent away if it was being looked for news for it just then.
		f, err := idle.read(patience)
		if told := err == nil && f.Code == "store_unavailable" && f.Ref == id; !told && closeCode(err) != 1013 {
			t.Errorf("a message is refused with %+v, %v", f, err)
		}
	})
	away.Wait()
	in.silent(t)

	if err := c.redis.start(); err != nil {
		t.Fatal(err)
	}
	in.ends(t, g, a, p)
	whole(t, b, g, p)
	e.readAll(t)
	if e.text != p.text {
		t.Error(textDiff(e.text, p.text))
	}
	q := c.model.plan(2, 5, 0)
	idle.connect(t, b)
	idle.send(t, frame{Type: "message", ID: id, Content: q.said})
	idle.expect(t, "finish")
	whole(t, a, idle, q)
	idle.hang()
	g.hang()
	for i, at := range c.nodes {
		recovers(t, at, before[i])
	}
}

// TestSlowRedis has Redis answer nothing for a moment, and, stopped, for longer than
// anybody waits.
func TestSlowRedis(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	before := a.goroutines(t)
	g, p := c.say(t, a, 1, 60, 20)
	c.redis.do("CLIENT", "PAUSE", "800")
	if got := b.call(t, "GET", "/sessions/"+g.session, nil, nil); got.status != http.StatusOK {
		t.Errorf("behind a short pause: %d", got.status)
	}
	c.redis.signal(syscall.SIGSTOP)
	p.release()
	in := g.background()
	q, key := c.model.plan(2, 5, 0), newID()
	slow := newPage(t)
	if answer, err := b.chat("", q.said, key); err != nil || answer.code() != "store_unavailable" {
		t.Errorf("%d %s %v", answer.status, answer.body, err)
	}
	refuses(t, a, g.session)
	in.silent(t)
	c.redis.signal(syscall.SIGCONT)
	in.ends(t, g, a, p)
	whole(t, b, g, p)
	g.hang()
	recovers(t, a, before)
	// What was refused may have been done. The same key does it once.
	for _, at := range c.nodes {
		answer, err := at.chat("", q.said, key)
		if err != nil {
			t.Fatal(err)
		}
		var got chatAnswer
		answer.must(t, http.StatusOK).json(t, &got)
		if slow.session == "" {
			slow.session = got.Conversation
		}
		if got.Response != q.text || got.Conversation != slow.session {
			t.Error(textDiff(got.Response, q.text))
		}
	}
	if stored, err := a.stored(slow.session); err != nil || len(stored) != 2 || len(q.requests()) != 1 {
		t.Errorf("%d messages, asked %d times, %v", len(stored), len(q.requests()), err)
	}
}

// TestFullRedis fills Redis up in the middle of a reply.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a, b := c.nodes[0], c.nodes[1]
	before := b.goroutines(t)
	g, p := c.say(t, a, 1, 60, 20)
	c.redis.do("CONFIG", "SET", "maxmemory", "1")
	p.release()
	in := g.background()
	other := newPage(t)
	other.session = g.session
	refuses(t, b, g.session)
	if answer := b.call(t, "GET", "/sessions/"+g.session, nil, nil); answer.status != http.StatusOK {
		t.Errorf("what is stored cannot be read: %d", answer.status)
	}
	c.redis.do("CONFIG", "SET", "maxmemory", "0")
	in.ends(t, g, a, p)
	whole(t, b, g, p)
	g.hang()
	recovers(t, b, before)
}
