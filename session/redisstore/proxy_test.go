package redisstore

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
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

// TestLostAnswers runs the table with every other script's answer lost, so that
// each runs twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lossy := func(t *testing.T, addr string) {
		var lost atomic.Int32
		storetest.Run(t, func(t *testing.T) storetest.Sessions {
			p := newProxy(t, addr, 2)
			t.Cleanup(func() { lost.Add(p.lost.Load()) })
			return newNode(t, Config{URL: "redis://" + p.addr})
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
	p := newProxy(t, server.addr, 3)
	a, b := newNode(t, Config{URL: "redis://" + p.addr}).hears(t), newNode(t, Config{URL: "redis://" + p.addr}).hears(t)
	const part = 3000
	text := passage(4 * part)

	said := a.begin(t)
	ref, reply := said.Text.Ref, said.Text.Reply
	copied := b.follow(t, ref)
	for done := 0; done < part; {
		next := boundary(text, done+100)
		said.Text.Append([]byte(text[done:next]))
		shown(t, said.Text, next)
		done = next
	}
	first := said.Text.String(said.Text.Safe())
	reads(t, copied, first)
	if err := a.Yield(t.Context(), said.Text); err != nil {
		t.Fatal(err)
	}
	b.await(t, "orphaned", ref.ID.String(), reply.String())
	taken := b.take(t, ref, reply)
	if got := taken.Text.String(taken.Text.Safe()); got != first || len(taken.Running.Epochs) != 1 {
		t.Fatalf("taken: %d bytes, %+v", len(got), taken.Running)
	}
	third := a.follow(t, ref)
	taken.Text.Append([]byte(text[len(first):boundary(text, 2*part)]))
	whole := taken.Text.String(taken.Text.Appended())
	reads(t, third, whole)
	if err := a.Stop(t.Context(), ref, reply); err != nil {
		t.Fatal(err)
	}
	b.await(t, "stopping", ref.ID.String(), reply.String())
	if err := b.Finish(t.Context(), taken.Text, session.Message{FinishReason: session.FinishStopped}); err != nil {
		t.Fatal(err)
	}
	if got := a.last(t, ref); got.Content != whole || got.FinishReason != session.FinishStopped {
		t.Errorf("stored %d bytes, %s", len(got.Content), got.FinishReason)
	}
	claim := session.Claim{Connection: uuid.New(), Client: uuid.New()}
	for _, n := range []*node{a, b} {
		if err := n.Connect(t.Context(), ref, claim); err != nil {
			t.Fatal(err)
		}
	}
	a.await(t, "taken", ref.ID.String(), claim.Connection.String())
	if err := b.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if p.lost.Load() < 10 {
		t.Errorf("only %d answers were lost", p.lost.Load())
	}
}
