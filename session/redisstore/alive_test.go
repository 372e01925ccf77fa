package redisstore

import (
	"slices"
	"testing"
	"time"
)

// settle waits until a node trusts what it is told of others' channels.
func (n *node) settle(t testing.TB) *node {
	n.hears(t)
	eventually(t, "the node's subscription has settled", func() bool {
		n.store.subscription.mu.Lock()
		defer n.store.subscription.mu.Unlock()
		return time.Since(n.store.subscription.since) > settled
	})
	return n
}

// TestPeers says who is dead, by what was seen.
func TestPeers(t *testing.T) {
	const tick = 100 * time.Millisecond
	start := time.Now()
	type look struct {
		beat     string
		heard    int64
		unusable bool
		after    time.Duration // 0: a tick
		deaf     bool          // the own beat does not get through
	}
	repeat := func(n int, l look) []look { return slices.Repeat([]look{l}, n) }
	for name, tt := range map[string]struct {
		looks []look
		dead  bool
	}{
		"it beats and is heard":        {repeat(100, look{beat: "", heard: 1}), true}, // a beat that never was stands still
		"its beat stands still":        {repeat(32, look{beat: "7", heard: 1}), true},
		"not for long":                 {repeat(29, look{beat: "7", heard: 1}), false},
		"nobody listens":               {repeat(6, look{beat: "7"}), true},
		"it only just beat":            {repeat(4, look{beat: "7"}), false},
		"the channels tell nothing":    {repeat(20, look{beat: "7", unusable: true}), false},
		"it resubscribes":              {append(repeat(10, look{beat: "7", heard: 1}), look{beat: "7"}, look{beat: "7"}, look{beat: "7", heard: 1}, look{beat: "7"}), false},
		"it was dead and beats again":  {append(repeat(40, look{beat: "7"}), look{beat: "8"}), false},
		"the observer was stopped":     {[]look{{beat: "7", heard: 1}, {beat: "7", heard: 1, after: time.Hour}, {beat: "7", heard: 1, after: time.Hour}}, false},
		"no beat gets through":         {repeat(100, look{beat: "7", deaf: true}), false},
		"nobody beats, and it is gone": {repeat(100, look{beat: "7", heard: 0, deaf: true}), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := peers{nodes: map[string]*peer{"n": {asked: start}}}
			now := start
			for _, l := range tt.looks {
				if now = now.Add(tick); l.after > 0 {
					now = now.Add(l.after)
				}
				if !l.deaf {
					p.raised = now
				}
				p.observe(now, []string{"n"}, map[string]int64{channelOf("n"): l.heard}, []string{l.beat}, !l.unusable)
			}
			if got := p.nodes["n"].dead; got != tt.dead {
				t.Errorf("dead: %v, want %v (%+v)", got, tt.dead, p.nodes["n"])
			}
		})
	}
}
