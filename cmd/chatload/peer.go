package main

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// peer is what the clients talk to, and how.
type peer struct {
	floor     bool
	base      *url.URL // ws or wss
	protocols string
	token     string   // a JWT; "": none
	proc      *process // nil: not ours to start; nothing is known of its cost
}

// newPeer addresses a hub, or a floor, at a ws or wss URL with or without the
// path /ws.
func newPeer(address string, floor bool, token string) (*peer, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || u.Host == "" {
		return nil, fmt.Errorf("url: %q given, ws://host:port or wss://host accepted", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	p := &peer{floor: floor, base: u, token: token}
	if !floor {
		p.protocols = "chathub.v1"
		if token != "" {
			p.protocols += ", bearer." + token
		}
	}
	return p, nil
}

// name is the peer's in tables.
func (p *peer) name() string {
	if p.floor {
		return "floor"
	}
	return "hub"
}

// endpoint is where to open a conversation ("": a new one) from a position.
func (p *peer) endpoint(conversation string, position url.Values) *url.URL {
	u := *p.base
	if !p.floor && conversation != "" {
		u.Path += "/" + conversation
		u.RawQuery = position.Encode()
	}
	return &u
}

// say makes the frame that says something.
func (p *peer) say(id, content string) []byte {
	if p.floor {
		return []byte(content)
	}
	b, err := json.Marshal(map[string]string{"type": "message", "id": id, "content": content})
	if err != nil {
		panic(err) // strings always marshal
	}
	return b
}

// parse reads a frame of the peer's.
func (p *peer) parse(f *frame, b []byte) error {
	if p.floor {
		return parseEvent(f, b)
	}
	return parseFrame(f, b)
}
