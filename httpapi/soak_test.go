package httpapi_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
	"lumos/backend/session"
)

// soakFor is how long TestSoak goes on: go test -race -run TestSoak -soak 10m -timeout 20m ./httpapi
var soakFor = flag.Duration("soak", 2*time.Second, "how long TestSoak goes on")

// TestSoak does everything at once for as long as it is told to: people chat,
// are cut off in mid-reply and come back, stop, regenerate, delete; sessions
// expire; attackers flood. Nobody loses a byte, and when all have left, so
// have their goroutines and their memory.
func TestSoak(t *testing.T) {
	const ttl = 15 * time.Second
	r := newRig(t, withStore(func(session.Store) session.Store { return session.NewMemory(ttl, 0) }),
		withLimits(hub.Limits{MessagesPerMinute: 600, RepliesPerClient: 20, ConnectionsPerClient: 50, SessionMessages: 40, ReplyBytes: 1 << 20}),
		withAPI(func(c *httpapi.Config) {
			c.WriteTimeout = 5 * time.Second
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}))
	t.Cleanup(func() { // before the rig's own
		if t.Failed() {
			var left strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&left, 1)
			t.Log(left.String())
		}
	})
	goroutines, heap := runtime.NumGoroutine(), memory()

	until := time.Now().Add(*soakFor)
	var people sync.WaitGroup
	var turns, drops atomic.Int64
	for i := range 12 {
		seed := uint64(time.Now().UnixNano()) + uint64(i)
		people.Go(func() {
			p := &soaker{r: r, rand: rand.New(rand.NewPCG(seed, 0)), turns: &turns, drops: &drops}
			for time.Now().Before(until) && !t.Failed() {
				if err := p.life(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	var stops []func()
	for _, a := range floods {
		a.many = 1
		stops = append(stops, a.run(r.addr()))
	}
	quiet := time.NewTicker(time.Second)
	defer quiet.Stop()
	people.Go(func() { // attackers fill logs, too
		for time.Now().Before(until) {
			<-quiet.C
			r.log.Reset()
		}
	})
	people.Wait()
	for _, stop := range stops {
		stop()
	}
	r.client.CloseIdleConnections()
	// A few connections to the model are kept for the next reply.
	eventually(t, "all goroutines have gone", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
	eventually(t, "all sessions have expired", func() bool { return r.sessions.Store.(*session.Memory).Len() == 0 })
	var grown int64
	eventually(t, "the memory is given back", func() bool {
		r.log.Reset()
		grown = memory() - heap
		return grown < 8<<20
	})
	t.Logf("%d turns and %d drops in %v; heap %+d KiB", turns.Load(), drops.Load(), *soakFor, grown>>10)
	if turns.Load() == 0 || drops.Load() == 0 {
		t.Error("nothing happened")
	}
}

// soaker is somebody who chats, over a network that breaks.
type soaker struct {
	r            *rig
	rand         *rand.Rand
	turns, drops *atomic.Int64
	page         refPage
	s            *refSocket
}

// life is one conversation.
func (p *soaker) life() error {
	p.page, p.s = refPage{client: uuid.NewString()}, nil
	defer func() {
		if p.s != nil {
			p.s.close()
		}
	}()
	for range 1 + p.rand.IntN(6) {
		if err := p.turn(); err != nil {
			return err
		}
	}
	id := p.page.session
	var stored struct{ Messages []*refMessage }
	if err := p.r.fetch("GET", "/sessions/"+id, 200, &stored); err != nil {
		return err
	}
	if d := p.page.differs(stored.Messages); d != "" {
		return errors.New(d)
	}
	if p.rand.IntN(2) == 0 { // otherwise it expires
		return p.r.fetch("DELETE", "/sessions/"+id, 200, nil)
	}
	return nil
}

// turn says something and follows the reply to its end, however often the
// connection breaks; now and then it is stopped or asked for again.
func (p *soaker) turn() error {
	id, n := uuid.NewString(), 1+p.rand.IntN(200)
	said := fmt.Sprintf("%d words for %s", n, id)
	want := soakText(n)
	p.r.answer(said, mistralsim.Answer{Text: want, Pace: time.Duration(p.rand.IntN(3)) * time.Millisecond})
	defer p.r.unanswer(said)
	stop := p.rand.IntN(8) == 0
	var asked *refSocket // the connection that it was said on
	for {
		if p.s == nil {
			if err := p.connect(); err != nil {
				return err
			}
		}
		acknowledged := p.page.find(id) >= 0
		if last := p.page.last(); acknowledged && last.Role == "assistant" && !last.partial {
			p.turns.Add(1)
			return p.check(last, want, stop)
		}
		if !acknowledged && asked != p.s {
			asked = p.s
			if p.s.say(id, said) != nil {
				p.drop()
				continue
			}
		}
		raw, err := p.s.read()
		var closed *refClosed
		switch {
		case errors.As(err, &closed) && closed.code >= 4000:
			return fmt.Errorf("closed with %w", err)
		case err != nil:
			p.drop()
			continue
		}
		f, err := p.page.take(raw)
		switch {
		case err != nil:
			return err
		case f.Type == "error":
			return fmt.Errorf("refused: %s", raw)
		}
		if stop && f.Type == "text-delta" {
			_ = p.s.write(`{"type":"stop"}`)
		}
	}
}

func (p *soaker) check(last *refMessage, want string, stop bool) error {
	if stop && last.FinishReason == "stopped" {
		if !strings.HasPrefix(want, last.Content) {
			return fmt.Errorf("stopped: %s", textDiff(last.Content, want))
		}
		return nil
	}
	if last.FinishReason != "stop" || last.Content != want {
		return fmt.Errorf("%s: %s", last.FinishReason, textDiff(last.Content, want))
	}
	return nil
}

func (p *soaker) drop() {
	p.s.close()
	p.s = nil
	p.drops.Add(1)
}

// connect comes, or comes back, on a connection that breaks somewhere.
func (p *soaker) connect() error {
	for {
		q := p.page.resume()
		path := "/ws"
		if p.page.session != "" {
			path += "/" + p.page.session + "?" + q.Encode()
		}
		var d refDial
		if p.rand.IntN(3) > 0 {
			d.dropAt = int64(1000 + p.rand.IntN(8000))
		}
		s, err := dialRefSocket(p.r.addr(), path, d)
		if err != nil {
			p.drops.Add(1)
			continue
		}
		p.page.connected(q)
		raw, err := s.read()
		var closed *refClosed
		switch {
		case errors.As(err, &closed):
			return fmt.Errorf("coming back: %w", err)
		case err != nil:
			s.close()
			p.drops.Add(1)
			continue
		}
		p.s = s
		_, err = p.page.take(raw)
		return err
	}
}

// unanswer forgets an answer.
func (r *rig) unanswer(said string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.answers, said)
}

// fetch sends a request without the checks of do, which keep what they read,
// and reads JSON into v.
func (r *rig) fetch(method, path string, want int, v any) error {
	req, err := http.NewRequest(method, r.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		return fmt.Errorf("%s: %s %w", path, resp.Status, err)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(body, v)
}

// Reset empties the log.
func (b *syncBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

// soakText is a text of n words of which no two are the same.
func soakText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "wörd%d ✓ ", i)
	}
	return b.String()
}
