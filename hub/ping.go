package hub

import (
	"math/rand/v2"
	"time"
)

const (
	// pingInterval is how long a connection may be silent before it is pinged.
	pingInterval = 30 * time.Second
	// pongTimeout is how long the peer may take to answer.
	pongTimeout = 10 * time.Second
)

// pingSilent pings the connections that were silent for pingInterval, and ends those that
// did not answer in pongTimeout. It runs on the loop, and starts one goroutine that writes.
func (h *Hub) pingSilent() {
	now := time.Now()
	var ask, drop []*Conn
	h.eachConn(func(c *Conn) {
		var active time.Time
		if !c.guard(func() { active = c.sock.Active() }) {
			return
		}
		if !active.Before(c.pinged) {
			c.pinged = time.Time{}
		}
		switch {
		case c.pinged.IsZero():
			if now.Sub(active) >= pingInterval-rand.N(pingInterval/4) {
				c.pinged = now
				ask = append(ask, c)
			}
		case now.Sub(c.pinged) >= pongTimeout:
			drop = append(drop, c)
		}
	})
	if len(ask)+len(drop) == 0 {
		return
	}
	h.running.Add(1)
	go func() {
		defer h.running.Done()
		for _, c := range ask {
			c.guard(c.sock.Ping)
		}
		for _, c := range drop {
			c.end()
		}
	}()
}

// closeExpired closes the connections whose token has expired. It runs on the loop.
func (h *Hub) closeExpired() {
	now := time.Now().Unix()
	h.eachConn(func(c *Conn) {
		if c.expires != 0 && now >= c.expires {
			c.Close(CloseUnauthorized, "the token has expired")
		}
	})
}
