package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Two signs tell that a node is dead. Only nodes that Alive was asked about are
// polled. A killed process loses its connections at once: nobody subscribes to its
// channel any more. A lost host, or a stopped process, goes silent: its beat, a
// counter in Redis, no longer rises. A false alarm costs one more call of the model
// and an epoch, never a byte.
const (
	beatEvery = 200 * time.Millisecond // how often each node raises its beat
	beatTTL   = time.Minute
	pollEvery = 75 * time.Millisecond // how often the nodes in question are polled
	askedFor  = time.Minute           // how long a node is polled after Alive was asked about it

	// A node is dead when this many polls in a row found no subscriber to its channel, and
	// its beat has not risen for quietBeat: a node that only subscribes again still beats.
	unheardPolls = 3
	quietBeat    = 400 * time.Millisecond
	// It is also dead when its beat has not risen for deadBeat.
	deadBeat = 3 * time.Second
	// settled is how old this node's own subscription must be before subscriptions
	// count: after a restart of Redis everybody subscribes again.
	settled = 2 * time.Second
)

// peers are the nodes that Alive was asked about.
type peers struct {
	mu     sync.Mutex
	nodes  map[string]*peer
	raised time.Time // when this node's beat was last raised
	polled time.Time // when a poll was last answered
}

type peer struct {
	asked   time.Time     // when Alive last asked
	known   bool          // it has been polled
	beat    string        // the last value of its beat; "": it had none
	quiet   time.Duration // for how long the beat was observed not to rise
	unheard int           // polls in a row that found nobody subscribed
	dead    bool
}

// Alive implements session.Backend.
func (s *Store) Alive(node string) bool {
	if node == s.node {
		return true
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	p := s.peers.nodes[node]
	if p == nil {
		p = new(peer)
		s.peers.nodes[node] = p
	}
	p.asked = time.Now()
	return !p.dead
}

// beat raises this node's beat.
func (s *Store) beat(ctx context.Context) {
	c := s.client.Load()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := beatScript.Exec(ctx, *c, []string{beatKey(s.node)}, []string{millis(beatTTL)}).Error(); err != nil {
		s.warn(err)
		return
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	s.peers.raised = time.Now()
}

// asked returns the nodes to poll, and forgets those that nobody asks about.
func (p *peers) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name, of := range p.nodes {
		if time.Since(of.asked) > askedFor {
			delete(p.nodes, name)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// checkPeers polls all nodes in question once.
func (s *Store) checkPeers(ctx context.Context) {
	names, c := s.peers.asked(), s.client.Load()
	if len(names) == 0 || c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// In a cluster one Redis may be away; the beats are read all the same.
	soon, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	heard, unheard := listeners(soon, *c, append(names, s.node))
	beats, err := beatsOf(ctx, *c, names)
	if err != nil {
		s.peers.resetStreaks()
		return
	}
	s.subscription.mu.Lock()
	since := s.subscription.since
	s.subscription.mu.Unlock()
	// Where this node's own channel shows no subscriber, the sign does not work here.
	usable := unheard == nil && !since.IsZero() && time.Since(since) > settled && heard[channelOf(s.node)] > 0
	s.peers.observe(time.Now(), names, heard, beats, usable)
}

// listeners returns the number of subscribers of each node's channel. In a cluster
// each Redis counts its own, so all are asked.
func listeners(ctx context.Context, c rueidis.Client, nodes []string) (map[string]int64, error) {
	channels := make([]string, len(nodes))
	for i, name := range nodes {
		channels[i] = channelOf(name)
	}
	sum := make(map[string]int64, len(nodes))
	for _, redis := range c.Nodes() {
		counts, err := redis.Do(ctx, redis.B().PubsubNumsub().Channel(channels...).Build()).AsIntMap()
		if err != nil {
			return nil, err
		}
		for channel, n := range counts {
			sum[channel] += n
		}
	}
	return sum, nil
}

// beatsOf returns the nodes' beats, in order; "" for those that have none.
func beatsOf(ctx context.Context, c rueidis.Client, nodes []string) ([]string, error) {
	keys := make([]string, len(nodes))
	for i, name := range nodes {
		keys[i] = beatKey(name)
	}
	return c.Do(ctx, c.B().Mget().Key(keys...).Build()).AsStrSlice()
}

// resetStreaks notes that a poll got no answer, which ends what was seen in a row.
func (p *peers) resetStreaks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, of := range p.nodes {
		of.unheard = 0
	}
}

// observe notes a poll's answer. The time between two polls counts for at most beatEvery, so
// that a node that was itself suspended does not hold others dead. While this node's own beat
// cannot be stored, the others' may not be either, and no time counts.
func (p *peers) observe(now time.Time, names []string, heard map[string]int64, beats []string, usable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := min(now.Sub(p.polled), beatEvery)
	p.polled = now
	beating := now.Sub(p.raised) < 3*beatEvery
	for i, name := range names {
		of := p.nodes[name]
		if of == nil || i >= len(beats) {
			continue
		}
		switch {
		case !of.known || of.beat != beats[i] && beats[i] != "": // a beat that ran out did not rise
			of.known, of.beat, of.quiet, of.dead = true, beats[i], 0, false
		case beating:
			of.quiet += passed
		}
		if usable && heard[channelOf(name)] == 0 {
			of.unheard++
		} else {
			of.unheard = 0
		}
		if of.quiet >= deadBeat || of.unheard >= unheardPolls && of.quiet >= quietBeat {
			of.dead = true
		}
	}
}
