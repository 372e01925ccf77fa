package httpapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
)

// TestExactDrop holds that whatever drops, nothing is lost, doubled or
// reordered: in thousands of conversations a client is cut off at random bytes
// and comes back in every way that the contract has, and the model's stream is
// cut up to three times per reply. What the client rebuilt must equal what the
// simulator meant and what the session holds, byte for byte.
func TestExactDrop(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	exactRuns(t, 1500, func(seed uint64) error { return playDrop(x, seed) })
}

// dropRun is one conversation of one page.
type dropRun struct {
	x    *exactServer
	on   []*exactServer // the nodes that it connects to; nil: x alone
	rng  *rand.Rand
	page refPage

	plan     *exactPlan
	id, said string     // of the user message that is being answered
	drops    int        // that are left for this turn
	sock     *refSocket // nil: away
}

func playDrop(x *exactServer, seed uint64) error {
	r := &dropRun{x: x, rng: rand.New(rand.NewPCG(seed, 1))}
	r.page.thinks = r.rng.IntN(3) > 0
	if r.rng.IntN(2) == 0 {
		r.page.client = uuid.NewString()
	}
	if r.rng.IntN(2) == 0 { // otherwise the WebSocket makes it
		var err error
		if r.page.session, err = x.open(); err != nil {
			return err
		}
	}
	defer func() {
		if r.sock != nil {
			r.sock.close()
		}
	}()
	_, err := r.play(seed)
	return err
}

// play has the turns, and returns what is stored then, which the page holds, too.
func (r *dropRun) play(seed uint64) ([]*refMessage, error) {
	for turn := range 1 + r.rng.IntN(3) {
		r.plan, r.id, r.said = newExactPlan(r.rng, 30), uuid.NewString(), exactSaid(r.rng, seed, turn)
		r.drops = r.rng.IntN(5)
		r.x.plans.Store(r.said, r.plan)
		err := r.turn()
		r.plan.release() // also when it failed: the simulator must not wait
		r.x.plans.Delete(r.said)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", turn, err)
		}
	}
	stored, err := r.x.stored(r.page.session)
	if err != nil {
		return nil, err
	}
	if d := r.page.differs(stored); d != "" {
		return nil, errors.New(d)
	}
	return stored, nil
}

