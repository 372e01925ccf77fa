package httpapi_test

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// attack is one hostile client, again and again until stop is closed.
type attack struct {
	name string
	once func(addr, client string) // one go, from a client's address
	many int                       // of it at a time
}

// floods are the attacks that cost a client little.
var floods = []attack{
	{"connect and leave", func(addr, _ string) { closeConn(net.Dial("tcp", addr)) }, 4},
	{"upgrade and leave", func(addr, client string) {
		if s, err := attacker(addr, client, 0); err == nil {
			s.close()
		}
	}, 4},
	{"upgrade and break off in a frame", func(addr, client string) {
		if s, err := attacker(addr, client, 300); err == nil {
			_, _ = io.WriteString(s.conn, masked(0x81, "hello")[:4])
			s.close()
		}
	}, 2},
	{"ping flood", flooding(strings.Repeat(masked(0x89, "are you there?"), 100)), 2},
	{"pong flood", flooding(strings.Repeat(masked(0x8a, ""), 200)), 1},
	{"message flood", flooding(strings.Repeat(masked(0x81, "spam"), 20)), 2},
	{"nonsense flood", flooding(strings.Repeat(masked(0x81, `{"type":"nonsense"}`), 100)), 2},
	{"parts without end", flooding(masked(0x01, "") + strings.Repeat(masked(0x00, ""), 1000)), 1},
	{"the largest frames", flooding(masked(0x81, `{"type":"message","content":"`+strings.Repeat("x", 300<<10))), 1},
	{"requests in a row", requests("GET /healthz", "", 50), 1},
	{"sessions", requests("POST /sessions", "", 50), 1},
	{"replies", requests("POST /chat", `{"message":"hi"}`, 20), 1},
	{"deep JSON", requests("POST /chat", strings.Repeat(`{"message":`, 25<<10), 1), 1},
	{"wide JSON", requests("POST /chat", `{"message":"hi"`+strings.Repeat(`,"x":1`, 60<<10)+`}`, 1), 1},
	{"text parts", requests("POST /api/chat", `{"messages":[{"role":"user","parts":[`+strings.Repeat(`{"type":"text","text":"x"},`, 80<<10)+`{}]}]}`, 1), 1},
	{"empty messages", requests("POST /api/chat", `{"messages":[`+strings.Repeat("{},", 1<<20)+`{}]}`, 1), 1},
	{"oversize frames", flooding(claiming(1<<30) + strings.Repeat("x", 500<<10)), 1},
	{"oversize bodies", requests("POST /chat", `{"message":"`+strings.Repeat("x", 500<<10)+`"}`, 1), 1},
	{"parts with pings between", flooding(masked(0x01, "") + strings.Repeat(masked(0x00, "x")+masked(0x89, "are you there?"), 100)), 2},
	{"frames byte by byte", byteByByte, 2},
	{"slow handshakes", slowly("GET /ws HTTP/1.1\r\nHost: hub\r\n", "X: "), 50},
	{"slow bodies", slowly("POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n", "{"), 50},
	{"half-open", func(addr, _ string) {
		closeAll := halfOpen(addr, 500)
		<-time.After(attackFor)
		closeAll()
	}, 4},
}

// attackFor is how long one go of an attack lasts.
const attackFor = 300 * time.Millisecond

// attacker opens a WebSocket from a client's address, as the hub's proxy tells
// it, which breaks behind so many bytes from the hub; 0: it does not.
func attacker(addr, client string, dropAt int64) (*refSocket, error) {
	conn, err := dialRef(addr, refDial{dropAt: dropAt})
	if err != nil {
		return nil, err
	}
	s := &refSocket{conn: conn, in: bufio.NewReader(conn)}
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: "+client+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err == nil {
		_, err = http.ReadResponse(s.in, nil)
	}
	if err != nil {
		s.close()
	}
	return s, err
}

func closeConn(c net.Conn, err error) {
	if err == nil {
		_ = c.Close()
	}
}

// flooding writes frames until the hub has had enough, or for a while.
func flooding(frames string) func(addr, client string) {
	return func(addr, client string) {
		s, err := attacker(addr, client, 0)
		if err != nil {
			return
		}
		defer s.close()
		_ = s.conn.SetDeadline(time.Now().Add(attackFor))
		go func() { _, _ = io.Copy(io.Discard, s.in) }()
		for {
			if _, err := io.WriteString(s.conn, frames); err != nil {
				return
			}
		}
	}
}

// dripping writes text byte by byte for a while, with a pause behind each.
func dripping(c net.Conn, text string, pause time.Duration) {
	over := time.After(attackFor)
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		select {
		case <-over:
			return
		default:
		}
		if pause > 0 {
			<-time.After(pause)
		}
	}
}

// slowly sends a request byte by byte, behind what is sent of it at once, and
// does not come to its end.
func slowly(atOnce, rest string) func(addr, client string) {
	return func(addr, _ string) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, atOnce); err == nil {
			dripping(c, rest, attackFor/20)
		}
	}
}

// byteByByte sends frames in single bytes.
func byteByByte(addr, client string) {
	s, err := attacker(addr, client, 0)
	if err != nil {
		return
	}
	defer s.close()
	go func() { _, _ = io.Copy(io.Discard, s.in) }()
	dripping(s.conn, masked(0x81, `{"type":"ping"}`), 0)
}

// requests writes n requests and reads what comes back for a while.
func requests(line, body string, n int) func(addr, client string) {
	return func(addr, client string) {
		one := fmt.Sprintf("%s HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: %s\r\nContent-Length: %d\r\n\r\n%s", line, client, len(body), body)
		bytes := strings.Repeat(one, n)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(attackFor))
		go func() { _, _ = io.WriteString(c, bytes) }()
		for in := bufio.NewReader(c); ; {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
}

// run attacks until stop is called. Every attacker has an address of its own.
func (a attack) run(addr string) (stop func()) {
	var attackers sync.WaitGroup
	done := make(chan struct{})
	for i := range a.many {
		sum := crc32.ChecksumIEEE([]byte(a.name))
		client := fmt.Sprintf("2001:db8:%x:%x::1", sum>>16, sum&0xfff0+uint32(i))
		attackers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					a.once(addr, client)
				}
			}
		})
	}
	return func() { close(done); attackers.Wait() }
}

// halfOpen is n connections that say nothing, or stop in mid-sentence.
func halfOpen(addr string, n int) (closeAll func()) {
	var conns []net.Conn
	for i := range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			continue // there are no more descriptors: as many as there are
		}
		said := []string{"", "GET /ws HT", "GET /ws HTTP/1.1\r\nHost: hub\r\nX: ", "POST /chat HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n{"}[i%4]
		_, _ = io.WriteString(c, said)
		conns = append(conns, c)
	}
	return func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
}
