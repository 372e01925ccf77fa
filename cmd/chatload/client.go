package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
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
	if err := c.connect(ctx, due); err != nil {
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
		if !c.resumable(err) {
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
			c.acked = true
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

// resumable tells a connection that a client should replace from an end that
// it should not. It counts the loss.
func (c *client) resumable(err error) bool {
	closed, _ := errors.AsType[*closeError](err)
	netErr, _ := errors.AsType[net.Error](err)
	storm := c.run.storm.Load()
	switch {
	case c.run.peer.floor || errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case errors.Is(err, errDropped):
	case closed != nil && closed.code != 1000 && closed.code != 1001 && closed.code != 1013:
		return false
	case closed == nil && netErr == nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed):
		return false
	}
	c.down = time.Now()
	c.ws.drop(c.rng.IntN(2) == 0)
	c.shard.record(func(s *shard) {
		if storm || errors.Is(err, errDropped) {
			s.Drops++
		} else {
			s.Lost++
		}
	})
	return true
}

// resume connects again, with backoff, and goes on where the reply stood.
func (c *client) resume(ctx context.Context) error {
	wait := 10 * time.Millisecond
	give := time.Now().Add(c.run.patience())
	for {
		err := c.connect(ctx, time.Now())
		if err == nil {
			c.plan()
			return nil
		}
		closed, _ := errors.AsType[*closeError](err)
		op, _ := errors.AsType[*net.OpError](err)
		if ctx.Err() != nil || time.Now().After(give) || (op == nil && !errors.Is(err, io.EOF) && (closed == nil || closed.code != 1013 && closed.code != 1001)) {
			return fmt.Errorf("resuming: %w", err)
		}
		c.shard.record(func(s *shard) { s.Refused++ })
		if !pause(ctx, wait/2+time.Duration(c.rng.Int64N(int64(wait)))) {
			return context.Cause(ctx)
		}
		wait = min(2*wait, time.Second)
	}
}

// connect opens the connection that was due at a time and reads `ready`.
func (c *client) connect(ctx context.Context, due time.Time) error {
	u := c.run.peer.endpoint(c.conversation, c.position())
	ctx, cancel := context.WithTimeout(ctx, c.run.Patience)
	defer cancel()
	ws, err := dialWS(ctx, c.run.dialer(c.n), u, c.run.peer.protocols)
	if err != nil {
		return err
	}
	upgraded := time.Now()
	c.ws = ws
	c.run.opened(c.n, ws.Conn)
	ws.SetReadDeadline(upgraded.Add(c.run.Patience))
	if err := c.ready(); err != nil {
		ws.drop(true)
		return err
	}
	c.joined = time.Now()
	c.shard.record(func(s *shard) {
		if c.down.IsZero() {
			s.connect.add(upgraded.Sub(due), 1)
			s.ready.add(c.joined.Sub(upgraded), 1)
		} else {
			s.resume.add(c.joined.Sub(c.down), 1)
		}
	})
	c.down = time.Time{}
	return nil
}

// position is what a resuming client tells of where it stands (PROTOCOL.md,
// Resuming).
func (c *client) position() url.Values {
	q := url.Values{}
	switch {
	case c.reply.id != "" && !c.reply.over && c.reply.id != c.seen:
		q.Set("after", c.reply.id)
		q.Set("offset", strconv.Itoa(c.reply.held))
		if c.reply.epoch >= 0 {
			q.Set("epoch", strconv.Itoa(c.reply.epoch))
		}
	case c.acked:
		q.Set("after", c.message)
	case c.seen != "":
		q.Set("after", c.seen)
	}
	return q
}

// ready reads the frame that comes first, where the peer sends one.
func (c *client) ready() error {
	if c.run.peer.floor {
		return nil
	}
	b, err := c.ws.next()
	if err != nil {
		return err
	}
	f := &c.frame
	if err := parseFrame(f, b); err != nil {
		return err
	}
	if string(f.kind) != "ready" || len(f.conversation) == 0 {
		return fmt.Errorf("first frame is %.60q, not ready", b)
	}
	c.conversation = string(f.conversation)
	if c.message == "" {
		return nil
	}
	before := c.reply.held
	known, err := c.reply.stored(f.messages, c.message, c.acked && f.after != nil)
	c.acked = c.acked || known
	if c.reply.over {
		c.shard.record(func(s *shard) { s.Bytes += c.reply.held - before })
	}
	return err
}

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
