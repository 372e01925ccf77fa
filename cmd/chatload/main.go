// Command chatload sizes a deployment of chathub: it holds conversations with
// a hub over its WebSocket (PROTOCOL.md), as many and as fast as asked, checks
// every byte of every reply, and tells what that cost.
//
//	chatload                                 200 conversations on a hub that it starts
//	chatload --url wss://chat.example ...    a hub that runs already
//	chatload ratio paced                     hub and floor in turn, and how they compare
//	chatload ratio redis                     what it costs to have the conversations in Redis
//	chatload ratio file                      what it costs to have them in a directory
//
// The model is simulated in this process (llm/mistralsim), so that the time
// from the model's sending a token to a client's receiving it is known for each
// one. A started hub is a process of its own, so that its processor time and
// memory are known apart from the load's.
//
// The exit status is 1 when a text was not exact or a conversation failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli holds the commands: one for a load of one's own, one for each kind of
// load that has a name, which differ in their defaults only, and those that
// take several runs.
type cli struct {
	Run     loadCmd  `kong:"cmd,default='withargs',help='A load of your own.'"`
	Paced   loadCmd  `kong:"cmd,set='conversations=500',set='ramp=500',set='tokens=1000',set='pace=50',help='500 replies at 50 tokens a second.'"`
	Flat    loadCmd  `kong:"cmd,set='conversations=50',set='tokens=5000',set='pace=0',set='duration=5s',help='50 replies at a time, flat out.'"`
	Idle    loadCmd  `kong:"cmd,set='conversations=0',set='idle=5000',set='ramp=2000',set='settle=60s',help='5,000 connections on which nothing is said.'"`
	Slow    loadCmd  `kong:"cmd,set='conversations=20',set='ramp=0',set='tokens=200000',set='pace=0',set='slow=20',help='20 readers that stop for 10 s under long replies.'"`
	Connect loadCmd  `kong:"cmd,set='conversations=20000',set='ramp=2000',set='tokens=20',set='flush=20',set='pace=0',help='2,000 new conversations a second.'"`
	Drops   loadCmd  `kong:"cmd,set='conversations=200',set='tokens=500',set='drops=3',help='Connections dropped at random bytes and resumed.'"`
	Storm   stormCmd `kong:"cmd,set='conversations=5000',set='ramp=2000',set='tokens=40',set='pace=2',help='5,000 connections lost at once amid their replies.'"`
	Growth  growth   `kong:"cmd,set='ramp=500',set='tokens=500',set='pace=50',help='The cost of a token with more replies, and with more idle connections.'"`
	Ratio   struct {
		Paced ratioCmd `kong:"cmd,set='conversations=500',set='ramp=500',set='tokens=1000',set='pace=50',help='500 replies at 50 tokens a second.'"`
		Flat  ratioCmd `kong:"cmd,set='conversations=50',set='tokens=5000',set='pace=0',set='duration=5s',help='50 replies at a time, flat out.'"`
		Redis redisCmd `kong:"cmd,set='conversations=500',set='ramp=500',set='tokens=1000',set='pace=50',set='redis=own',help='Not the floor but the hub in memory beside the hub with Redis: 500 replies at 50 tokens a second.'"`
		File  fileCmd  `kong:"cmd,set='conversations=500',set='ramp=500',set='tokens=1000',set='pace=50',help='Not the floor but the hub in memory beside the hub with a directory: 500 replies at 50 tokens a second.'"`
	} `cmd:"" help:"Hub and floor under the same load in turn, medians of several rounds."`
	Floor floorCmd `cmd:"" help:"Serve the least that a relay can do, to compare with."`
}

// defaults are those of a load that no command sets otherwise.
var defaults = kong.Vars{
	"conversations": "200", "ramp": "200", "turns": "1", "tokens": "500", "pace": "50", "flush": "1",
	"drops": "0", "slow": "0", "idle": "0", "settle": "0s", "duration": "0s",
	"redis": "",
}

// errFailed is a run whose report tells what failed.
var errFailed = errors.New("the run failed")

// loadCmd is one run.
type loadCmd struct {
	target
	load
	JSON bool `help:"Report as JSON."`
}

// Run runs it.
func (c *loadCmd) Run(ctx context.Context) error {
	rep, err := c.measure(ctx, c.load, nil)
	if err != nil {
		return err
	}
	return rep.print(c.JSON)
}

// print reports to standard output; a failed run is an error.
func (p *report) print(asJSON bool) error {
	if asJSON {
		if err := p.json(os.Stdout); err != nil {
			return err
		}
	} else {
		p.table(os.Stdout)
	}
	if p.failed() {
		return errFailed
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("chatload"), kong.Description("Loads a chathub and checks every byte that it sends."),
		defaults, kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "chatload:", err)
		os.Exit(1)
	}
}
