package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay is the one address of a Redis that changes: a failover moves it.
type relay struct {
	addr string
	l    net.Listener

	mu    sync.Mutex // guards what follows
	to    string     // "": nowhere
	conns map[net.Conn]bool
}

func startRelay(t testing.TB, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), l: l, to: to, conns: map[net.Conn]bool{}}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { r.serve(in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.move("")
		work.Wait()
	})
	return r
}

func (r *relay) serve(in net.Conn) {
	defer in.Close()
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	r.conns[in], r.conns[out] = true, true
	if to != r.to { // it moved meanwhile
		_ = in.Close()
	}
	r.mu.Unlock()
	var copies sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		copies.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		})
	}
	copies.Wait()
	r.mu.Lock()
	delete(r.conns, in)
	delete(r.conns, out)
	r.mu.Unlock()
}

// move has all that comes go elsewhere, and cuts what there is.
func (r *relay) move(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	for c := range r.conns {
		_ = c.Close()
	}
}

// TestFailover moves to a replica that lacks the end of a running reply.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		dies bool // the writer, at the same time
	}{{"the writer has it all", false}, {"the writer dies with it", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			master := startRedis(t)
			replica := startRedis(t, "--replicaof", strings.ReplaceAll(master.addr, ":", " "), "--repl-diskless-sync-delay", "0")
			eventually(t, "the replica follows", func() bool {
				return strings.Contains(replica.do("INFO", "replication"), "master_link_status:up")
			})
			way := startRelay(t, master.addr)
			c := &cluster{redis: master, model: startSimulated(t)}
			c.join(t, 2, way.addr)
			a, b := c.nodes[0], c.nodes[1]

			p := c.model.plan(1, 120, 10*time.Millisecond).halt(100)
			p.fork = test.dies
			g := newPage(t)
			g.open(t, a)
			g.connect(t, a)
			g.send(t, frame{Type: "message", ID: newID(), Content: p.said})
			g.readTo(t, p.before(20))
			text := master.key(g.session, "text")
			eventually(t, "the replica has some of it", func() bool { return len(replica.do("GET", text)) >= len(p.before(20)) })
			replica.do("REPLICAOF", "NO", "ONE")
			kept := replica.do("GET", text)
			g.readTo(t, p.before(100))
			along := &events{}
			defer along.close()
			if err := along.open(b, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
				t.Fatal(err)
			}
			along.readTo(t, p.before(100))
			if len(p.before(100)) < len(kept)+100 {
				t.Fatalf("only %d bytes of %d get lost", len(p.before(100))-len(kept), len(kept))
			}

			if test.dies {
				a.kill()
			}
			way.move(replica.addr)
			master.kill()
			c.redis = replica
			p.release()
			want := p.text
			if test.dies {
				// What was shown behind kept was lost by Redis: it is taken back.
				g.connect(t, b)
				want = ""
			}
			g.expect(t, "finish")
			stored, err := b.stored(g.session)
			if d := differs(g.messages, stored); err != nil || d != "" {
				t.Fatal(err, d)
			}
			got := g.last().Content
			if want != "" && got != want {
				t.Error(textDiff(got, want))
			}
			if test.dies && (!strings.HasPrefix(got, strings.TrimRight(kept, "\ufffd")) || strings.Contains(got, p.before(100)) || !strings.Contains(got, "went on by 2")) {
				t.Errorf("%q is not what B made of %q", got, kept)
			}
			// Who followed at B either saw it all, or was cut off and comes again.
			for along.end == "" {
				if err := along.next(); err != nil {
					if err := along.open(b, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			if along.text != got {
				t.Error(textDiff(along.text, got))
			}
		})
	}
}
