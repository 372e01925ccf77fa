package redisstore

import (
	"context"
	flags "flag"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/explore"
)

var (
	seeds    = flags.Uint64("seeds", 40, "how many schedules are sampled")
	fromSeed = flags.Uint64("seed", 0, "the first of them")
)

// outside does its work outside of a bubble: Redis answers in real time, during which
// the bubble's stands still.
type outside struct {
	mu   sync.Mutex // one call at a time
	todo chan func()
	done chan struct{}
}

func newOutside(t *testing.T) *outside {
	o := &outside{todo: make(chan func()), done: make(chan struct{})}
	go func() {
		for f := range o.todo {
			f()
			o.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(o.todo) })
	return o
}

func (o *outside) do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.todo <- f
	<-o.done
}

// explored is a Redis as the explorer sees it.
type explored struct {
	t     *testing.T
	o     *outside
	nodes map[string]*Store
	id    uuid.UUID
}

// exploredNode is what one node sees of it.
type exploredNode struct {
	o *outside
	s *Store
}

func (n exploredNode) Load(_ context.Context, id uuid.UUID, have *session.Conversation) (c *session.Conversation, err error) {
	n.o.do(func() { c, err = n.s.Load(context.Background(), id, have) })
	return c, err
}

func (n exploredNode) Commit(_ context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) (err error) {
	n.o.do(func() { err = n.s.Commit(context.Background(), id, was, ch) })
	return err
}

func (n exploredNode) Claim(_ context.Context, key string, id, stale uuid.UUID) (got uuid.UUID, err error) {
	n.o.do(func() { got, err = n.s.Claim(context.Background(), key, id, stale) })
	return got, err
}

func (n exploredNode) Touch(_ context.Context, used []session.Use) (changed []uuid.UUID, err error) {
	n.o.do(func() { changed, err = n.s.Touch(context.Background(), used) })
	return changed, err
}

func (n exploredNode) Append(_ context.Context, texts []*session.Text) {
	n.o.do(func() {
		n.s.mu.Lock()
		for _, own := range n.s.ownTexts {
			own.asked = time.Time{} // the bubble's second is over at once
		}
		n.s.mu.Unlock()
		n.s.Append(context.Background(), texts)
	})
}

func (n exploredNode) Read(_ context.Context, texts []*session.Text) {
	n.o.do(func() { n.s.Read(context.Background(), texts) })
}

// The explorer answers for these.
func (exploredNode) Alive(string) bool                             { return true }
func (exploredNode) Ready(context.Context) error                   { return nil }
func (exploredNode) Run(context.Context, func(session.Hint)) error { return nil }

func (e *explored) Open(name string, gate func(session.Backend) session.Backend) (*session.Manager, error) {
	s := e.nodes[name]
	return session.NewManager(gate(exploredNode{e.o, s}), s.Kind(), session.Config{Logger: s.cfg.Logger}), nil
}

func (e *explored) Late(fence string, at int, p []byte) {
	e.o.do(func() {
		k := keysOf(e.id)
		c, err := e.nodes["A"].connect(context.Background())
		if err != nil {
			e.t.Error(err)
			return
		}
		keys := []string{k[fenceKey], k[textKey]}
		c.Do(context.Background(), appendScript.command(c, keys, []string{"A", "60000", "1", "0", fence, strconv.Itoa(at), string(p)}))
	})
}

func (e *explored) Peek() (c *session.Conversation, text string) {
	e.o.do(func() {
		var err error
		if c, err = e.nodes["peek"].Load(context.Background(), e.id, nil); err != nil {
			c = nil
			return
		}
		n := node{store: e.nodes["peek"]}
		text, _ = n.raw(e.t, "GET", keysOf(e.id)[textKey]).ToString()
	})
	return c, text
}

// Save remembers what the keys hold.
func (e *explored) Save() (restore func()) {
	n, k := node{store: e.nodes["peek"]}, keysOf(e.id)
	var head map[string]string
	var log []string
	strings := map[string]string{}
	e.o.do(func() {
		head, _ = n.raw(e.t, "HGETALL", k[headKey]).AsStrMap()
		log, _ = n.raw(e.t, "LRANGE", k[logKey], "0", "-1").AsStrSlice()
		for _, i := range []int{fenceKey, textKey} {
			if v, err := n.raw(e.t, "GET", k[i]).ToString(); err == nil {
				strings[k[i]] = v
			}
		}
	})
	return func() {
		e.o.do(func() {
			n.raw(e.t, append([]string{"DEL"}, k...)...)
			for field, v := range head {
				n.raw(e.t, "HSET", k[headKey], field, v)
			}
			for _, record := range log {
				n.raw(e.t, "RPUSH", k[logKey], record)
			}
			for key, v := range strings {
				n.raw(e.t, "SET", key, v)
			}
		})
	}
}

// TestExplore takes sampled schedules of the explorer's on real scripts, with late
// and doubled calls, lost answers, killed nodes, and a Redis that forgets.
func TestExplore(t *testing.T) {
	onRedis(t, func(t *testing.T, url string) {
		o, nodes := newOutside(t), map[string]*Store{}
		for _, name := range []string{"A", "B", "peek"} {
			n := openNode(t, Config{URL: url})
			n.store.node = name
			n.run(t)
			n.hears(t)
			nodes[name] = n.store
		}
		for seed := *fromSeed; seed < *fromSeed+*seeds && !t.Failed(); seed++ {
			explore.Sample(t, seed, "KPLRTH", 40, 2, func(id uuid.UUID) explore.Store {
				return &explored{t, o, nodes, id}
			})
		}
	})
}
