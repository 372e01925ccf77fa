package session

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
)

// proxy stands between a node and Redis, and can lose answers: it passes a
// request on, waits for the answer, and cuts the connection instead.
type proxy struct {
	addr, to string
	lose     atomic.Int32 // every how many-th request with a script; 0: none
	scripts  atomic.Int32
	lost     atomic.Int32

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, to string, lose int32) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), to: to, conns: make(map[net.Conn]bool)}
	p.lose.Store(lose)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

func (p *proxy) keep(c net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		c.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.keep(client)()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.keep(server)()
	var cut atomic.Bool
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if cut.Load() {
				p.lost.Add(1)
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(buf[:n], []byte("EVALSHA")) {
			if every := p.lose.Load(); every > 0 && p.scripts.Add(1)%every == 1%every {
				cut.Store(true)
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	if !cut.Load() {
		server.Close()
	}
	back.Wait()
}

// TestLostAnswers runs the table with every script's first answer lost, so
// that each runs twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lossy := func(t *testing.T, addr string) {
		var lost atomic.Int32
		testStore(t, func(t *testing.T) Store {
			p := newProxy(t, addr, 2)
			t.Cleanup(func() { lost.Add(p.lost.Load()) })
			return newNode(t, RedisConfig{URL: "redis://" + p.addr})
		})
		if lost.Load() < 100 {
			t.Errorf("only %d answers were lost", lost.Load())
		}
	}
	t.Run("miniredis", func(t *testing.T) { lossy(t, miniredis.RunT(t).Addr()) })
	t.Run("redis", func(t *testing.T) { lossy(t, startRedis(t).addr) })
}

// TestLostAnswersBetweenNodes does with lost answers what takes two nodes.
func TestLostAnswersBetweenNodes(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	p := newProxy(t, server.addr, 2)
	a, b := newNode(t, RedisConfig{URL: "redis://" + p.addr}).hears(t), newNode(t, RedisConfig{URL: "redis://" + p.addr})
	const part = 3000
	text := passage(4 * part)

	r, written := a.begin(t)
	copied := b.follow(r)
	for i := 0; i < part; i += 100 {
		written.write(text[len(written.text):boundary(text, i+100)])
		written.keeps(t, len(written.text))
	}
	copied.reads(t, written.text)

	if err := a.Yield(t.Context(), r.conversation, r.id); err != nil {
		t.Fatal(err)
	}
	copied.is(t, "the reply has no writer", func() bool { return copied.orphaned > 0 })
	adopted, err := b.Adopt(t.Context(), r.conversation, r.id)
	if err != nil || adopted.Text != written.text || len(adopted.Said.Running.Epochs) != 1 {
		t.Fatalf("adopt: %+v, %v", adopted, err)
	}
	second := b.write(t, r.id, adopted.Text)
	third := a.follow(r)
	second.write(text[len(adopted.Text):boundary(text, 2*part)])
	third.reads(t, second.text)

	stopped, err := a.Stop(t.Context(), r.conversation, Message{ID: r.id, FinishReason: FinishStopped, Timestamp: Now()})
	if err != nil || stopped.Content != second.text {
		t.Fatalf("stop: %d bytes, %v", len(stopped.Content), err)
	}
	second.is(t, "the writer knows", func() bool { return second.lost })
	if got := a.last(t, r.conversation); got.Content != second.text || got.FinishReason != FinishStopped {
		t.Errorf("stored %d bytes, %s", len(got.Content), got.FinishReason)
	}

	claim := Claim{Connection: uuid.New(), Client: uuid.New()}
	for _, n := range []*node{a, b} {
		if err := n.Connect(t.Context(), r.conversation, claim); err != nil {
			t.Fatal(err)
		}
	}
	a.await(t, "taken "+r.conversation.ID.String()+" "+claim.Connection.String())
	if err := b.Delete(t.Context(), r.conversation); err != nil {
		t.Fatal(err)
	}
	if p.lost.Load() < 20 {
		t.Errorf("only %d answers were lost", p.lost.Load())
	}
}

// boundary returns the end of the character that byte n of s lies in.
func boundary(s string, n int) int {
	for n < len(s) && s[n]&0xC0 == 0x80 {
		n++
	}
	return n
}
