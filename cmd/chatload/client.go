package main

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// client is one user of a conversation: it says things, rebuilds the replies,
// loses its connection and resumes. One goroutine runs it.
type client struct {
	run   *run
	n     int // the conversation's number: what is said in it depends on it
	shard *shard
	rng   *mrand.Rand
	ws    *wsConn
	frame frame

	conversation string    // its id, once `ready` told it
	seen         string    // the last message seen whole
	joined       time.Time // when the newest `ready` came: what is older than it was sent to nobody
	down         time.Time // when the connection was lost; zero while it stands

	message string // the user message being answered
	acked   bool   // the hub acknowledged it
	said    time.Time
	reply   rebuilt
	stalled bool // it has had its pause in this reply
}

func newClient(r *run, n int) *client {
	return &client{run: r, n: n, shard: r.tally.of(n), rng: mrand.New(mrand.NewPCG(r.Seed, uint64(n)))}
}

// converse lives through one conversation that was due to begin at a time.
func (c *client) converse(ctx context.Context, due time.Time) error {
	err := c.connect(ctx, due)
	if err != nil && c.run.storm.Load() && again(err) {
		c.missed(err)
		err = c.resume(ctx) // it was about to begin when the peer went away
	}
	if err != nil {
		return err
	}
	defer func() { c.ws.bye() }()
	for turn := range c.run.Turns {
		if turn > 0 && !pause(ctx, c.run.Think) {
			return context.Cause(ctx)
		}
		if err := c.turn(ctx, turn); err != nil {
			return err
		}
	}
	return nil
}

// turn says something and rebuilds the reply, over as many connections as it
// takes.
func (c *client) turn(ctx context.Context, turn int) error {
	c.message, c.acked, c.stalled = uuid.Must(uuid.NewRandomFromReader(rand.Reader)).String(), false, false
	c.reply = newRebuilt(c.expected(turn))
	c.said = time.Now()
	say := c.run.peer.say(c.message, prompt(c.n, turn))
	err := c.send(say)
	for {
		if err == nil {
			err = c.follow()
		}
		if err == nil && c.run.unknown {
			err = c.compareStored(ctx)
		}
		if err == nil {
			c.seen = c.reply.id
			c.shard.record(func(s *shard) { s.Replies++ })
			return nil
		}
		if !c.resumable(err) || time.Since(c.said) > c.run.patience() {
			return err
		}
		if err = c.resume(ctx); err != nil {
			return err
		}
		if !c.acked && !c.reply.over {
			err = c.send(say)
		}
	}
}

// send says something.
func (c *client) send(say []byte) error {
	c.plan()
	return c.ws.write(opText, say)
}

// plan draws the byte of the connection at which it is to be dropped. Drops
// come at any byte alike, as often a reply as asked for on average.
func (c *client) plan() {
	c.ws.SetReadDeadline(time.Now().Add(c.run.patience()))
	c.ws.budget = -1
	if c.run.Drops > 0 {
		mean := float64(c.run.wireBytes()) / c.run.Drops
		c.ws.budget = 1 + int(c.rng.ExpFloat64()*mean)
	}
}

// follow reads frames until the reply is over.
func (c *client) follow() error {
	for !c.reply.over {
		b, err := c.ws.next()
		if err != nil {
			return err
		}
		f := &c.frame
		if err := c.run.peer.parse(f, b); err != nil {
			return err
		}
		switch string(f.kind) {
		case "text-delta":
			if err := c.text(f, len(b)); err != nil {
				return err
			}
		case "start", "text-start", "finish":
			again := c.reply.again
			if _, err := c.reply.apply(f); err != nil {
				return err
			}
			if c.reply.again > again {
				c.shard.record(func(s *shard) { s.Restarts++ })
			}
		case "message":
			if string(f.id) != c.message {
				return fmt.Errorf("message %s acknowledged, sent %s", f.id, c.message)
			}
			if !c.acked {
				c.acked = true
				c.shard.record(func(s *shard) { s.acked.add(c.ws.at.Sub(c.said), 1) })
			}
		case "error", "abort":
			return fmt.Errorf("reply ended by %s %s", f.kind, f.code)
		case "text-end", "pong":
		default:
			return fmt.Errorf("unexpected frame %.60q", b)
		}
	}
	return nil
}

// text takes a delta and records how late its tokens were.
func (c *client) text(f *frame, wire int) error {
	before := c.reply.held
	added, err := c.reply.apply(f)
	if err != nil || added == 0 {
		return err
	}
	size := c.run.TokenBytes
	c.shard.mu.Lock()
	c.shard.Frames++
	c.shard.Wire += wire
	c.shard.Bytes += added
	if before == 0 {
		c.shard.first.add(c.ws.at.Sub(c.said), 1)
	}
	if !c.slow() && !c.run.unknown {
		c.run.sent.late(c.shard.added, c.n, before/size, c.reply.held/size, c.ws.at, c.joined)
	}
	c.shard.mu.Unlock()
	if c.slow() && !c.stalled && c.reply.held > c.run.Tokens*c.run.TokenBytes/10 {
		c.stalled = true
		time.Sleep(c.run.Stall)
	}
	return nil
}

// slow says whether this client stops reading amid each reply.
func (c *client) slow() bool { return c.n < c.run.Slow }

// pause waits for d, and tells whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
