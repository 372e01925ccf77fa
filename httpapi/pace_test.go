package httpapi

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/hub"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Now().UnixNano()
	for i := range readsAtOnce {
		if wait := p.next(now, 1); wait > 0 {
			t.Fatalf("number %d at once waits %v", i+1, wait)
		}
	}
	const every = time.Second / readsPerSecond
	if wait := p.next(now, 1); wait != every {
		t.Errorf("one more waits %v, want %v", wait, every)
	}
	now += int64(time.Second)
	for i := range readsPerSecond - 1 {
		if wait := p.next(now, 1); wait > 0 {
			t.Fatalf("a second later number %d waits %v", i+1, wait)
		}
	}
	if wait := p.next(now+int64(time.Hour), fullReadCost); wait > 0 {
		t.Errorf("after an hour of quiet it waits %v", wait)
	}
}

// sending is a connection on which a peer has sent all that is asked for, so
// many bytes at a time, and may have left since.
type sending struct {
	net.Conn // nil: it is only read from
	piece    int
	taken    int
	late     time.Duration // how late the machine comes to each tenth read
	reads    int
}

func (s *sending) Read(p []byte) (int, error) {
	if s.reads++; s.reads%10 == 0 {
		time.Sleep(s.late)
	}
	n := min(len(p), s.piece)
	s.taken += n
	return n, nil
}

// TestFloodIsNotHeardOut: of a flood so much is read, and for so long, whether
// the peer is still there or not.
func TestFloodIsNotHeardOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sending{piece: 1 << 20}
		c := &conn{Conn: peer}
		began, buffer := time.Now(), make([]byte, wsBuffer)
		var err error
		for err == nil {
			_, err = c.Read(buffer)
		}
		if took := time.Since(began); !errors.Is(err, errFlood) || took > floodPatience {
			t.Errorf("ended after %v with %v", took, err)
		}
		if peer.taken > 40<<10 {
			t.Errorf("%d bytes were read", peer.taken)
		}
	})
}

// TestFloodToABusyMachine: a reader that is late now and then takes a flood for
// one all the same.
func TestFloodToABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{Conn: &sending{piece: 30, late: 3 * time.Second / readsPerSecond}}
		began, buffer := time.Now(), make([]byte, wsBuffer)
		var err error
		for err == nil && time.Since(began) < time.Minute {
			_, err = c.Read(buffer)
		}
		if took := time.Since(began); !errors.Is(err, errFlood) || took > 3*floodPatience {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestHurryIsForgiven: a peer that is a little too fast now and then, for
// hours, is made to wait and is not dropped.
func TestHurryIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{Conn: &sending{piece: 30}}
		buffer := make([]byte, wsBuffer)
		for range 100 {
			for range readsAtOnce + 50 {
				if _, err := c.Read(buffer); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
	})
}

// link is a connection on which a peer's bytes arrive in segments.
type link struct {
	net.Conn // nil: it is only read from
	bytes    string
	segment  int
	every    time.Duration // comes one
	began    time.Time
	taken    int
}

func (l *link) Read(p []byte) (int, error) {
	for {
		arrived := min(len(l.bytes), int(time.Since(l.began)/l.every)*l.segment)
		if n := copy(p, l.bytes[l.taken:arrived]); n > 0 {
			l.taken += n
			return n, nil
		}
		if l.taken == len(l.bytes) {
			return 0, io.EOF
		}
		time.Sleep(l.every)
	}
}

func (l *link) Close() error { return nil }

// Hijack has a link be the connection that a request came on.
func (l *link) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := &conn{Conn: l}
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, wsBuffer), bufio.NewWriterSize(c, wsBuffer)), nil
}

// TestLongMessagesAreWithinThePace: three messages of a megabyte in a row, as
// networks bring them, the slow ones in more reads than anybody is given.
func TestLongMessagesAreWithinThePace(t *testing.T) {
	const size, many = 1 << 20, 3
	head := string(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, size)) + "\x00\x00\x00\x00" // a mask that changes nothing
	all := strings.Repeat(head+strings.Repeat("x", size), many)
	for _, megabits := range []int{1, 10, 100, 1000} {
		for _, segment := range []int{536, 1448, 64 << 10} {
			synctest.Test(t, func(t *testing.T) {
				ws := accept(t, &link{bytes: all, segment: segment, every: time.Duration(segment*8000/megabits) * time.Nanosecond, began: time.Now()})
				ws.SetReadLimit(size + 1)
				for i := range many {
					if _, p, err := ws.Read(context.Background()); err != nil || len(p) != size {
						t.Fatalf("at %d Mbit/s in segments of %d: message %d has %d bytes, %v", megabits, segment, i+1, len(p), err)
					}
				}
				_ = ws.CloseNow()
			})
		}
	}
}

// accept answers the handshake of a WebSocket whose client is behind l.
func accept(t *testing.T, l *link) *websocket.Conn {
	t.Helper()
	r := httptest.NewRequest("GET", "/ws", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(name, value)
	}
	ws, err := websocket.Accept(struct {
		http.ResponseWriter
		http.Hijacker
	}{httptest.NewRecorder(), l}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// TestFloodEndsReading: once a peer has flooded nothing of it is read any more,
// also when it pauses.
func TestFloodEndsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sending{piece: wsBuffer}
		c := &conn{Conn: peer}
		p := make([]byte, wsBuffer)
		var err error
		for err == nil {
			_, err = c.Read(p)
		}
		taken := peer.taken
		time.Sleep(time.Hour)
		if _, err := c.Read(p); !errors.Is(err, errFlood) || peer.taken != taken {
			t.Errorf("%d bytes more were read: %v", peer.taken-taken, err)
		}
	})
}

// TestMessagesOfSomeSize: a message that fills the library's buffer, with the
// next one's beginning at most, is one message and no flood.
func TestMessagesOfSomeSize(t *testing.T) {
	c := new(conn)
	now := time.Now().UnixNano()
	for range readsAtOnce / 3 {
		_ = c.slow(now, len(c.first), len(c.first)) // its first bytes
		_ = c.slow(now, wsBuffer, wsBuffer)
		_ = c.slow(now, 50, wsBuffer) // its last
	}
	if c.waited != 0 {
		t.Errorf("waited %v", c.waited)
	}
}

// TestPauseIsForgiven: of what piled up while this process did not run, so many reads are
// free as there may have been meanwhile, and no more.
func TestPauseIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const free = 300
		peer := &sending{piece: wsBuffer}
		c := &conn{Conn: peer, hub: new(hub.Hub), free: free}
		p := make([]byte, wsBuffer)
		began := time.Now()
		for range free + readsAtOnce/fullReadCost {
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the peer waited %v", took)
		}
		var err error
		for err == nil {
			_, err = c.Read(p)
		}
		if took := time.Since(began); !errors.Is(err, errFlood) || took > floodPatience {
			t.Errorf("a flood behind it is ended after %v with %v", took, err)
		}
	})
}
