package main

import (
	"testing"
	"time"
)

// TestAbandonAfter writes at one node what is followed at the other only, in
// every way there is, until those leave or their node is killed.
func TestAbandonAfter(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, "ABANDON_AFTER=2s")
	a, b := c.nodes[0], c.nodes[1]
	const pace = 50 * time.Millisecond
	begin := func(seed uint64) (*page, *plan) {
		p := c.model.plan(seed, int(10*time.Minute/pace), pace)
		g := newPage(t)
		g.open(t, a)
		g.connect(t, a)
		g.send(t, frame{Type: "message", ID: newID(), Content: p.said})
		g.readTo(t, p.before(1))
		return g, p
	}
	ended := func(g *page) bool {
		stored, err := a.stored(g.session)
		return err == nil && len(stored) == 2 && stored[1].FinishReason == "stopped"
	}
	socket, socketPlan := begin(1)
	stream, streamPlan := begin(2)
	rest, restPlan := begin(3)
	alone, _ := begin(4)

	e := &events{within: 2 * patience}
	defer e.close()
	if err := e.open(b, "GET", "/sessions/"+stream.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := b.chat(rest.session, restPlan.said, rest.messages[0].ID)
		waits <- err
	}()
	socket.connect(t, b)
	for _, g := range []*page{stream, rest, alone} {
		g.hang()
	}
	eventually(t, "what nobody follows has ended", func() bool { return ended(alone) })
	// What is followed outlives patience and all slack.
	const outlives = int(12 * time.Second / pace)
	socket.readTo(t, socketPlan.before(outlives))
	e.readTo(t, streamPlan.before(outlives))
	if ended(socket) || ended(stream) || ended(rest) {
		t.Error("a reply has ended that is followed")
	}
	e.close()
	eventually(t, "the one ends whose follower has left", func() bool { return ended(stream) })
	if ended(socket) || ended(rest) {
		t.Error("and another with it")
	}
	b.kill()
	if err := <-waits; err == nil {
		t.Error("who waited at B got an answer")
	}
	for _, g := range []*page{socket, rest} {
		eventually(t, "a dead node follows nothing", func() bool { return ended(g) })
	}
}
