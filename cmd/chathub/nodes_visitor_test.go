package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// visitor has one conversation, at whatever node it likes, over every way in,
// and drops its connections at random bytes. All that it does comes from its
// seed; only the order in which nodes answer does not.
type visitor struct {
	c    *cluster
	seed uint64
	rng  *rand.Rand
	page page
	sum  tally

	strayed bool // it was closed with 4001 since it was last welcome
	turns   int
	seen    map[string]string // of each reply, the longest text that was shown
}

// tally counts what visitors did.
type tally struct {
	Replies, Resumed, Hops, Stopped, Regenerated, Anew, Strayed int
}

func (t *tally) add(o tally) {
	t.Replies += o.Replies
	t.Resumed += o.Resumed
	t.Hops += o.Hops
	t.Stopped += o.Stopped
	t.Regenerated += o.Regenerated
	t.Anew += o.Anew
	t.Strayed += o.Strayed
}

// turnPatience is how long one turn may take, with all that is done to nodes.
const turnPatience = 2 * time.Minute

func newVisitor(c *cluster, seed uint64) *visitor {
	v := &visitor{c: c, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), seen: map[string]string{}}
	v.page.client, v.page.within, v.page.thinks = newID(), 3*time.Second, seed%2 == 0
	return v
}

// turn is one message and its reply.
type turn struct {
	*plan
	id       string // of the message
	deadline time.Time
	stop     int // stop it behind so many bytes; negative: do not
}

// talk goes on until ctx ends, and compares what it holds then with what is
// stored.
func (v *visitor) talk(ctx context.Context) error {
	defer v.page.hang()
	for ctx.Err() == nil {
		if err := v.takeTurn(); err != nil {
			return fmt.Errorf("visitor %d, turn %d, session %s: %w", v.seed, v.turns, v.page.session, err)
		}
	}
	return nil
}

func (v *visitor) takeTurn() error {
	v.turns++
	p := v.c.model.plan(v.seed<<16|uint64(v.turns), 10+v.rng.IntN(120), time.Duration(2+v.rng.IntN(12))*time.Millisecond)
	if v.page.thinks {
		p.think(v.rng)
	}
	if v.rng.IntN(6) == 0 {
		p.cut = 200 + v.rng.IntN(20000)
	}
	t := turn{plan: p, id: newID(), deadline: time.Now().Add(turnPatience), stop: -1}
	if v.rng.IntN(8) == 0 {
		t.stop = v.rng.IntN(len(p.text))
	}
	had := len(v.page.messages)
	var err error
	switch v.rng.IntN(5) {
	case 0:
		err = v.byREST(t)
	case 1:
		err = v.byEvents(t)
	default:
		err = v.bySocket(t)
	}
	if err == nil {
		err = v.reached(t, had)
	}
	if err == nil && v.rng.IntN(12) == 0 {
		err = v.regenerate(t, had)
	}
	return err
}

// anywhere is a random node.
func (v *visitor) anywhere() *node { return v.c.nodes[v.rng.IntN(len(v.c.nodes))] }

// again waits a little before another try, or says that it is too late.
func (v *visitor) again(t turn, why error) error {
	if time.Now().After(t.deadline) {
		return fmt.Errorf("no end within %s: %w", turnPatience, why)
	}
	pause := time.NewTimer(time.Duration(20+v.rng.IntN(200)) * time.Millisecond)
	<-pause.C
	return nil
}

// passing tells whether an answer says only that now is not the time.
func passing(a answer) bool {
	code := a.code()
	return a.status == http.StatusServiceUnavailable && (code == "store_unavailable" || code == "draining")
}

