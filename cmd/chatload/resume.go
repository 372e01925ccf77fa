package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"
)

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
		if ctx.Err() != nil || time.Now().After(give) || !again(err) {
			return fmt.Errorf("resuming: %w", err)
		}
		c.missed(err)
		if !pause(ctx, wait/2+time.Duration(c.rng.Int64N(int64(wait)))) {
			return context.Cause(ctx)
		}
		wait = min(2*wait, time.Second)
	}
}

// again says whether a connection that could not be made is worth another try:
// nobody was there, or said to come back later.
func again(err error) bool {
	if closed, ok := errors.AsType[*closeError](err); ok {
		return closed.code == 1013 || closed.code == 1001
	}
	_, op := errors.AsType[*net.OpError](err)
	return op || errors.Is(err, io.EOF)
}

// missed counts a connection that could not be made, for now.
func (c *client) missed(err error) {
	_, refused := errors.AsType[*closeError](err)
	c.shard.record(func(s *shard) {
		if refused {
			s.Refused++
		} else {
			s.Absent++
		}
	})
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
			s.Joined++
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
