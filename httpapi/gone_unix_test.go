//go:build unix

package httpapi

import (
	"net"
	"testing"
	"time"
)

func TestGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	inner, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c := &conn{Conn: inner}
	if c.gone() {
		t.Error("a peer that says nothing is gone")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := inner.Read(one); err != nil || c.gone() {
		t.Errorf("a peer that spoke is gone, %v", err)
	}
	_ = peer.Close()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !c.gone() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("a peer that closed is there")
		}
	}
}
