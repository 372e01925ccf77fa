package httpapi_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// remote lets a script in another process direct the rig: what the model says,
// when it goes on, and when the network breaks.
type remote struct {
	t       testing.TB
	rig     *rig
	line    *line
	restart func() // kills the hub's process, and starts another; nil: the hub has none
	url     string
	mu      sync.Mutex
	gates   map[string]*gate // by what the user said
}

// command is what interop/harness.mjs posts.
type command struct {
	Do     string
	Said   string           // the message in question
	Tokens []string         // answer: what the model says to it
	Think  map[int][]string // answer: what it thinks in front of a token
	Hold   *int             // answer: it waits in front of this token
	Status int              // answer: refuse instead
	After  []int            // cut: the next connections break after so many bytes
}

func newRemote(t testing.TB, r *rig) *remote {
	t.Helper()
	return remoteBehind(t, r, newLine(t, r.url), nil)
}

func remoteBehind(t testing.TB, r *rig, l *line, restart func()) *remote {
	c := &remote{t: t, rig: r, line: l, restart: restart, gates: make(map[string]*gate)}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var in command
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		c.t.Errorf("a command: %v", err)
		return
	}
	answer := map[string]int{}
	switch in.Do {
	case "answer":
		c.answer(in)
	case "open":
		c.gate(in.Said).open()
	case "reached":
		select {
		case <-c.gate(in.Said).reached:
		case <-req.Context().Done():
		}
	case "asked":
		answer["asked"] = c.rig.asked()
	case "cut":
		c.line.cut(in.After...)
	case "restart":
		c.restart()
	case "cuts":
		answer["cuts"] = c.line.cuts()
	default:
		c.t.Errorf("the command %q", in.Do)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *remote) answer(in command) {
	a := mistralsim.Answer{Tokens: in.Tokens}
	if in.Hold != nil {
		var g *gate
		a, g = held(*in.Hold, in.Tokens...)
		c.mu.Lock()
		c.gates[in.Said] = g
		c.mu.Unlock()
	}
	a.Between = in.Think
	if in.Status != 0 {
		a = mistralsim.Answer{Status: in.Status, Body: `{"message":"no"}`}
	}
	c.rig.answer(in.Said, a)
}

func (c *remote) gate(said string) *gate {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.gates[said]
	if g == nil {
		c.t.Errorf("nothing holds the answer to %q", said)
		_, g = held(0)
	}
	return g
}

// line is a TCP proxy in front of a server, which can be cut.
type line struct {
	url  string
	to   string
	mu   sync.Mutex
	open map[net.Conn]bool
	next []int // the next connections break after so many bytes to the client
	n    int   // connections that broke
	wg   sync.WaitGroup

	listener net.Listener  // nil: connections are refused
	held     chan struct{} // closed when what comes is passed on again; nil: it is
}

func newLine(t testing.TB, server string) *line {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{url: "http://" + listener.Addr().String(), to: to.Host, open: make(map[net.Conn]bool)}
	l.listen(listener)
	t.Cleanup(func() {
		l.release()
		l.refuse()
		l.wg.Wait()
	})
	return l
}

func (l *line) listen(listener net.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener = listener
	l.wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.carry(c) })
		}
	})
}

// refuse breaks every connection, and has others refused.
func (l *line) refuse() {
	l.mu.Lock()
	if l.listener != nil {
		_ = l.listener.Close()
	}
	l.listener = nil
	l.mu.Unlock()
	l.cut()
}

// accept takes connections again, at the same address.
func (l *line) accept(t testing.TB) {
	t.Helper()
	eventually(t, "the line listens again", func() bool {
		listener, err := net.Listen("tcp", strings.TrimPrefix(l.url, "http://"))
		if err == nil {
			l.listen(listener)
		}
		return err == nil
	})
}

// hold has what is sent, both ways, wait.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
}

// release passes it on.
func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		close(l.held)
	}
	l.held = nil
}

// pass waits as long as the line is held.
func (l *line) pass() {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held != nil {
		<-held
	}
}

// lead has connections go to another server from now on.
func (l *line) lead(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// cut breaks every connection, and has the next break after so many bytes.
func (l *line) cut(after ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = after
	for c := range l.open {
		l.n++
		_ = c.Close()
	}
}

func (l *line) cuts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *line) carry(near net.Conn) {
	defer near.Close()
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	l.open[near] = true
	if l.listener == nil { // refused meanwhile
		_ = near.Close()
	}
	left := -1
	if len(l.next) > 0 {
		left, l.next = l.next[0], l.next[1:]
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, near)
		l.mu.Unlock()
	}()
	l.wg.Go(func() {
		defer far.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := near.Read(buf)
			l.pass()
			if _, failed := far.Write(buf[:n]); failed != nil || err != nil {
				return
			}
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := far.Read(buf)
		l.pass()
		if left >= 0 && n >= left {
			_, _ = near.Write(buf[:left])
			l.mu.Lock()
			l.n++
			l.mu.Unlock()
			return
		}
		if left >= 0 {
			left -= n
		}
		if _, failed := near.Write(buf[:n]); failed != nil || err != nil {
			return
		}
	}
}