// ask sends a request to random nodes until one answers it.
func (v *visitor) ask(t turn, method, path string, body any, header map[string]string) (answer, error) {
	for {
		within := time.Duration(500+v.rng.IntN(12000)) * time.Millisecond
		a, err := v.anywhere().tryFor(within, method, path, body, header)
		if err == nil && !passing(a) {
			return a, nil
		}
		if err == nil {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		if err := v.again(t, err); err != nil {
			return a, err
		}
		v.sum.Hops++
	}
}

// open makes the session, unless there is one.
func (v *visitor) open(t turn) error {
	if v.page.session != "" {
		return nil
	}
	a, err := v.ask(t, "POST", "/sessions", nil, nil)
	if err != nil || a.status != http.StatusCreated {
		return fmt.Errorf("POST /sessions: %d %s %w", a.status, a.body, err)
	}
	var made struct{ ID string }
	err = json.Unmarshal(a.body, &made)
	v.page.session = made.ID
	return err
}

// byREST asks by POST /chat.
func (v *visitor) byREST(t turn) error {
	for {
		a, err := v.ask(t, "POST", "/chat", chatMessageBody{t.said, v.page.session}, map[string]string{"Idempotency-Key": t.id})
		if err != nil {
			return err
		}
		if a.status == http.StatusInternalServerError {
			// Too many of its nodes died. It is asked anew under the same key.
			v.sum.Anew++
			if err := v.again(t, errors.New(string(a.body))); err != nil {
				return err
			}
			continue
		}
		var got chatAnswer
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("POST /chat: %d %s", a.status, a.body)
		}
		v.page.session = got.Conversation
		if got.Response != t.text || got.FinishReason != "stop" {
			return fmt.Errorf("POST /chat: %s, %s", got.FinishReason, textDiff(got.Response, t.text))
		}
		return nil
	}
}

// byEvents asks by POST /chat for a stream, and resumes it either way.
func (v *visitor) byEvents(t turn) error {
	if err := v.open(t); err != nil {
		return err
	}
	e := &events{within: time.Duration(500+v.rng.IntN(15000)) * time.Millisecond}
	defer e.close()
	stopped := false
	for {
		at := v.anywhere()
		var err error
		if e.lastID == "" || v.rng.IntN(3) == 0 {
			e.lastID = ""
			err = e.open(at, "POST", "/chat", chatMessageBody{t.said, v.page.session}, map[string]string{"Idempotency-Key": t.id})
		} else {
			err = e.open(at, "GET", "/sessions/"+v.page.session+"/stream", nil, nil)
			v.sum.Resumed++
		}
		var status errStream
		if errors.As(err, &status) {
			switch status.status {
			case http.StatusServiceUnavailable:
			case http.StatusNoContent:
				e.lastID = "" // not even stored, or cut since: ask with the key
			default:
				return fmt.Errorf("a stream: %w", err)
			}
		}
		for err == nil {
			if err = e.next(); err == nil {
				err = v.shown(t, e.id, e.text)
			}
			if err == nil && t.stop >= 0 && len(e.text) > t.stop && !stopped {
				stopped = true
				if err := v.stop(t); err != nil {
					return err
				}
			}
			if err == nil && v.rng.IntN(60) == 0 {
				err = broken{errDropped}
			}
		}
		var b broken
		switch {
		case err == io.EOF && e.end == "error":
			v.sum.Anew++
			e.lastID = ""
		case err == io.EOF:
			return nil
		case errors.As(err, &b), errors.As(err, &status):
		default:
			return err
		}
		if err := v.again(t, err); err != nil {
			return err
		}
	}
}

// stop stops the running reply, at any node.
func (v *visitor) stop(t turn) error {
	a, err := v.ask(t, "POST", "/sessions/"+v.page.session+"/stop", nil, nil)
	if err != nil || a.status != http.StatusOK {
		return fmt.Errorf("stop: %d %s %w", a.status, a.body, err)
	}
	v.sum.Stopped++
	return nil
}

// shown holds that what is shown of a reply is the beginning of what the model
// says.
func (v *visitor) shown(t turn, id, text string) error {
	if !strings.HasPrefix(t.text, text) {
		return violation{errors.New(textDiff(text, t.text))}
	}
	if len(text) > len(v.seen[id]) {
		v.seen[id] = text
	}
	return nil
}
