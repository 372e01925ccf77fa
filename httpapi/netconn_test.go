package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tcpPair joins a conn, which has a small send buffer, with its peer.
func tcpPair(t testing.TB) (*conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	inner, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := inner.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	if err := peer.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close(); peer.Close() })
	return &conn{Conn: inner, timeout: time.Minute}, peer.(*net.TCPConn)
}

// TestFlushNow has a peer that takes nothing until its window is full, in the
// middle of a frame. What could be written at once and what had to wait make up
// the frames.
func TestFlushNow(t *testing.T) {
	c, peer := tcpPair(t)
	frame := bytes.Repeat([]byte("0123456789"), 100)
	var want []byte
	waits := 0
	for i := 0; waits < 3; i++ {
		c.Cork()
		if err := c.writeText(frame); err != nil {
			t.Fatal(err)
		}
		want = append(appendTextHeader(want, len(frame)), frame...)
		if c.FlushNow() {
			continue
		}
		waits++
		if !c.corked {
			t.Fatal("what is left may be overtaken")
		}
		c.ping() // nor may this
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush() }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the peer got other bytes than were written")
		}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		want = want[:0]
	}
	peer.Close()
	c.Cork()
	for c.writeText(frame) == nil {
		if !c.FlushNow() && c.Flush() != nil {
			return
		}
		c.Cork()
	}
	t.Error("no error tells that the peer has gone")
}

// TestFlushNowAllocates: nothing, from a frame to the kernel.
func TestFlushNowAllocates(t *testing.T) {
	c, peer := tcpPair(t)
	go func() { _, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{peer}, make([]byte, 4<<10)) }()
	frame := []byte(`{"type":"text-delta","id":"00000000-0000-4000-8000-000000000000","delta":"token","offset":5}`)
	allocs := testing.AllocsPerRun(1000, func() {
		c.Cork()
		if err := c.writeText(frame); err != nil {
			t.Fatal(err)
		}
		if !c.FlushNow() {
			_ = c.Flush()
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a frame", allocs)
	}
}

// TestPingHoldsNobodyUp has a ping that waits for its peer while a frame is
// written: the frame's writer waits for no lock meanwhile, and the peer gets
// what it takes in order.
func TestPingHoldsNobodyUp(t *testing.T) {
	for name, write := range map[string]func(c *conn) error{
		"a follower": func(c *conn) error { c.Cork(); return errors.Join(c.writeText([]byte("text")), c.Flush()) },
		"control":    func(c *conn) error { return c.writeClose(1000, "") },
	} {
		t.Run(name, func(t *testing.T) {
			for _, taken := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					near, far := net.Pipe() // a write waits for its reader
					c := &conn{Conn: near, timeout: time.Minute}
					go c.ping()
					synctest.Wait()
					wrote := make(chan error, 1)
					go func() { wrote <- write(c) }()
					synctest.Wait()
					var want []byte
					if taken {
						want = slices.Clone(pingFrame)
					} else {
						time.Sleep(2 * pingTimeout)
					}
					if name == "control" {
						want = append(want, closeFrame, 2, 0x03, 0xe8)
					} else {
						want = append(appendTextHeader(want, 4), "text"...)
					}
					got := make([]byte, len(want))
					if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
						t.Errorf("ping taken: %t: the peer got %x, %v; want %x", taken, got, err, want)
					}
					if err := <-wrote; err != nil {
						t.Error(err)
					}
					_ = near.Close()
				})
			}
		})
	}
}

// TestCloseFrameLeavesFirst has the library close as it answers a close frame,
// while a frame is written or held back: the answer is behind that. Who takes
// nothing does not keep it up for long.
func TestCloseFrameLeavesFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		taken bool
		write func(c *conn)
	}{
		"nothing":            {true, func(*conn) {}},
		"written":            {true, func(c *conn) { _ = c.writeText([]byte("text")) }},
		"written, not taken": {false, func(c *conn) { _ = c.writeText([]byte("text")) }},
		"held back":          {true, func(c *conn) { c.Cork(); _ = c.writeText([]byte("text")) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe() // a write waits for its reader
				defer far.Close()
				c := &conn{Conn: near, timeout: time.Minute}
				go tt.write(c)
				synctest.Wait()
				answer := []byte{closeFrame, 2, 0x03, 0xe8}
				begun := time.Now()
				go func() {
					_, _ = c.Write(answer)
					_ = c.Close()
				}()
				synctest.Wait()
				if !tt.taken {
					time.Sleep(closeWait + time.Millisecond)
				}
				got, err := io.ReadAll(far)
				var want []byte
				if tt.taken {
					if name != "nothing" {
						want = append(appendTextHeader(nil, 4), "text"...)
					}
					want = append(want, answer...)
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("the peer got %x, %v; want %x", got, err, want)
				}
				if took := time.Since(begun); took > closeWait+time.Millisecond {
					t.Errorf("closing took %v", took)
				}
			})
		})
	}
}

// hijackable is a ResponseWriter over a connection that is there already.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// TestBrokenProtocolIsToldAmidAReply: the close code reaches a peer that sends
// what it may not and goes on sending, while its follower writes.
func TestBrokenProtocolIsToldAmidAReply(t *testing.T) {
	for name, tt := range map[string]struct {
		frame string
		code  byte
	}{
		"a kind that is none": {"\xc1\x80\x00\x00\x00\x00", 1002 & 0xff},
		"too large":           {"\x81\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00", 1009 & 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := tcpPair(t)
			req := httptest.NewRequest("GET", "/ws", nil)
			for name, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			} {
				req.Header.Set(name, value)
			}
			s := &server{Config: Config{WriteTimeout: time.Minute, MaxMessageBytes: 1 << 10}}
			sock, err := s.upgrade(hijackable{httptest.NewRecorder(), c.Conn}, req)
			if err != nil {
				t.Fatal(err)
			}
			sock.Cork()
			if err := sock.Write([]byte("text")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(peer, tt.frame+strings.Repeat("x", 100<<10)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := sock.Read()
				sock.Kill()
				ended <- err
			}()
			want := append(appendTextHeader(nil, 4), "text"...)
			got := make([]byte, len(want)+4)
			if n, err := io.ReadFull(peer, got); err != nil {
				t.Fatalf("behind %q: %v", got[:n], err)
			}
			if err := sock.Write([]byte("more")); err != nil {
				t.Errorf("the follower is told by Read, not by %v", err)
			}
			if _, err := io.WriteString(peer, "more"); err != nil {
				t.Error(err)
			}
			peer.Close()
			if err := <-ended; err == nil {
				t.Error("Read returned a message")
			}
			if rest, ok := bytes.CutPrefix(got, want); !ok || rest[0] != closeFrame || rest[2] != 1002>>8 || rest[3] != tt.code {
				t.Errorf("the peer got %q", got)
			}
		})
	}
}