// turn has the message answered, over as many connections as that takes.
func (r *dropRun) turn() error {
	for {
		if r.sock == nil {
			if err := r.connect(); err == errRefDropped {
				continue
			} else if err != nil {
				return err
			}
		} else if err := r.say(); err != nil {
			return err
		}
		err := r.read()
		if err == errRefDropped {
			if err = r.away(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	if got := r.page.last().Content; got != r.plan.text {
		return errors.New(textDiff(got, r.plan.text))
	}
	if reason := r.page.last().FinishReason; reason != "stop" {
		return fmt.Errorf("finish_reason %q", reason)
	}
	if !r.page.thinks {
		return nil
	}
	return r.plan.thought(r.page.last().Reasoning)
}

// connect opens the page's connection, which may break at any byte.
func (r *dropRun) connect() error {
	var d refDial
	if r.drops > 0 {
		r.drops--
		d.dropAt = 1 + r.rng.Int64N(int64(1200+160*len(r.plan.tokens)))
	}
	path := "/ws"
	q := r.comeBack()
	if r.page.session != "" {
		path += "/" + r.page.session
	}
	r.page.connected(q)
	node := r.x
	if len(r.on) > 0 {
		node = r.on[r.rng.IntN(len(r.on))]
	}
	sock, err := dialRefSocket(node.addr, path+"?"+q.Encode(), d)
	r.sock = sock
	if err != nil {
		if d.dropAt > 0 {
			err = errRefDropped
		}
		return err
	}
	switch r.rng.IntN(8) { // it need not wait for ready, which comes first all the same
	case 0, 1:
		return r.say()
	case 2:
		return r.send(`{"type":"ping"}`)
	case 3:
		return r.send(`{"type":"stop","id":"` + uuid.NewString() + `"}`)
	}
	return nil
}

// comeBack chooses what the page says of itself: mostly the truth.
func (r *dropRun) comeBack() url.Values {
	q := r.page.resume()
	if r.page.client != "" && r.rng.IntN(2) == 0 {
		q.Set("again", "1")
	}
	last := r.page.last()
	switch r.rng.IntN(12) {
	case 0: // it forgot everything
		q.Del("after")
		q.Del("offset")
	case 1: // a message that never was
		q.Set("after", uuid.NewString())
	case 2: // malformed
		q.Set("after", "x")
		q.Set("offset", "-1")
	case 3: // more text than there is
		if last != nil && last.partial {
			q.Set("offset", strconv.FormatInt(last.offset+int64(r.plan.size())+1+r.rng.Int64N(1<<20), 10))
		}
	case 4: // less than it holds, or the middle of a character
		if last != nil && last.partial && last.offset > 0 {
			q.Set("offset", strconv.FormatInt(r.rng.Int64N(last.offset), 10))
		}
	case 5: // it keeps no part of a reply
		if n := len(r.page.messages); n > 1 && last.partial {
			r.page.messages = r.page.messages[:n-1]
			q.Set("after", r.page.last().ID)
			q.Del("offset")
		}
	case 6: // the whole of the last message is wanted again
		if last != nil && !last.partial {
			q.Set("offset", "0")
		}
	}
	return q
}

// say sends the message, if the page has not seen it acknowledged, and at times
// although it has.
func (r *dropRun) say() error {
	if r.page.find(r.id) >= 0 && r.rng.IntN(8) > 0 {
		return nil
	}
	if err := r.sock.say(r.id, r.said); err != nil {
		return r.lost(err)
	}
	return nil
}

func (r *dropRun) send(frame string) error {
	if err := r.sock.write(frame); err != nil {
		return r.lost(err)
	}
	return nil
}

// read takes frames until the reply is whole. A break of the connection is
// errRefDropped, and the page then has none.
func (r *dropRun) read() error {
	for {
		last := r.page.last()
		if r.page.welcome && last != nil && last.Role == "assistant" && !last.partial && r.page.find(r.id) == len(r.page.messages)-2 {
			return nil
		}
		raw, err := r.sock.read()
		if err != nil {
			return r.lost(err)
		}
		f, err := r.page.take(raw)
		if err != nil {
			return err
		}
		switch f.Type {
		case "ready":
			if err := r.say(); err != nil {
				return err
			}
			fallthrough
		case "start", "text-start", "text-delta", "reasoning-delta":
			if err := r.check(); err != nil {
				return err
			}
		case "error":
			return fmt.Errorf("refused: %+v", f)
		}
		if r.drops > 0 && r.rng.IntN(40) == 0 {
			if err := r.takeOver(); err != nil {
				return err
			}
		}
	}
}

// check compares what there is of the reply, and lets the model go on when
// the page has all that was said.
func (r *dropRun) check() error {
	last := r.page.last()
	if last == nil || !last.partial || r.page.find(r.id) < 0 {
		return nil
	}
	got := last.text()
	if len(got) > len(r.plan.text) || got != r.plan.text[:len(got)] || !utf8.ValidString(got) {
		return errors.New(textDiff(got, r.plan.text))
	}
	r.plan.seen(len(got))
	return nil
}

// takeOver opens the page's next connection while the one before is open,
// which the hub must close with 4001.
func (r *dropRun) takeOver() error {
	old := r.sock
	defer old.close()
	err := r.connect()
	if err == errRefDropped {
		return err
	}
	if err != nil || len(r.on) > 0 { // of several nodes the new one asks the page first, which has to read
		return err
	}
	for {
		_, err := old.read()
		var closed *refClosed
		if errors.As(err, &closed) && closed.code == 4001 || err == errRefDropped {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection that was taken over ended with %w", err)
		}
	}
}

// lost is what a connection's error means: only one that the run made is right.
func (r *dropRun) lost(err error) error {
	wanted := r.sock.conn.left >= 0
	r.sock.close()
	r.sock = nil
	if wanted {
		return errRefDropped
	}
	return err
}

// away is the time between two connections: at times the model goes on
// meanwhile, at times to its end.
func (r *dropRun) away() error {
	if r.rng.IntN(3) > 0 || r.page.find(r.id) < 0 {
		return nil
	}
	r.plan.release()
	if r.rng.IntN(2) == 0 {
		return nil
	}
	_, err := r.x.settled(r.page.session)
	return err
}
