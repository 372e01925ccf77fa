package httpapi

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// masked is a frame as a client sends one.
func masked(op byte, payload string) string {
	mask := "abcd"
	head := []byte{0x80 | op, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		head = []byte{0x80 | op, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	out := []byte(payload)
	for i := range out {
		out[i] ^= mask[i%4]
	}
	return string(head) + mask + string(out)
}

// TestAlive has a peer answer a ping behind, and inside, other things; and not.
func TestAlive(t *testing.T) {
	long := masked(1, strings.Repeat("said before ready ", 1000))
	for name, test := range map[string]struct {
		before, early string // what it sends in front of its pong; with the request
		pong, fails   bool
	}{
		"at once":              {pong: true},
		"behind messages":      {before: masked(1, "one") + long, early: masked(1, "with the request"), pong: true},
		"a message in parts":   {early: long[:7], before: long[7:], pong: true},
		"more than it may say": {before: masked(1, strings.Repeat("x", len(long)+1)), fails: true},
		"another's pong":       {before: masked(10, "whatever"), fails: true},
		"it says that it goes": {before: masked(8, ""), fails: true},
		"not":                  {fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner, peer := net.Pipe()
			defer peer.Close()
			c := &conn{Conn: inner, timeout: time.Minute, pre: []byte(test.early), most: len(long)}
			go func() {
				ping := make([]byte, 10)
				if _, err := io.ReadFull(peer, ping); err != nil {
					return
				}
				_, _ = io.WriteString(peer, test.before)
				if test.pong {
					_, _ = io.WriteString(peer, masked(10, string(ping[2:])))
				} else {
					_ = peer.Close()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Alive(ctx); (err != nil) != test.fails {
				t.Fatal(err)
			}
			// What came beside the pong is still there to be read, and only that.
			if got, want := string(c.pre), test.early+test.before; !test.fails && got != want {
				t.Errorf("kept %d bytes of %d", len(got), len(want))
			}
		})
	}
}
