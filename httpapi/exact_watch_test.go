package httpapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestExactWatch holds that watchers have what is said to the byte: while a page
// talks, drops and takes over from itself on two nodes, others watch at either,
// are cut off at random bytes, come back with what they hold, and at times ask
// for what a watcher may not have.
func TestExactWatch(t *testing.T) {
	nodes := exactNodes(t)
	exactRuns(t, 300, func(seed uint64) error { return playWatch(nodes, seed) })
}

func playWatch(nodes []*exactServer, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := &dropRun{x: nodes[0], on: nodes, rng: rng, page: refPage{client: uuid.NewString()}}
	var err error
	if r.page.session, err = r.x.open(); err != nil {
		return err
	}
	defer func() {
		if r.sock != nil {
			r.sock.close()
		}
	}()
	watchers := make([]*exactWatcher, 1+rng.IntN(4))
	for i := range watchers {
		w := &exactWatcher{nodes: nodes, rng: rand.New(rand.NewPCG(seed, 100+uint64(i))), page: refPage{session: r.page.session}}
		if w.rng.IntN(2) == 0 {
			w.page.client = uuid.NewString()
		}
		watchers[i] = w
		w.running.Go(w.run)
		defer w.stop()
	}
	stored, err := r.play(seed)
	if err != nil {
		return err
	}
	for i, w := range watchers {
		if err := w.comesToHold(stored); err != nil {
			return fmt.Errorf("watcher %d: %w", i, err)
		}
	}
	return nil
}

// exactWatcher watches a conversation until it is stopped, over as many
// connections as that takes.
type exactWatcher struct {
	nodes   []*exactServer
	rng     *rand.Rand // run's
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	page    refPage
	sock    *refSocket
	stopped bool
	wrong   error
}

func (w *exactWatcher) run() {
	for {
		sock, err := w.connect()
		if sock == nil && err == nil {
			return // stopped
		}
		for err == nil {
			err = w.read(sock)
		}
		w.mu.Lock()
		if err != errRefDropped && !w.stopped {
			w.wrong = err
		}
		over := w.stopped || w.wrong != nil
		w.mu.Unlock()
		if over {
			return
		}
	}
}

// connect comes back with what the page holds, over a connection that may break.
func (w *exactWatcher) connect() (*refSocket, error) {
	var d refDial
	if w.rng.IntN(2) == 0 {
		d.dropAt = 1 + w.rng.Int64N(4000)
	}
	if w.rng.IntN(4) == 0 {
		d.bite = 1 + w.rng.IntN(40)
	}
	w.mu.Lock()
	q := w.page.resume()
	if w.rng.IntN(10) == 0 { // it forgot everything
		q.Del("after")
		q.Del("offset")
	}
	if w.rng.IntN(2) == 0 {
		q.Set("again", "1")
	}
	q.Set("watch", "1")
	w.page.connected(q)
	path := "/ws/" + w.page.session + "?" + q.Encode()
	w.mu.Unlock()
	sock, err := dialRefSocket(w.nodes[w.rng.IntN(len(w.nodes))].addr, path, d)
	if err != nil {
		if d.dropAt > 0 {
			err = errRefDropped
		}
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		sock.close()
		return nil, nil
	}
	w.sock = sock
	return sock, nil
}

// read takes a frame. An error that the run made is errRefDropped.
func (w *exactWatcher) read(sock *refSocket) error {
	raw, err := sock.read()
	wanted := sock.conn.left >= 0
	if err == nil && w.rng.IntN(60) == 0 {
		forbidden := []string{`{"type":"stop"}`, `{"type":"regenerate"}`, "typed", `{"type":"message","content":"x"}`, `{"type":"ping"}`}
		err = sock.write(forbidden[w.rng.IntN(len(forbidden))])
	}
	if err == nil {
		err = w.take(raw)
		wanted = wanted && err == nil
	}
	if err != nil {
		sock.close()
		if wanted {
			return errRefDropped
		}
	}
	return err
}

func (w *exactWatcher) take(raw []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := w.page.take(raw)
	switch {
	case err != nil:
		return err
	case f.Type == "ready" && !strings.Contains(string(raw), `"watching":true`), f.Type == "stopped",
		f.Type == "error" && f.ID == "" && f.Code != "watching":
		return fmt.Errorf("to a watcher: %.200s", raw)
	}
	n := len(w.page.messages)
	if n < 2 || !w.page.messages[n-1].partial {
		return nil
	}
	plan, ok := w.nodes[0].plans.Load(w.page.messages[n-2].Content)
	if got := w.page.messages[n-1].text(); ok && !strings.HasPrefix(plan.(*exactPlan).text, got) {
		return errors.New(textDiff(got, plan.(*exactPlan).text))
	}
	return nil
}

// comesToHold waits until the page holds what is stored.
func (w *exactWatcher) comesToHold(stored []*refMessage) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for limit := time.Now().Add(refPatience / 2); ; <-look.C {
		w.mu.Lock()
		wrong, differs := w.wrong, w.page.differs(stored)
		w.mu.Unlock()
		switch {
		case wrong != nil:
			return wrong
		case differs == "":
			return nil
		case time.Now().After(limit):
			return errors.New(differs)
		}
	}
}

func (w *exactWatcher) stop() {
	w.mu.Lock()
	w.stopped = true
	if w.sock != nil {
		w.sock.close()
	}
	w.mu.Unlock()
	w.running.Wait()
}
