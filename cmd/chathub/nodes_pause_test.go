package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestPausedIsNoFlood: what a client has sent, at its own pace, while the process did
// not run is read at once when that goes on, and is no flood.
func TestPausedIsNoFlood(t *testing.T) {
	t.Parallel()
	c := &cluster{model: startSimulated(t)}
	c.join(t, 1, "")
	a := c.nodes[0]
	g := newPage(t)
	g.open(t, a)
	g.connect(t, a)
	pongs := make(chan error, 1)
	const perSecond, seconds = 50, 8 // a frame is two reads at the most, of which there may be 100 a second
	go func() {
		for range perSecond * seconds {
			if _, err := g.read(patience); err != nil {
				pongs <- err
				return
			}
		}
		pongs <- nil
	}()
	frame := []byte(`{"type":"ping","padding":"` + strings.Repeat("x", 100) + `"}`)
	a.pause()
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for range perSecond * seconds {
		<-tick.C
		if err := g.wire.ws.Write(context.Background(), websocket.MessageText, frame); err != nil {
			t.Fatal(err)
		}
	}
	a.resume()
	if err := <-pongs; err != nil {
		t.Errorf("the client is taken for a flood: %v", err)
	}
}
