package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what is asked of a peer. Each command of chatload has its own
// defaults for it.
type load struct {
	Conversations int           `default:"${conversations}" help:"Conversations; at the same time, if the ramp is steep enough."`
	Ramp          float64       `default:"${ramp}" help:"New connections per second; 0: at once."`
	Turns         int           `default:"${turns}" help:"Messages in each conversation."`
	Think         time.Duration `default:"0s" help:"Pause between a reply and the next message."`
	Duration      time.Duration `default:"${duration}" help:"Replace every conversation that ends by a new one, for so long; 0: never."`
	Tokens        int           `default:"${tokens}" help:"Tokens in each reply."`
	TokenBytes    int           `default:"26" help:"Bytes in each token."`
	Pace          float64       `default:"${pace}" help:"Tokens per second of each reply; 0: flat out."`
	FirstToken    time.Duration `default:"0s" help:"What the simulated model takes to begin."`
	Flush         int           `default:"${flush}" help:"Tokens that the simulator writes at a time."`
	Drops         float64       `default:"${drops}" help:"Connections dropped a reply, on average, at any byte, and resumed."`
	Slow          int           `default:"${slow}" help:"Of the conversations, how many stop reading amid each reply."`
	Stall         time.Duration `default:"10s" help:"For how long those stop."`
	Idle          int           `default:"${idle}" help:"Connections beside, on which nothing is said."`
	Settle        time.Duration `default:"${settle}" help:"Wait between the last idle connection and looking at the peer's memory."`
	Patience      time.Duration `default:"60s" help:"When to give up on a connection or a reply that is late."`
	Seed          uint64        `default:"1" help:"What all text and all chance come from."`
}

func (l *load) check() error {
	switch {
	case l.Conversations < 0 || l.Idle < 0 || l.Ramp < 0 || l.Pace < 0 || l.Drops < 0:
		return errors.New("a number of the load is negative")
	case l.Tokens < 1 || l.Turns < 1 || l.Flush < 1:
		return errors.New("tokens, turns and flush begin at 1")
	case l.Conversations == 0 && l.Idle == 0:
		return errors.New("neither conversations nor idle connections: nothing to do")
	}
	return nil
}

// String tells the load in one line.
func (l *load) String() string {
	var parts []string
	if l.Conversations > 0 {
		pace := "flat out"
		if l.Pace > 0 {
			pace = fmt.Sprintf("at %g/s", l.Pace)
		}
		parts = append(parts, fmt.Sprintf("%d conversations × %d turns × %d tokens of %d bytes %s, %d a flush",
			l.Conversations, l.Turns, l.Tokens, l.TokenBytes, pace, l.Flush))
	}
	if l.Idle > 0 {
		parts = append(parts, fmt.Sprintf("%d idle connections", l.Idle))
	}
	return strings.Join(append(parts, fmt.Sprintf("seed %d", l.Seed)), "; ")
}

// fit lowers the number of idle connections to what the limit of open files
// lets through, and says so. A conversation is taken to need two files: the
// client's connection and the simulator's; in a hub, the one upstream. How many
// conversations there are at the same time is not known beforehand.
func (l *load) fit(limit func(want uint64) uint64, say io.Writer) {
	const spare = 100
	need := uint64(l.Idle + 2*l.Conversations + spare)
	got := limit(need)
	if got >= need || l.Idle == 0 {
		return
	}
	asked := l.Idle
	l.Idle -= int(min(need-got, uint64(l.Idle)))
	fmt.Fprintf(say, "chatload: %d idle connections in place of %d: a process may have %d files open here (ulimit -Hn)\n", l.Idle, asked, got)
}

// interval is the time between two tokens.
func (l *load) interval() time.Duration {
	if l.Pace == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / l.Pace)
}

// patience is when to give up on a reply.
func (l *load) patience() time.Duration {
	return l.Patience + l.Stall + l.FirstToken + time.Duration(l.Tokens)*l.interval()
}

// wireBytes guesses what a reply takes on the wire.
func (l *load) wireBytes() int {
	if l.Pace == 0 {
		return l.Tokens * l.TokenBytes * 5 / 4
	}
	return l.Tokens * (l.TokenBytes + 95)
}

// run is one load on one peer.
type run struct {
	load
	peer   *peer
	speech *speech
	sent   *stamps
	tally  *tally
	redis  *redisProbe // nil: the peer has none that we know of
	file   *fileProbe  // nil: it has no directory that we know of
	storm  atomic.Bool // connections that are lost now were cut on purpose

	unknown bool // the model is not ours: what it will say is not known

	mu   sync.Mutex
	open map[int]net.Conn // by client, for a storm to cut; guarded by mu
}

func newRun(l load) (*run, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	s, err := newSpeech(l.Seed, l.TokenBytes)
	if err != nil {
		return nil, err
	}
	return &run{
		load: l, speech: s, sent: newStamps(max(1, l.Conversations), l.Tokens),
		tally: newTally(), open: make(map[int]net.Conn),
	}, nil
}

// dialer gives each further 20,000 connections over loopback an address of
// their own, since there are only as many connections between two addresses as
// there are ports.
func (r *run) dialer(n int) *net.Dialer {
	d := new(net.Dialer)
	host := r.peer.base.Hostname()
	if ip := net.ParseIP(host); n >= 20_000 && (host == "localhost" || ip.To4() != nil && ip.IsLoopback()) {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n/20_000%250))}
	}
	return d
}

// slowWindow is the receive buffer of a reader that will pause: with what the
// system gives otherwise, several megabytes, the peer would not notice.
const slowWindow = 64 << 10

// opened notes a client's connection.
func (r *run) opened(n int, c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok && n < r.Slow {
		tcp.SetReadBuffer(slowWindow)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[n%max(1, r.Conversations)] = c
}

// cut breaks every connection at once.
func (r *run) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		c.Close()
	}
}

// talk runs the conversations and returns when all have ended.
func (r *run) talk(ctx context.Context) {
	begin := time.Now()
	var all sync.WaitGroup
	for i := range r.Conversations {
		due := begin
		if r.Ramp > 0 {
			due = begin.Add(time.Duration(float64(i) / r.Ramp * float64(time.Second)))
		}
		if !pause(ctx, time.Until(due)) {
			break
		}
		all.Go(func() {
			for n := i; ; n += r.Conversations {
				c := newClient(r, n)
				if err := c.converse(ctx, due); err != nil {
					c.shard.fail(err)
				} else {
					c.shard.record(func(s *shard) { s.counts.Conversations++ })
				}
				if due = time.Now(); due.Sub(begin) >= r.Duration || ctx.Err() != nil {
					return
				}
			}
		})
	}
	all.Wait()
}
