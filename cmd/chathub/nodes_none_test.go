package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestNoRedis holds that nothing of Redis runs in a node that has none.
func TestNoRedis(t *testing.T) {
	c := &cluster{model: startSimulated(t)}
	debug := freeAddr(t)
	c.join(t, 1, "", "DEBUG_ADDR="+debug)
	g, p := c.say(t, c.nodes[0], 1, 20, 10)
	stacks := (&node{addr: debug}).call(t, "GET", "/debug/pprof/goroutine?debug=2", nil, nil)
	stacks.must(t, http.StatusOK)
	for _, name := range []string{"rueidis", "redisstore"} {
		if strings.Contains(string(stacks.body), name) {
			t.Errorf("%s runs", name)
		}
	}
	if !strings.Contains(string(stacks.body), "hub.(*Hub).Run") {
		t.Error("the stacks are not the hub's")
	}
	p.release()
	g.expect(t, "finish")
	whole(t, c.nodes[0], g, p)
}
