package httpapi_test

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
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

// besieged is a server whose limits hold for clients of this machine.
func besieged(tb testing.TB) *rig {
	return newRig(tb, withLimits(hub.Limits{MessagesPerMinute: 60, RepliesPerClient: 50, ConnectionsPerClient: 100}),
		withAPI(func(c *httpapi.Config) {
			c.WriteTimeout = time.Second
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}))
}

// honest is a client that asks and checks every byte of every answer.
type honest struct {
	s    *refSocket
	page refPage
}

func newHonest(addr string) (*honest, error) {
	s, err := dialRefSocket(addr, "/ws", refDial{})
	if err != nil {
		return nil, err
	}
	_ = s.conn.SetDeadline(time.Time{})
	h := &honest{s: s}
	h.page.connected(nil)
	raw, err := s.read()
	if err == nil {
		_, err = h.page.take(raw)
	}
	return h, err
}

// ask says something new and returns how long the whole answer took.
func (h *honest) ask() (time.Duration, error) {
	began, id := time.Now(), uuid.NewString()
	_ = h.s.conn.SetDeadline(began.Add(rigPatience))
	if err := h.s.say(id, "honest "+id); err != nil {
		return 0, err
	}
	for {
		raw, err := h.s.read()
		if err != nil {
			return 0, err
		}
		f, err := h.page.take(raw)
		switch {
		case err != nil:
			return 0, err
		case f.Type == "error":
			return 0, fmt.Errorf("refused: %s", raw)
		case f.Type != "finish":
			continue
		}
		if got, want := h.page.last().Content, "You said: honest "+id; got != want {
			return 0, fmt.Errorf("the reply is %q, want %q", got, want)
		}
		return time.Since(began), nil
	}
}

// memory is the live heap in bytes.
func memory() int64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestHostileClients: under each attack alone, and under all together with
// hundreds of half-open connections, an honest client gets every byte of every
// answer; afterwards memory and goroutines are what they were.
func TestHostileClients(t *testing.T) {
	r := besieged(t)
	h, err := newHonest(r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer h.s.close()
	ask := func(t *testing.T, n int) {
		t.Helper()
		for range n {
			if _, err := h.ask(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(t, 3)
	r.client.CloseIdleConnections()
	goroutines, heap := runtime.NumGoroutine(), memory()
	for _, a := range floods {
		t.Run(a.name, func(t *testing.T) {
			stop := a.run(r.addr())
			defer stop()
			ask(t, 10)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		closeAll := halfOpen(r.addr(), 500)
		defer closeAll()
		var stops []func()
		for _, a := range floods {
			stops = append(stops, a.run(r.addr()))
		}
		ask(t, 2)
		for _, stop := range stops {
			stop()
		}
	})
	eventuallyIn(t, 3*rigPatience, "no goroutine is left of the attackers'", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	// What they said is stored for as long as a session lives, and logged here.
	kept := int64(len(r.log.String()))
	t.Logf("heap: %d KiB before, %d KiB after, of which the log %d KiB; requests to the model kept by the simulator: %d", heap>>10, memory()>>10, kept>>10, r.asked())
	if grown := memory() - heap - 3*kept; grown > 16<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Error("something panicked")
	}
}

// BenchmarkHonestClient measures the answers to an honest client, quiet and
// under attack. The attackers share the machine with the hub and the client.
func BenchmarkHonestClient(b *testing.B) {
	for _, a := range append([]attack{{name: "quiet"}}, floods...) {
		b.Run(strings.ReplaceAll(a.name, " ", "_"), func(b *testing.B) {
			r := besieged(b)
			h, err := newHonest(r.addr())
			if err != nil {
				b.Fatal(err)
			}
			defer h.s.close()
			defer a.run(r.addr())()
			var took []time.Duration
			for b.Loop() {
				d, err := h.ask()
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, d)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
		})
	}
}
